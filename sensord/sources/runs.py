"""Sensors on our own runs: chains of jobs, without polling. `runs: {job: extract, status: [succeeded]}`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from notifiers.settings import Settings
from rules.event import Event
from rules.request import Sensed, SkipReason
from sensord.sources import Source

if TYPE_CHECKING:
    from notifiers.database import Database
    from sensord.event_feed import EventFeed

Status = Literal["succeeded", "failed", "cancelled", "lost"]


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


class RunsConfig(Settings):
    """Whose runs are looked at, and how they ended."""

    job: Annotated[list[str], BeforeValidator(_several, json_schema_input_type=str | list[str])] = Field(
        min_length=1, description="the job whose runs start another, or several of them"
    )
    status: Annotated[list[Status], BeforeValidator(_several, json_schema_input_type=Status | list[Status])] = Field(
        default=["succeeded"], min_length=1, description="how those runs ended"
    )

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of the events that say so."""
        return tuple(dict.fromkeys(f"runs.{job}.{status}" for job in self.job for status in self.status))


@asynccontextmanager
async def open_runs(name: str, config: RunsConfig, *, database: Database, feed: EventFeed) -> AsyncIterator[Source]:
    """A source of the runs of these jobs that end in such a way from now on.

    Their `run_key` is the run's id and status, so that one run starts at most one of each job that follows it.
    """
    from sensord.event_log import open_event_log

    yield await open_event_log(name, config.topics, sense, database=database, feed=feed)


def sense(event: Event) -> Sensed | None:
    """What templates see as `run`: its id, job, status, run_key, subject, tags, partition_key, times and metadata.

    Anyone may publish on such a topic; only what this daemon says of its own runs counts. A run whose data a check
    blocked is held: that is a skip, with the reason.
    """
    if event.source != "sensord" or event.run is None or event.type != f"run.{event.data.get('status')}":
        return None
    said = dict(event.data)
    absent = dict.fromkeys(("sensor", "run_key", "subject", "partition_key", "error", "started_at", "ended_at"))
    run = {**absent, "metadata": {}, **said, "id": event.run}
    del run["run"]
    blocked = said.get("blocked_by")
    return Sensed(
        subject=event.run,
        key=f"{event.run}@{said['status']}",
        at=event.time,
        context={"run": run, "event": event.to_json()},
        decided=SkipReason(f"held: check {blocked} of {event.job} failed, and blocks what follows")
        if blocked
        else None,
    )
