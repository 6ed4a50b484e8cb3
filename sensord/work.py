"""One run that is not over, as the daemon holds it between its row and its launcher."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from msgspec import Struct
from sqlalchemy import Connection, select

from notifiers.clock import from_us
from sensord.launchers import Run
from sensord.ledger.tables import TERMINAL, runs
from sensord.ledger.wishes import NewRun
from sensord.run_events import About


class Work(Struct, kw_only=True):
    """One run that is not over, with the attempt that is next or now."""

    run: Run
    about: About
    priority: int
    maybe_started: bool = False  # Found at start: whether it was started is the launcher's to say.
    known_started: bool = False
    cancelled: bool = False
    busy: bool = False
    started_at: datetime | None = None


def open_runs(conn: Connection) -> Sequence[Mapping[str, Any]]:
    """Every run that has not ended, oldest first."""
    query = select(runs).where(runs.c.status.notin_(TERMINAL)).order_by(runs.c.id)
    return [dict(row) for row in conn.execute(query).mappings()]


def work_of(wish: NewRun) -> Work:
    """A run whose row was written just now."""
    run = Run(
        id=wish.id,
        job=wish.job,
        attempt=1,
        run_key=wish.run_key,
        run_config=_loads(wish.run_config),
        tags=_loads(wish.tags),
        sensor=wish.sensor,
        partition_key=wish.partition_key,
        requested_at=from_us(wish.requested_at),
    )
    return Work(run=run, about=_about(run, wish.subject), priority=wish.priority, cancelled=wish.superseded)


def work_of_row(row: Mapping[str, Any]) -> Work:
    """A run that an earlier life of the daemon left."""
    run = Run(
        id=row["id"],
        job=row["job"],
        attempt=row["attempt"],
        run_key=row["run_key"],
        run_config=_loads(row["run_config"]),
        tags=_loads(row["tags"]),
        sensor=row["sensor"],
        partition_key=row["partition_key"],
        requested_at=from_us(row["requested_at"]),
    )
    work = Work(run=run, about=_about(run, row["subject"]), priority=row["priority"], maybe_started=True)
    work.cancelled = bool(row["cancel_requested"])
    work.started_at = None if row["started_at"] is None else from_us(row["started_at"])
    return work


def _about(run: Run, subject: str | None) -> About:
    return About(
        run=run.id,
        job=run.job,
        sensor=run.sensor,
        run_key=run.run_key,
        subject=subject,
        requested_at=run.requested_at,
        tags=run.tags,
        partition_key=run.partition_key,
    )


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # Lone surrogates, of a file name that is not UTF-8: the stricter parser refuses.
        return json.loads(text)
