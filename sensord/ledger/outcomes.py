"""The second of the two transactions that carry everything: a run's start and end, with the events they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from notifiers.bus.embedded import append
from rules.event import Event
from sensord.ledger.tables import TERMINAL, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
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
    found = _now(conn, {step.run for step in batch})
    results: list[bool] = []
    applied: list[Step] = []
    for step in batch:
        current = found.get(step.run)
        fits = current is not None and _follows(current, step)
        if fits:
            applied.append(step)
            attempt = step.attempt + 1 if step.status == "queued" else step.attempt
            found[step.run] = (step.status, attempt)
        results.append(fits)
    for status in ("running", "queued", "ended"):
        _update(conn, status, [step for step in applied if _kind(step) == status])
    append(conn, [event for step in applied for event in step.events])
    return results


def _now(conn: Connection, ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    wanted = sorted(ids)
    found: dict[str, tuple[str, int]] = {}
    for start in range(0, len(wanted), 900):
        chunk = wanted[start : start + 900]
        query = select(runs.c.id, runs.c.status, runs.c.attempt).where(runs.c.id.in_(chunk)).with_for_update()
        found.update({row[0]: (row[1], row[2]) for row in conn.execute(query)})
    return found


def _follows(current: tuple[str, int], step: Step) -> bool:
    status, attempt = current
    if status in TERMINAL or attempt != step.attempt:
        return False
    return status == "queued" if step.status == "running" else True


def _kind(step: Step) -> str:
    return step.status if step.status in {"running", "queued"} else "ended"


_OPEN = (runs.c.status == "queued") | (runs.c.status == "running")
_WHERE = (runs.c.id == bindparam("p_run"), runs.c.attempt == bindparam("p_attempt"), _OPEN)

_UPDATES: Mapping[str, Any] = {
    "running": update(runs).where(*_WHERE).values(status="running", started_at=bindparam("p_started")),
    "queued": update(runs)
    .where(*_WHERE)
    .values(
        status="queued",
        attempt=bindparam("p_next"),
        next_attempt_at=bindparam("p_due"),
        error=bindparam("p_error"),
        metadata=bindparam("p_metadata"),
    ),
    "ended": update(runs)
    .where(*_WHERE)
    .values(
        status=bindparam("p_status"),
        started_at=bindparam("p_started"),
        ended_at=bindparam("p_ended"),
        next_attempt_at=None,
        error=bindparam("p_error"),
        metadata=bindparam("p_metadata"),
    ),
}

# Compiled once to be asked for its values: compiling takes as long as a run's whole bookkeeping.
_VALUES = {
    kind: [name for name in statement.compile().params if name.startswith("p_")] for kind, statement in _UPDATES.items()
}


def _update(conn: Connection, kind: str, steps: Sequence[Step]) -> None:
    if not steps:
        return
    rows = [
        {
            "p_run": step.run,
            "p_attempt": step.attempt,
            "p_status": step.status,
            "p_started": step.started_at,
            "p_ended": step.ended_at,
            "p_next": step.attempt + 1,
            "p_due": step.next_attempt_at,
            "p_error": step.error,
            "p_metadata": step.metadata or "{}",
        }
        for step in steps
    ]
    wanted = _VALUES[kind]
    conn.execute(_UPDATES[kind], [{name: row[name] for name in wanted} for row in rows])


def request_cancel(conn: Connection, ids: Sequence[str]) -> list[bool]:
    """Note that these runs are to be cancelled; False where a run is unknown or has ended."""
    found = _now(conn, ids)
    open_ids = [run for run in ids if run in found and found[run][0] not in TERMINAL]
    if open_ids:
        conn.execute(update(runs).where(runs.c.id.in_(open_ids)).values(cancel_requested=True))
    return [run in open_ids for run in ids]
