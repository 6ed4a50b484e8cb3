"""Progress as events: published only while the attempt that it is about runs."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection, select

from notifiers.bus.embedded import append
from rules.event import Event
from sensord.ledger.tables import runs


class Reported(Struct, frozen=True):
    """How far an attempt of a run says it is."""

    run: str
    attempt: int
    event: Event


def publish_progress(conn: Connection, batch: Sequence[Reported]) -> list[bool]:
    """Publish what is still so. False: the attempt has ended, so nobody is to be told that it runs."""
    results: list[bool] = []
    for one in batch:
        here = (runs.c.id == one.run) & (runs.c.attempt == one.attempt) & (runs.c.status == "running")
        runs_now = conn.scalar(select(runs.c.id).where(here).with_for_update()) is not None
        if runs_now:
            append(conn, [one.event])
        results.append(runs_now)
    return results
