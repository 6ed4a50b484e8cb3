"""Reasons are kept as English texts, and told to people in theirs: a kept text as the phrase that it was made of.

Whoever writes such a text writes a sentence of those below. One of which it cannot be said where what fills it in ends
(a value with ` is not ` in it) stays as it is: what is told is never other than what was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rules.phrases import Phrase, filled, phrase

_SENTENCES: Final = (
    # Conditions of a subscription (`rules.conditions`, `rules.values`).
    phrase("{key} {value} is not above {wanted}", key="", value="", wanted=""),
    phrase("{key} {value} is not below {wanted}", key="", value="", wanted=""),
    phrase("{key} {value} is above {wanted}", key="", value="", wanted=""),
    phrase("{key} {value} is below {wanted}", key="", value="", wanted=""),
    phrase("{key} {value} is exactly {wanted}", key="", value="", wanted=""),
    phrase("{key} {value} is none of {wanted}", key="", value="", wanted=""),
    phrase("{key} {value} is not {other}", key="", value="", other=""),
    phrase("{key} {value} does not match {wanted}", key="", value="", wanted=""),
    phrase("{key} {value} cannot be compared with {wanted}", key="", value="", wanted=""),
    # Why a delivery was suppressed, or is held.
    phrase("{word} is already told by subscription {id}", word="", id=""),
    phrase("{word} was already told by subscription {id}", word="", id=""),
    phrase("failure {count} in a row; told after {most}", count=0, most=0),
    phrase("progress is shown where a message can be changed, and told to subscriptions to *.progress"),
    phrase("unsubscribed"),
    phrase("many messages at once: waits for the next digest"),
    phrase("waits for the digest: {text}", text=""),
    phrase("in digest {id}", id=""),
    phrase("put off: {why}", why=""),
    phrase("quiet hours: {text}", text=""),
    phrase("{about} is muted until it succeeds by {who}: {text}", about="", who="", text=""),
    phrase("{about} is muted until it succeeds by {who}", about="", who=""),
    phrase("{about} is muted until {time} by {who}: {text}", about="", time="", who="", text=""),
    phrase("{about} is muted until {time} by {who}", about="", time="", who=""),
    phrase("job {word}", word=""),
    phrase("everything"),
    phrase("nothing"),
    phrase("message {id} shows a later state of the run: {state}", id="", state=""),
    phrase("a later state of the run is shown instead: event {id}", id=""),
    phrase("the message of the failure is too old to be changed"),
    phrase("the program ended while this was on its way"),
    phrase("an answer was lost: it may have arrived more than once, or not at all"),
    phrase("{why}; an answer was lost: it may have arrived more than once, or not at all", why=""),
    # Why something sensed started nothing.
    phrase("run {id} holds this run_key", id=""),
    phrase("when: {text} is false", text=""),
    phrase("held: check {text} of {word} failed, and blocks what follows", text="", word=""),
)
_PHRASES: Final = frozenset({"about", "why", "value", "wanted", "other"})
"""What fills a sentence in may be one of these itself, as where an event has nothing to compare."""
_SHAPES: Final = {
    **dict.fromkeys(("key", "word", "id"), r"\S+"),
    **dict.fromkeys(("count", "most"), r"\d+"),
    "time": r"\d{4}-\d\d-\d\d \d\d:\d\d UTC",
    "who": r"(?:(?!: ).)+",
    "other": r"(?!above |below ).+",
}
_NAME: Final = re.compile(r"\{(\w+)\}")


def recalled(text: str) -> str:
    """The phrase that this text was made of; the text itself where it is one, is none of ours, or could be two."""
    if isinstance(text, Phrase):
        return text
    found = [(source, one, long.fullmatch(text)) for source, short, long in _PATTERNS if (one := short.fullmatch(text))]
    if len(found) != 1:
        return text
    source, short, long = found[0]
    values = short.groupdict()
    if long is None or long.groupdict() != values:
        return text
    return filled(source, {name: recalled(value) if name in _PHRASES else value for name, value in values.items()})


def _patterns() -> Iterator[tuple[str, re.Pattern[str], re.Pattern[str]]]:
    for one in _SENTENCES:
        pieces = _NAME.split(one.source)
        shortest, longest = (
            "".join(_part(piece, lazy) if place % 2 else re.escape(piece) for place, piece in enumerate(pieces))
            for lazy in ("?", "")
        )
        yield one.source, re.compile(shortest, re.DOTALL), re.compile(longest, re.DOTALL)


def _part(name: str, lazy: str) -> str:
    shape = _SHAPES.get(name, ".+")
    return f"(?P<{name}>{shape}{lazy if shape.endswith('+') else ''})"


_PATTERNS: Final = tuple(_patterns())
