"""What phrases of the chats hold that each language writes in its own way: times, durations, and words of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from notifiers.clock import from_us
from notifiers.reading import ENGLISH
from notifiers.reading.language import language
from rules.event import Severity
from rules.phrases import Phrase, Tongue, phrase

STATUSES: Final[Mapping[str, Phrase]] = {
    "queued": phrase("queued"),
    "running": phrase("running"),
    "succeeded": phrase("succeeded"),
    "failed": phrase("failed"),
    "cancelled": phrase("cancelled"),
    "lost": phrase("lost"),
}
"""A run's statuses."""

SEVERITIES: Final[Mapping[Severity, Phrase]] = {
    Severity.debug: phrase("debug"),
    Severity.info: phrase("info"),
    Severity.warning: phrase("warning"),
    Severity.error: phrase("error"),
    Severity.critical: phrase("critical"),
}

_SPANS: Final = (86400, 3600, 60)


class _Figure(Phrase):
    """A value that a language writes by one of its methods, which `source` names."""

    __slots__ = ()

    def said(self, tongue: Tongue) -> str:
        return _written(tongue, self.source, self.values["value"])

    def changed(self, change: Callable[[str], str]) -> Phrase:  # noqa: ARG002 - it holds no text
        return self


def moment(at: datetime) -> Phrase:
    """A time by the reader's clock."""
    return _figure("moment", at)


def moment_us(at: int) -> Phrase:
    """The same of microseconds."""
    return moment(from_us(at))


def clock_us(at: int) -> Phrase:
    """The time of the day alone."""
    return _figure("clock", from_us(at))


def second(at: datetime) -> Phrase:
    """The time of the day alone, to the second."""
    return _figure("second", at)


def ago(now: datetime, then: datetime) -> Phrase:
    """How long ago, roughly: `just now`, `5 min ago`."""
    seconds = (now - then).total_seconds()
    for size in _SPANS:
        if seconds >= size:
            return phrase("{time} ago", time=_figure("duration", seconds // size * size))
    return phrase("just now")


def status(name: str) -> str:
    """A run's status in a word."""
    return STATUSES.get(name, name)


def _figure(how: str, value: Any) -> Phrase:
    made = _Figure(_written(language(ENGLISH), how, value))
    made.source, made.other, made.values = how, None, {"value": value}
    return made


def _written(tongue: Tongue, how: str, value: Any) -> str:
    if how == "second":
        at: datetime = value.astimezone(getattr(tongue, "zone", UTC))
        return f"{at:%H:%M:%S}"
    written: Callable[[Any], str] = getattr(tongue, how)
    return written(value)
