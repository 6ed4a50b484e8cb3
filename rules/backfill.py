"""A backfill: which partitions it covers, which of them it runs, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from msgspec import Struct

from rules.partitions import PartitionError, Partitions, StaticPartitions, TimePartitions

Only = Literal["all", "missing", "failed"]
ONLY: Final[tuple[Only, ...]] = get_args(Only)
Order = Literal["oldest", "newest"]
ORDERS: Final[tuple[Order, ...]] = get_args(Order)

MOST: Final = 100_000
"""So many partitions are covered at most: a mistyped year is told, not run."""

MISSING: Final = "missing"
"""The state of a partition that was never run."""

_UNDER_WAY: Final = frozenset({"queued", "running"})
_ENDED_BADLY: Final = frozenset({"failed", "cancelled", "lost"})


class Slice(Struct, frozen=True):
    """One partition of any kind: one of time is [start, end), in UTC."""

    key: str
    start: datetime | None = None
    end: datetime | None = None


def covered(partitions: Partitions, *, first: str | None, last: str | None, now: datetime) -> list[Slice]:
    """Those from `first` to `last`, both included, the oldest first; of static ones in the order of their list.

    Without a `first`, from the definition's start on; without a `last`, up to the one that ended last before `now`.
    PartitionError for a key that names none, for a `last` before the `first`, for one that has not ended yet, where
    there is no first, and for more than MOST.
    """
    if isinstance(partitions, StaticPartitions):
        return _listed(partitions, first, last)
    newest = partitions.ended(now) if last is None else partitions.of(last)
    if newest is None:
        return []
    if newest.end > now:
        raise PartitionError(f"{newest.key!r} has not ended yet: it does so at {newest.end.isoformat()}")
    since = partitions.first if first is None else partitions.of(first).start
    if since is None:
        raise PartitionError("say where to begin: these partitions have no start of their own")
    if newest.start < since:
        if last is None:
            return []
        raise PartitionError(f"{last!r} is before {first!r}; write them the other way round")
    return list(_counted(partitions, since, newest.end))


def _listed(partitions: StaticPartitions, first: str | None, last: str | None) -> list[Slice]:
    keys = partitions.keys
    begin = 0 if first is None else keys.index(partitions.of(first))
    end = len(keys) - 1 if last is None else keys.index(partitions.of(last))
    if end < begin:
        raise PartitionError(f"{last!r} is before {first!r} in the list; write them the other way round")
    return [Slice(key) for key in keys[begin : end + 1]]


def _counted(partitions: TimePartitions, since: datetime, until: datetime) -> Iterator[Slice]:
    for count, one in enumerate(partitions.between(since, until)):
        if count == MOST:
            raise PartitionError(f"more than {MOST:,} {partitions.every} partitions; begin later, or end earlier")
        yield Slice(one.key, one.start, one.end)


def history(partitions: Partitions, known: Iterable[str], now: datetime) -> list[Slice]:
    """Those that have ended, the newest first; static ones in the order of their list.

    Where they have no start of their own, from the first on that is among the `known` keys; at most the newest MOST.
    """
    if isinstance(partitions, StaticPartitions):
        return _listed(partitions, None, None)
    newest, since = partitions.ended(now), partitions.first or _oldest(partitions, known)
    if newest is None or since is None:
        return []
    if partitions.every == "hourly":  # Of the others there are not so many.
        since = max(since, now - timedelta(hours=MOST))
    return [Slice(one.key, one.start, one.end) for one in partitions.between(since, newest.end)][: -MOST - 1 : -1]


def _oldest(partitions: TimePartitions, known: Iterable[str]) -> datetime | None:
    for key in sorted(known):
        try:
            return partitions.of(key).start
        except PartitionError:
            continue  # There may have been other partitions before.
    return None


def state_after(before: str | None, status: str) -> str:
    """The state of a partition that was in that one (None: in none), with one more run, requested later.

    It is the status of a run that is under way, wherever there is one; else that of the latest.
    """
    return before if before in _UNDER_WAY and status not in _UNDER_WAY else status


def selected(
    slices: Iterable[Slice], states: Mapping[str, str], *, only: Only = "all", order: Order = "oldest"
) -> list[Slice]:
    """Which of these (the oldest first) a backfill runs, in its order.

    `states` are those of the partitions that have one, by their keys. `all` leaves none out. `missing` are those that
    are neither done nor under way: never run, or ended badly the last time. `failed` are those of them that were run.
    """
    found = [one for one in slices if only == "all" or _wanted(states.get(one.key, MISSING), only)]
    return found if order == "oldest" else found[::-1]


def _wanted(state: str, only: Only) -> bool:
    return state in _ENDED_BADLY or (only == "missing" and state == MISSING)
