"""The second of the two transactions that carry everything: a run's start and end, with the events they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, bindparam, select, update

from notifiers.bus.embedded import append
from notifiers.database import execute_rows
from rules.event import Event
from sensord.ledger.tables import TERMINAL, runs


class Step(Struct, kw_only=True):
    """One step of one attempt: what the row becomes, and the events that say so. Times in microseconds.

    `status` is `running` (started), a terminal one (ended), or `queued` (the next attempt, at
    `next_attempt_at`). A step of another attempt than the row's, or of a run that has ended, changes nothing.
    """

    run: str
    attempt: int
    status: str
    events: tuple[Event, ...]
    started_at: int | None = None
    ended_at: int | None = None
    next_attempt_at: int | None = None
    error: str | None = None
    metadata: str | None = None


def commit_steps(conn: Connection, batch: Sequence[Step]) -> list[bool]:
    """Apply each step by compare-and-set, and publish its events with it; False: it came too late (W20, W21)."""
    applied: set[int] = set()
    for places in _rounds(batch):
        changed = _change(conn, [batch[place] for place in places])
        applied.update(place for place in places if batch[place].run in changed)
    append(conn, [event for place, step in enumerate(batch) if place in applied for event in step.events])
    return [place in applied for place in range(len(batch))]


def _rounds(batch: Sequence[Step]) -> list[list[int]]:
    """The places of the steps, each run at most once in a round, so that a run's steps follow one another."""
    rounds: list[list[int]] = []
    times: Counter[str] = Counter()
    for place, step in enumerate(batch):
        if times[step.run] == len(rounds):
            rounds.append([])
        rounds[times[step.run]].append(place)
        times[step.run] += 1
    return rounds


# One statement for many steps: the database compares and sets, and says which runs it changed. A run that is started
# keeps the words of the attempt before; one that ends, or is to be tried again, gets its own. The casts are for
# PostgreSQL, which takes a column of nothing but NULL for text.
_CHANGE = """
WITH step (run, attempt, next, status, started, ended, due, error, data) AS (VALUES {rows})
UPDATE runs SET
  status = step.status,
  attempt = CAST(step.next AS INTEGER),
  started_at = CASE WHEN step.status = 'queued' THEN runs.started_at ELSE CAST(step.started AS BIGINT) END,
  ended_at = CAST(step.ended AS BIGINT),
  next_attempt_at = CAST(step.due AS BIGINT),
  error = CASE WHEN step.status = 'running' THEN runs.error ELSE step.error END,
  metadata = CASE WHEN step.status = 'running' THEN runs.metadata ELSE step.data END
FROM step
WHERE runs.id = step.run AND runs.attempt = CAST(step.attempt AS INTEGER)
  AND (runs.status = 'queued' OR runs.status = 'running' AND step.status <> 'running')
RETURNING runs.id
"""


def _change(conn: Connection, steps: Sequence[Step]) -> set[str]:
    return {row[0] for row in execute_rows(conn, _CHANGE, [_row(step) for step in steps])}


def _row(step: Step) -> tuple[Any, ...]:
    attempt = step.attempt + 1 if step.status == "queued" else step.attempt
    times = (step.started_at, step.ended_at, step.next_attempt_at)
    return (step.run, step.attempt, attempt, step.status, *times, step.error, step.metadata or "{}")


def _now(conn: Connection, ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    wanted = sorted(ids)
    found: dict[str, tuple[str, int]] = {}
    for start in range(0, len(wanted), 900):
        chunk = wanted[start : start + 900]
        query = select(runs.c.id, runs.c.status, runs.c.attempt).where(runs.c.id.in_(chunk)).with_for_update()
        found.update({row[0]: (row[1], row[2]) for row in conn.execute(query)})
    return found


def request_cancel(conn: Connection, ids: Sequence[str]) -> list[bool]:
    """Note that these runs are to be cancelled; False where a run is unknown or has ended."""
    found = _now(conn, ids)
    open_ids = [run for run in ids if run in found and found[run][0] not in TERMINAL]
    if open_ids:
        conn.execute(update(runs).where(runs.c.id.in_(open_ids)).values(cancel_requested=True))
    return [run in open_ids for run in ids]


def keep_config(conn: Connection, batch: Sequence[tuple[str, str]]) -> list[None]:
    """Put the run_config (JSON) that each of these runs is about to be started with into its row."""
    statement = update(runs).where(runs.c.id == bindparam("run")).values(run_config=bindparam("config"))
    conn.execute(statement, [{"run": run, "config": config} for run, config in batch])
    return [None] * len(batch)
