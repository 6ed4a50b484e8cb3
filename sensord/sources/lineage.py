"""Sensors on runs elsewhere that tell of themselves by OpenLineage. `lineage: {job: "etl.*", state: [complete]}`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from notifiers.settings import Settings
from rules.event import Event
from rules.request import Sensed
from rules.topics import as_token
from sensord.sources import Source

if TYPE_CHECKING:
    from notifiers.database import Database
    from sensord.event_feed import EventFeed

TOKEN = 100
"""So many characters of a name stand in a topic at most."""

State = Literal["start", "running", "complete", "abort", "fail", "other"]


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


class LineageConfig(Settings):
    """Whose runs are looked at, and in which state."""

    namespace: str = Field(default="*", min_length=1, description="glob of the job's namespace")
    job: str = Field(default="*", min_length=1, description="glob of the job's name")
    state: Annotated[list[State], BeforeValidator(_several, json_schema_input_type=State | list[State])] = Field(
        default=["complete"], min_length=1, description="what the runs say of themselves"
    )


@asynccontextmanager
async def open_lineage(
    name: str, config: LineageConfig, *, database: Database, feed: EventFeed
) -> AsyncIterator[Source]:
    """A source of the run events that come to `/api/v1/lineage` from now on, each run and state once.

    Their `run_key` is the run's id and its state.
    """
    from sensord.event_log import open_event_log

    def sense(event: Event) -> Sensed | None:
        return sensed(event, config)

    job = f"{_token(config.namespace)}.{_token(config.job)}"
    patterns = tuple(dict.fromkeys(f"lineage.{job}.{state}" for state in config.state))
    yield await open_event_log(name, patterns, sense, database=database, feed=feed)


def _token(glob: str) -> str:
    """What stands in the topic: where that is one text alone, events of other jobs are not even read."""
    return "*" if any(character in glob for character in "*?[") else as_token(glob, TOKEN)


def sensed(event: Event, config: LineageConfig) -> Sensed | None:
    """What templates see as `lineage`: the OpenLineage event as it came, without facets that are long.

    None for another job's. Only what came in as OpenLineage counts, whoever publishes on such a topic.
    """
    if event.source != "sensord:openlineage" or not event.type.startswith("lineage."):
        return None
    job, run = event.data["job"], event.data["run"]["runId"]
    if not (fnmatchcase(job["namespace"], config.namespace) and fnmatchcase(job["name"], config.job)):
        return None
    state = event.type.removeprefix("lineage.")
    return Sensed(
        subject=event.id,
        key=f"{run}@{state}",
        at=event.time,
        context={"lineage": {**event.data, "state": state}, "event": event.to_json()},
    )
