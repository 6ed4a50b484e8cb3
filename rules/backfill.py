"""A backfill: which partitions it covers, which of them it runs, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, get_args

from rules.partitions import PartitionError, Partitions, StaticPartitions

Only = Literal["all", "missing", "failed"]
ONLY: Final[tuple[Only, ...]] = get_args(Only)
Order = Literal["oldest", "newest"]

MOST: Final = 100_000
"""So many partitions are covered at most: a mistyped year is told, not run."""

_ENDED_BADLY: Final = frozenset({"failed", "cancelled", "lost"})


def covered(partitions: Partitions, *, first: str | None, last: str | None, now: datetime) -> list[str]:
    """The keys from `first` to `last`, both included, the oldest first; of static ones in the order of their list.

    Without a `first`, from the definition's start on; without a `last`, up to the one that ended last before `now`.
    PartitionError for a key that names none, for a `last` before the `first`, for one that has not ended yet, where
    there is no first, and for more than MOST.
    """
    if isinstance(partitions, StaticPartitions):
        keys = list(partitions.keys)
        begin = 0 if first is None else keys.index(partitions.of(first))
        end = len(keys) - 1 if last is None else keys.index(partitions.of(last))
        if end < begin:
            raise PartitionError(f"{last!r} is before {first!r} in the list; write them the other way round")
        return keys[begin : end + 1]
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
    found: list[str] = []
    for partition in partitions.between(since, newest.end):
        if len(found) == MOST:
            raise PartitionError(f"more than {MOST:,} {partitions.every} partitions; begin later, or end earlier")
        found.append(partition.key)
    return found


def selected(
    keys: Iterable[str], statuses: Mapping[str, Sequence[str]], *, only: Only = "all", order: Order = "oldest"
) -> list[str]:
    """Which of these keys (the oldest first) a backfill runs, in its order.

    `statuses` holds for each key the statuses of its runs, if it has any. `all` leaves none out. `missing` are those
    that neither succeeded nor are under way: never run, or ended badly each time. `failed` are those of them that were
    run.
    """
    found = [key for key in keys if only == "all" or _wanted(statuses.get(key, ()), only)]
    return found if order == "oldest" else found[::-1]


def _wanted(statuses: Sequence[str], only: Only) -> bool:
    return _ENDED_BADLY.issuperset(statuses) and (only == "missing" or bool(statuses))
