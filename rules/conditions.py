"""What a subscription asks of an event beside its topic: `where`, compiled once, and judged in words."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from rules.event import Event, Severity

FIELDS: Final = ("severity", "type", "job", "sensor", "run", "source", "subject", "topic", "message")
MAX_VALUE: Final = 1024
MAX_KEY: Final = 255
_ABSENT: Final = object()
_OPERATORS: Mapping[str, tuple[Callable[[Any, Any], bool], str]] = {
    # The longer sign first, so that `>=` is not read as `>`.
    ">=": (operator.ge, "below"),
    "<=": (operator.le, "above"),
    "!=": (operator.ne, "exactly"),
    ">": (operator.gt, "not above"),
    "<": (operator.lt, "not below"),
}

Test = Callable[[Any], str | None]
"""Judges one value: None if it will do, else the reason (`is below warning`), to be read after the value."""

_Condition = Callable[[Event], str | None]
"""Judges an event: None if it will do, else the reason with the key before it."""


@dataclass(frozen=True, slots=True)
class Where:
    """All of these conditions. Two of one source are equal."""

    source: Mapping[str, Any]
    _conditions: tuple[_Condition, ...] = field(default=(), compare=False, repr=False)

    def why_not(self, event: Event) -> str | None:
        """None if the event meets every condition, else the first that it does not, in words."""
        for condition in self._conditions:
            reason = condition(event)
            if reason is not None:
                return reason
        return None


def compile_where(where: Mapping[str, Any]) -> Where:
    """Compile a subscription's conditions; ValueError names the key, what was found, and what is possible.

    Keys are `severity type job sensor run source subject topic message`, `data.<path>` (dotted; a number is a place
    in a list) and `tags.<name>` (of `data.tags`). A value is met
    - if plain, by its equal (a number also by its text; null by what is not there);
    - as text with `*` or `?`, by text of that shape (case counts);
    - as text beginning with `>= <= > < !=`, by comparison: severities by rank, numbers as numbers, else as text;
    - as a list, by what meets any of its values.
    """
    try:
        source = json.dumps(where) if all(isinstance(key, str) for key in where) else None
    except TypeError:
        source = None
    # Most subscriptions ask for what many others do. What is no JSON is no condition either, and is told so.
    return _compiled_anew(where) if source is None else _compiled_once(source)


@lru_cache(4096)
def _compiled_once(where: str) -> Where:
    return _compiled_anew(json.loads(where))


def _compiled_anew(where: Mapping[str, Any]) -> Where:
    return Where(dict(where), tuple(_condition(_known(key), _compiled(key, value)) for key, value in where.items()))


EVERYTHING: Final = Where({})
"""No condition: every event of the topic."""


def glob(pattern: str, text: str) -> bool:
    """Whether the whole text has the shape of the pattern: `*` any characters, `?` one; nothing else is special.

    Costs at most the product of both lengths, whatever the pattern: it never goes back before the last `*`.
    """
    if "?" not in pattern:
        return _in_order(pattern.split("*"), text)
    at = here = 0
    star, resume = -1, 0
    while here < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[here]):
            at += 1
            here += 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return all(character == "*" for character in pattern[at:])


def _in_order(pieces: Sequence[str], text: str) -> bool:
    """Whether the text begins with the first piece, ends with the last, and has the others in between, in order."""
    if len(pieces) == 1:
        return text == pieces[0]
    first, *between, last = pieces
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for piece in between:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def shown(value: Any) -> str:
    """A value in one line for a person: clipped, and without characters that do not print."""
    if value is _ABSENT or value is None:
        return "nothing"
    text = value if type(value) is str else _text(value)
    text = text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - one line
    return text if text.isprintable() and text else repr(text)


def _known(key: Any) -> str:
    if isinstance(key, str) and key in FIELDS:
        return key
    if isinstance(key, str) and key.startswith(("data.", "tags.")) and all(key.split(".")) and len(key) <= MAX_KEY:
        return key
    close = get_close_matches(str(key), FIELDS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ValueError(
        f"where: {key!r:.80} is no key; {hint}Possible are {', '.join(FIELDS)}, data.<path> and tags.<name>"
    )


def _compiled(key: str, expected: Any) -> Test:
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return _any_of(key, expected)
    if isinstance(expected, str):
        if len(expected) > MAX_VALUE:
            raise ValueError(f"where: {key} has {len(expected):,} characters; at most {MAX_VALUE:,} are possible")
        for sign in _OPERATORS:
            if expected.startswith(sign):
                return _comparison(key, sign, expected[len(sign) :].strip())
        if expected.startswith("="):
            raise ValueError(f"where: {key} is {expected!r}; for equality write the value alone")
    elif expected is not None and not isinstance(expected, bool | int | float):
        raise ValueError(
            f"where: {key} is a {type(expected).__name__}; possible are a text, a number, true, false, null, a "
            "comparison such as '>=3', or a list of these"
        )
    if key == "severity":
        rank = _severity(expected)
        return lambda value: None if value is rank else f"{shown(value)} is not {rank.name}"
    words = shown(expected)
    if _is_shape(expected):
        return lambda value: None if _has_shape(expected, value) else f"{shown(value)} does not match {words}"
    return lambda value: None if _equal(expected, value) else f"{shown(value)} is not {words}"


def _is_shape(expected: Any) -> bool:
    return isinstance(expected, str) and ("*" in expected or "?" in expected)


def _any_of(key: str, choices: Sequence[Any]) -> Test:
    if not choices:
        raise ValueError(f"where: {key} is an empty list, which nothing meets; leave the key out to take everything")
    if any(isinstance(choice, list | tuple) for choice in choices):
        raise ValueError(f"where: {key} holds a list inside a list; write one list")
    tests = [_compiled(key, choice) for choice in choices]
    words = ", ".join(shown(choice) for choice in choices)
    # Between texts, to be equal is to be the same: one look is enough where all of the choices are plain ones.
    plain = key != "severity" and all(isinstance(one, str) and not _is_shape(one) for one in choices)
    same = frozenset(choices) if plain and not any(one.startswith(tuple(_OPERATORS)) for one in choices) else None

    def test_any(value: Any) -> str | None:
        if same is not None and type(value) is str:
            return None if value in same else f"{shown(value)} is none of {words}"
        met = any(test(value) is None for test in tests)
        return None if met else f"{shown(value)} is none of {words}"

    return test_any


def _comparison(key: str, sign: str, operand: str) -> Test:
    compare, failing = _OPERATORS[sign]
    if not operand:
        raise ValueError(f"where: {key} is '{sign}' without a value; write e.g. '{sign}3'")
    if key == "severity":
        rank = _severity(operand)
        return lambda value: None if compare(value, rank) else f"{shown(value)} is {failing} {rank.name}"
    number, words = _number(operand), shown(operand)

    def test(value: Any) -> str | None:
        # An abstract class is slow to ask, and most values are a number or a text.
        plain = type(value) in (int, str, float)
        if not plain and (value is _ABSENT or value is None or isinstance(value, Mapping | list | tuple)):
            return None if sign == "!=" else f"{shown(value)} cannot be compared with {operand}"
        other = _number(value)
        if sign == "!=":
            met = not _equal(operand, value)
        elif number is not None and other is not None:
            met = compare(other, number)
        else:
            met = compare(_text(value), operand)
        return None if met else f"{shown(value)} is {failing} {words}"

    return test


def _severity(name: Any) -> Severity:
    try:
        return Severity.parse(name)
    except ValueError as error:
        raise ValueError(f"where: {error}; a comparison such as '>=warning' is possible too") from None


def _equal(expected: Any, value: Any) -> bool:
    if type(expected) is str and type(value) is str:
        return expected == value
    if value is _ABSENT or value is None or expected is None:
        return expected is None and (value is None or value is _ABSENT)
    if isinstance(value, Mapping | list | tuple):
        return False
    one, other = _number(expected), _number(value)
    if one is not None and other is not None:
        return one == other
    return _text(expected) == _text(value)


def _has_shape(pattern: str, value: Any) -> bool:
    if type(value) is str:
        return glob(pattern, value)
    if value is _ABSENT or value is None or isinstance(value, Mapping | list | tuple):
        return False
    return glob(pattern, _text(value))


def _number(value: Any) -> float | None:
    """The number that a value is or spells; None for everything else, truth values too."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        try:
            value = int(value) if value.lstrip("-").isdecimal() else float(value)
        except ValueError:
            return None
    return value if isinstance(value, int) or isfinite(value) else None


def _text(value: Any) -> str:
    if isinstance(value, Severity):
        return value.name
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _condition(key: str, test: Test) -> _Condition:
    """What judges an event by that key. It is asked for every subscription to the event's topic, so it is quick."""
    if key == "topic":
        return lambda event: _first_if_all([test(topic) for topic in event.topics])
    if key == "severity":
        # There are five: what becomes of each is known now.
        verdicts = {level: None if (why := test(level)) is None else f"severity {why}" for level in Severity}
        return lambda event: verdicts[event.severity]
    value = _getter(key)

    def condition(event: Event) -> str | None:
        reason = test(value(event))
        return None if reason is None else f"{key} {reason}"

    return condition


def _first_if_all(reasons: Sequence[str | None]) -> str | None:
    """An event is on two topics at times: one of them that will do is enough."""
    return None if None in reasons else f"topic {reasons[0]}"


def _getter(key: str) -> Callable[[Event], Any]:
    """What takes the value of that key out of an event."""
    if key in FIELDS:
        field_of = operator.attrgetter(key)
        if key in ("type", "source", "message"):
            return field_of  # Every event has them.
        return lambda event: _ABSENT if (value := field_of(event)) is None else value
    if key.startswith("tags."):
        name = key.removeprefix("tags.")
        return lambda event: _tag(event.data.get("tags"), name)
    steps = key.split(".")[1:]
    return lambda event: _inside(event.data, steps)


def _tag(tags: Any, name: str) -> Any:
    return tags.get(name, _ABSENT) if type(tags) is dict or isinstance(tags, Mapping) else _ABSENT


def _inside(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if type(value) is dict or isinstance(value, Mapping):
            value = value.get(step, _ABSENT)
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _ABSENT
    return value
