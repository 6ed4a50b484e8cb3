"""Backfills in the ledger: written down whole, claimed a few partitions at a time, ended or cancelled once.

A partition is claimed in the transaction that writes its run, by moving the backfill's count of claimed partitions from
where the claim begins (compare and set). So a daemon that dies at any moment has claimed a partition with its run or
not at all, and none is claimed of a backfill that was cancelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, delete, func, select, update

from notifiers.bus.embedded import append
from notifiers.database import execute_rows, insert_rows
from rules.event import Event
from sensord.ledger.requests import add_runs
from sensord.ledger.tables import TERMINAL, backfill_partitions, backfills, runs
from sensord.ledger.wishes import NewRun

UNDER_WAY = ("queued", "running")
_SLICE = 5_000  # Rows that one transaction deletes: it holds up nobody for longer than a few hundredths of a second.


class NewBackfill(Struct, frozen=True, kw_only=True):
    """A backfill that is asked for. `run_config` is JSON; times in microseconds."""

    id: str
    job: str
    first: str
    last: str
    only: str
    order: str
    concurrency: int
    run_config: str
    total: int
    created_at: int


class NewPartition(Struct, frozen=True, kw_only=True):
    """One partition of a backfill at its place; times in microseconds, None where it is no window of time."""

    backfill: str
    position: int
    key: str
    starts_at: int | None
    ends_at: int | None


class Claim(Struct, frozen=True, kw_only=True):
    """The next partitions of a backfill, from that position on, each with the run that is to be its own."""

    backfill: str
    position: int
    runs: Sequence[NewRun]


class End(Struct, frozen=True, kw_only=True):
    """What a backfill came to, and the event that says so. `counts` is JSON: how many of its runs ended how."""

    backfill: str
    status: str
    at: int
    counts: str
    event: Event


def prepare_backfills(conn: Connection, batch: Sequence[NewBackfill]) -> list[None]:
    """Begin to write backfills down. Until they are opened nobody works on them."""
    rows = [
        {
            "id": one.id,
            "job": one.job,
            "first_key": one.first,
            "last_key": one.last,
            "selection": one.only,
            "ordering": one.order,
            "concurrency": one.concurrency,
            "run_config": one.run_config,
            "status": "preparing",
            "total": one.total,
            "claimed": 0,
            "created_at": one.created_at,
            "counts": "{}",
        }
        for one in batch
    ]
    insert_rows(conn, backfills, rows, conflict=("id",))
    return [None] * len(batch)


def add_partitions(conn: Connection, batch: Sequence[NewPartition]) -> list[None]:
    """Write partitions of a backfill that is not open yet."""
    rows = [
        {
            "backfill": one.backfill,
            "position": one.position,
            "partition_key": one.key,
            "starts_at": one.starts_at,
            "ends_at": one.ends_at,
        }
        for one in batch
    ]
    insert_rows(conn, backfill_partitions, rows, conflict=("backfill", "position"))
    return [None] * len(batch)


def open_backfills(conn: Connection, batch: Sequence[str]) -> list[None]:
    """Every partition of these is written down: they may be worked on."""
    preparing = backfills.c.id.in_(batch) & (backfills.c.status == "preparing")
    conn.execute(update(backfills).where(preparing).values(status="running"))
    return [None] * len(batch)


def any_prepared(conn: Connection) -> bool:
    """Whether there are backfills that were never opened."""
    return conn.scalar(select(backfills.c.id).where(backfills.c.status == "preparing").limit(1)) is not None


def drop_prepared(conn: Connection, batch: Sequence[None]) -> list[int]:
    """Delete a slice of what was never opened, as whoever wrote it died: how much went. Repeat while there is any."""
    return [_drop_prepared(conn) for _ in batch]


def _drop_prepared(conn: Connection) -> int:
    left = conn.scalar(select(backfills.c.id).where(backfills.c.status == "preparing").limit(1))
    if left is None:
        return 0
    mine = backfill_partitions.c.backfill == left
    first = conn.scalar(select(func.min(backfill_partitions.c.position)).where(mine))
    if first is None:
        return conn.execute(delete(backfills).where(backfills.c.id == left)).rowcount
    return conn.execute(
        delete(backfill_partitions).where(mine, backfill_partitions.c.position < first + _SLICE)
    ).rowcount


def claim_partitions(conn: Connection, batch: Sequence[Claim]) -> list[bool]:
    """Give each partition its run, whose row and event are written with it; False: the backfill was cancelled."""
    took = [_take(conn, claim) for claim in batch]
    won = [claim for claim, taken in zip(batch, took, strict=True) if taken]
    rows = [(claim.backfill, claim.position + number, run.id) for claim in won for number, run in enumerate(claim.runs)]
    execute_rows(conn, _GIVEN, rows)
    add_runs(conn, [run for claim in won for run in claim.runs])
    return took


# One statement for many; the cast is for PostgreSQL, which takes what it is given for text.
_GIVEN = """
WITH given (backfill, position, run) AS (VALUES {rows})
UPDATE backfill_partitions SET run = given.run FROM given
WHERE backfill_partitions.backfill = given.backfill
  AND backfill_partitions.position = CAST(given.position AS INTEGER)
RETURNING backfill_partitions.position
"""


def _take(conn: Connection, claim: Claim) -> bool:
    mine = backfills.c.id == claim.backfill
    free = (backfills.c.claimed == claim.position) & (backfills.c.status == "running")
    moved = update(backfills).where(mine, free).values(claimed=claim.position + len(claim.runs))
    if conn.execute(moved).rowcount == 1:
        return True
    # After a lost answer to COMMIT the same claim comes again: it is ours already.
    place = backfill_partitions.c.backfill == claim.backfill, backfill_partitions.c.position == claim.position
    return conn.scalar(select(backfill_partitions.c.run).where(*place)) == claim.runs[0].id


def cancel_backfills(conn: Connection, batch: Sequence[tuple[str, Sequence[str]]]) -> list[bool]:
    """Claim no more of these backfills, and note that these runs of theirs are to be cancelled; False: it has ended."""
    return [_cancel(conn, backfill, open_) for backfill, open_ in batch]


def _cancel(conn: Connection, backfill: str, open_: Sequence[str]) -> bool:
    running = update(backfills).where(backfills.c.id == backfill, backfills.c.status == "running")
    if conn.execute(running.values(status="cancelled")).rowcount == 0:
        return False
    for start in range(0, len(open_), 500):
        mine = runs.c.id.in_(open_[start : start + 500]), runs.c.status.notin_(TERMINAL)
        conn.execute(update(runs).where(*mine).values(cancel_requested=True))
    return True


def end_backfills(conn: Connection, batch: Sequence[End]) -> list[None]:
    """Write down what these came to; the first to say so is right."""
    for end in batch:
        open_ = update(backfills).where(backfills.c.id == end.backfill, backfills.c.ended_at.is_(None))
        if conn.execute(open_.values(status=end.status, ended_at=end.at, counts=end.counts)).rowcount:
            append(conn, [end.event])
    return [None] * len(batch)


def unfinished(conn: Connection) -> list[dict[str, Any]]:
    """The rows of backfills that are open, or cancelled with runs that have not ended, the oldest first."""
    open_ = backfills.c.ended_at.is_(None) & backfills.c.status.in_(["running", "cancelled"])
    return [dict(row) for row in conn.execute(select(backfills).where(open_).order_by(backfills.c.id)).mappings()]


def waiting(conn: Connection, backfill: str, position: int, limit: int) -> list[dict[str, Any]]:
    """The next partitions of a backfill from that position on."""
    place = backfill_partitions.c.backfill == backfill, backfill_partitions.c.position >= position
    query = select(backfill_partitions).where(*place).order_by(backfill_partitions.c.position).limit(limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def count_runs_of(conn: Connection, backfill: str) -> tuple[Counter[str], set[str]]:
    """How many of a backfill's runs are in which status, and the ids of those that have not ended."""
    of_it = backfill_partitions.join(runs, runs.c.id == backfill_partitions.c.run)
    mine = backfill_partitions.c.backfill == backfill
    by_status = select(runs.c.status, func.count()).select_from(of_it).where(mine).group_by(runs.c.status)
    counts = Counter({row[0]: row[1] for row in conn.execute(by_status)})
    if not any(counts[status] for status in UNDER_WAY):
        return counts, set()
    open_ = select(runs.c.id).select_from(of_it).where(mine, runs.c.status.in_(UNDER_WAY))
    return counts, set(conn.scalars(open_))


def statuses_of(conn: Connection, ids: Sequence[str]) -> Counter[str]:
    """How many of these runs are in which status."""
    counts: Counter[str] = Counter()
    for start in range(0, len(ids), 500):
        counts.update(conn.scalars(select(runs.c.status).where(runs.c.id.in_(ids[start : start + 500]))))
    return counts
