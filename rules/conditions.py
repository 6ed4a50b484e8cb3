"""What a subscription asks of an event beside its topic: `where`, compiled once, and judged in words."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache, partial
from typing import Any, Final

from rules.event import Event, Severity
from rules.phrases import phrase, why
from rules.values import ABSENT, differs, falls_short, misses_shape, none_of, number_of, shown, unequal

FIELDS: Final = ("severity", "type", "job", "sensor", "run", "source", "subject", "topic", "message")
MAX_VALUE: Final = 1024
MAX_KEY: Final = 255
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
    why_not: _Condition = field(default=lambda _: None, compare=False, repr=False)
    """None if the event meets every condition, else the first that it does not, in words."""


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
    conditions = tuple(_condition(_known(key), value) for key, value in where.items())
    if not conditions:
        return EVERYTHING
    return Where(dict(where), conditions[0] if len(conditions) == 1 else partial(_first_unmet, conditions))


def _first_unmet(conditions: Sequence[_Condition], event: Event) -> str | None:
    for condition in conditions:
        reason = condition(event)
        if reason is not None:
            return reason
    return None


EVERYTHING: Final = Where({})
"""No condition: every event of the topic."""


def _known(key: Any) -> str:
    if isinstance(key, str) and key in FIELDS:
        return key
    if isinstance(key, str) and key.startswith(("data.", "tags.")) and all(key.split(".")) and len(key) <= MAX_KEY:
        return key
    close = get_close_matches(str(key), FIELDS, n=1)
    key, fields = f"{key!r:.80}", ", ".join(FIELDS)
    if close:
        raise ValueError(
            phrase(
                "where: {key} is no key; did you mean {near}? Possible are {fields}, data.<path> and tags.<name>",
                key=key,
                near=close[0],
                fields=fields,
            )
        )
    raise ValueError(
        phrase("where: {key} is no key; Possible are {fields}, data.<path> and tags.<name>", key=key, fields=fields)
    )


def _compiled(key: str, expected: Any) -> Test:
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return _any_of(key, expected)
    if isinstance(expected, str):
        if len(expected) > MAX_VALUE:
            raise ValueError(
                phrase(
                    "where: {key} has {count} characters; at most {most} are possible",
                    key=key,
                    count=f"{len(expected):,}",
                    most=f"{MAX_VALUE:,}",
                )
            )
        for sign in _OPERATORS:
            if expected.startswith(sign):
                return _comparison(key, sign, expected[len(sign) :].strip())
        if expected.startswith("="):
            raise ValueError(
                phrase("where: {key} is {value}; for equality write the value alone", key=key, value=repr(expected))
            )
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
        return partial(misses_shape, expected, None if "?" in expected else expected.split("*"), words)
    return partial(differs, expected, words)


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
    return partial(none_of, same, tests, words)


def _comparison(key: str, sign: str, operand: str) -> Test:
    compare, failing = _OPERATORS[sign]
    if not operand:
        raise ValueError(phrase("where: {key} is '{sign}' without a value; write e.g. '{sign}3'", key=key, sign=sign))
    if key == "severity":
        rank = _severity(operand)
        return lambda value: None if compare(value, rank) else f"{shown(value)} is {failing} {rank.name}"
    words = f"{failing} {shown(operand)}"
    if sign == "!=":
        return partial(unequal, operand, words)
    return partial(falls_short, compare, number_of(operand), operand, words)


def _severity(name: Any) -> Severity:
    try:
        return Severity.parse(name)
    except ValueError as error:
        raise ValueError(
            phrase("where: {why}; a comparison such as '>=warning' is possible too", why=why(error))
        ) from None


def _condition(key: str, expected: Any) -> _Condition:
    return _once(key, expected) if type(expected) is str else _anew(key, expected)


def _anew(key: str, expected: Any) -> _Condition:
    """What judges an event by that key. It is asked for every subscription to the event's topic, so it is quick."""
    test = _compiled(key, expected)
    if key == "topic":
        return partial(_by_topics, test)
    if key == "severity":
        # There are five: what becomes of each is known now.
        verdicts = {level: None if (why := test(level)) is None else f"severity {why}" for level in Severity}
        return partial(_by_severity, verdicts)
    if key in FIELDS:
        return partial(_by_field, operator.attrgetter(key), key, test)
    if key.startswith("tags."):
        return partial(_by_tag, key.removeprefix("tags."), key, test)
    return partial(_by_data, key.split(".")[1:], key, test)


_once = lru_cache(4096)(_anew)


def _by_topics(test: Test, event: Event) -> str | None:
    """An event is on two topics at times: one of them that will do is enough."""
    reasons = [test(topic) for topic in event.topics]
    return None if None in reasons else f"topic {reasons[0]}"


def _by_severity(verdicts: Mapping[Severity, str | None], event: Event) -> str | None:
    return verdicts[event.severity]


def _by_field(field_of: Callable[[Event], Any], key: str, test: Test, event: Event) -> str | None:
    value = field_of(event)
    reason = test(ABSENT if value is None else value)
    return None if reason is None else f"{key} {reason}"


def _by_tag(name: str, key: str, test: Test, event: Event) -> str | None:
    tags = event.data.get("tags")
    reason = test(tags.get(name, ABSENT) if type(tags) is dict or isinstance(tags, Mapping) else ABSENT)
    return None if reason is None else f"{key} {reason}"


def _by_data(steps: Sequence[str], key: str, test: Test, event: Event) -> str | None:
    value: Any = event.data
    for step in steps:
        if type(value) is dict or isinstance(value, Mapping):
            value = value.get(step, ABSENT)
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            value = ABSENT
            break
    reason = test(value)
    return None if reason is None else f"{key} {reason}"
