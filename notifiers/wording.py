"""An event in words that a person understands: what happened, to what, since when, and where to look.

The words stand in templates, see `notifiers.reading`; these are ours in English.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from notifiers.message import Message
from notifiers.reading import ENGLISH, Reader
from notifiers.reading.language import language
from notifiers.reading.templates import Templates, Voice
from rules.event import Event
from rules.phrases import Phrase, Tongue

_OURS = ("run", "quality", "sensor", "chat")


def to_message(event: Event, *, base_url: str | None = None, reader: Reader = ENGLISH) -> Message:
    """The message of any event. `base_url` is where the daemon's pages are; with it there is a link. Total."""
    return _voice(base_url, reader).message(event)


def english() -> Voice:
    """The voice for who said nothing about how they read."""
    return _voice(None, ENGLISH)


def spoken(reader: Reader) -> Voice:
    """The voice for somebody, of our templates alone."""
    return _voice(None, reader)


def show(value: Any) -> str:
    """Any JSON value as text for a person; anything else as its own text."""
    return language(ENGLISH).show(value)


class _Headline(Phrase):
    """An event's own words; where the reader's language is another, those that its message has there."""

    __slots__ = ()

    def said(self, tongue: Tongue) -> str:
        lang: str = getattr(tongue, "lang", ENGLISH.lang)
        event: Event = self.values["event"]
        if lang == ENGLISH.lang or event.type.partition(".")[0] not in _OURS:
            return str(self)
        return str(self.values["change"](_voice(None, Reader(lang)).message(event).title))

    def changed(self, change: Callable[[str], str]) -> Phrase:
        return _headline(change(str(self)), self.values["event"], change)


def headline(event: Event) -> str:
    """An event in a line, for a phrase."""
    return _headline(event.message, event, str)


def _headline(text: str, event: Event, change: Callable[[str], str]) -> Phrase:
    made = _Headline(text)
    made.source, made.other, made.values = "{event}", None, {"event": event, "change": change}
    return made


@lru_cache(maxsize=64)
def _voice(base_url: str | None, reader: Reader) -> Voice:
    return Templates(base_url=base_url).voice(reader)
