"""An event: a CloudEvent 1.0 with a topic and a severity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Self

from msgspec import Struct, field, to_builtins

from rules.phrases import phrase


class Severity(IntEnum):
    """How much a reader should care; ordered, so that `>=warning` is a comparison."""

    debug = 10
    info = 20
    warning = 30
    error = 40
    critical = 50

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the severity of that name; ValueError names the five that exist."""
        try:
            return cls[text]
        except KeyError:
            known = ", ".join(cls.__members__)
            raise ValueError(phrase("severity {text} is none of {known}", text=repr(text), known=known)) from None


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened, as the bus carries it.

    `topic` is where it is published; `also` is a second topic that the same event is published on (a job's
    hook), so that one subscriber to both is told once. `time` is aware and in UTC. `data` is JSON.
    `run`, `job` and `sensor` say what it is about, where it is about one of those.
    """

    id: str
    type: str
    topic: str
    time: datetime
    source: str = "sensord"
    severity: Severity = Severity.info
    message: str = ""
    subject: str | None = None
    also: str | None = None
    run: str | None = None
    job: str | None = None
    sensor: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic the event is published on, the main one first."""
        return (self.topic,) if self.also is None or self.also == self.topic else (self.topic, self.also)

    def to_json(self) -> dict[str, Any]:
        """The event in CloudEvents' JSON form; attributes that are absent are left out."""
        body: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": rfc3339(self.time),
            "datacontenttype": "application/json",
            "topic": self.topic,
            "severity": self.severity.name,
            "message": self.message,
        }
        optional = {"subject": self.subject, "also": self.also, "run": self.run, "job": self.job, "sensor": self.sensor}
        body.update({key: value for key, value in optional.items() if value is not None})
        body["data"] = dict(self.data)
        return body


def rfc3339(time: datetime) -> str:
    """An aware time as RFC 3339 in UTC with microseconds, e.g. `2026-11-21T01:02:03.000004Z`."""
    utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    text: str = to_builtins(utc)  # A tenth of what isoformat() takes; it leaves off a second's fraction of nothing.
    return text if utc.microsecond else f"{text[:-1]}.000000Z"
