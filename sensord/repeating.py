"""A run that has ended, run again: a new run that bears the same run_key without taking it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, select

from notifiers.clock import Clock
from rules.phrases import phrase
from rules.request import RunRequest
from sensord.ledger.queries import loads
from sensord.ledger.tables import TERMINAL, runs
from sensord.ledger.wishes import NewRun
from sensord.run_events import Hooks
from sensord.sensing import new_run

RETRY_OF = "sensord/retry_of"
"""The tag of a run that repeats another: its id."""


def get_row(conn: Connection, run: str) -> Mapping[str, Any] | None:
    """A run as it is kept."""
    row = conn.execute(select(runs).where(runs.c.id == run)).mappings().first()
    return None if row is None else dict(row)


def repeat_of(clock: Clock, row: Mapping[str, Any], jobs: Mapping[str, Hooks]) -> NewRun | str:
    """The run that repeats that one, or why there can be none. `jobs` is every job with its hooks."""
    if row["status"] not in TERMINAL:
        going = {"queued": phrase("queued"), "running": phrase("running")}
        status = going.get(row["status"], row["status"])
        return phrase("the run is {status}; wait until it has ended, or cancel it", status=status)
    if row["job"] not in jobs:
        return phrase("job {job} is no longer in the configuration; put it back to repeat its runs", job=row["job"])
    asked = RunRequest(
        job_name=row["job"],
        run_key=row["run_key"],
        tags={**loads(row["tags"]), RETRY_OF: row["id"]},
        partition_key=row["partition_key"],
        priority=row["priority"],
    )
    wish = new_run(clock, asked, jobs[row["job"]], sensor=row["sensor"], subject=row["subject"])
    return replace(wish, run_config=row["run_config"], claims=False)
