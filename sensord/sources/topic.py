"""Sensors on topics of the bus: another program's event starts a job. `topic: "bp.>"`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from notifiers.settings import Settings
from rules.event import Event
from rules.request import Sensed
from rules.topics import check_pattern
from sensord.sources import Source

if TYPE_CHECKING:
    from notifiers.database import Database
    from sensord.event_feed import EventFeed


class TopicConfig(Settings):
    """Which events are looked at. May be written as the pattern alone."""

    pattern: str = Field(description="a topic, in which `*` stands for one token and `>` for the rest")

    @field_validator("pattern")
    @classmethod
    def _legal(cls, value: str) -> str:
        check_pattern(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"pattern": data} if isinstance(data, str) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A mapping, or the pattern as text."""
        written = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [written["properties"]["pattern"], dict(written)]}


@asynccontextmanager
async def open_topic(name: str, config: TopicConfig, *, database: Database, feed: EventFeed) -> AsyncIterator[Source]:
    """A source of the events that are published on such topics from now on, whoever publishes them.

    Their `run_key` is the event's id, so that an event that is published twice starts one run.
    """
    from sensord.event_log import open_event_log

    yield await open_event_log(name, (config.pattern,), sense, database=database, feed=feed)


def sense(event: Event) -> Sensed:
    """What templates see as `event`: the CloudEvent with its topic, severity and data."""
    return Sensed(subject=event.id, key=event.id, at=event.time, context={"event": event.to_json()})
