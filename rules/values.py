"""What a condition says of one value: equal, of a shape, below or above; and how a value is shown to a person.

The tests are functions of their settings and then the value: bound by `functools.partial` they are two objects where a
closure is ten, and of those a million subscriptions have thousands, which no cache holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from rules.event import Severity

ABSENT: Final = object()
"""Stands for what an event does not have."""
_PLAIN: Final = 10**15


def differs(expected: Any, words: str, value: Any) -> str | None:
    """Why the value is not the expected one; None if it is."""
    if value is expected or equal(expected, value):
        return None
    return f"{shown(value)} is not {words}"


def misses_shape(pattern: str, pieces: Sequence[str] | None, words: str, value: Any) -> str | None:
    """Why the value has not the pattern's shape; None if it has. `pieces` are those between its `*`, if it has no `?`.

    What is no text and no number has no shape.
    """
    if type(value) is str:
        text = value
    elif value is ABSENT or value is None or isinstance(value, Mapping | list | tuple):
        return f"{shown(value)} does not match {words}"
    else:
        text = text_of(value)
    met = glob(pattern, text) if pieces is None else _in_order(pieces, text)
    return None if met else f"{shown(value)} does not match {words}"


def unequal(operand: str, words: str, value: Any) -> str | None:
    """Why the value is the operand; None if it is not. What cannot be compared is not."""
    if value is ABSENT or value is None or isinstance(value, Mapping | list | tuple) or not equal(operand, value):
        return None
    return f"{shown(value)} is {words}"


def falls_short(
    compare: Callable[[Any, Any], bool], number: float | None, operand: str, words: str, value: Any
) -> str | None:
    """Why the comparison with the operand (`number` is the one it spells) does not hold; None if it does."""
    kind = type(value)
    if kind is int and number is not None:
        return None if compare(value, number) else f"{shown(value)} is {words}"
    # An abstract class is slow to ask, and most values are a number or a text.
    plain = kind is int or kind is str or kind is float
    if not plain and (value is ABSENT or value is None or isinstance(value, Mapping | list | tuple)):
        return f"{shown(value)} cannot be compared with {operand}"
    other = number_of(value)
    met = compare(other, number) if number is not None and other is not None else compare(text_of(value), operand)
    return None if met else f"{shown(value)} is {words}"


def none_of(
    same: frozenset[str] | None, tests: Sequence[Callable[[Any], str | None]], words: str, value: Any
) -> str | None:
    """Why the value meets none of the tests; None if it meets one. `same` are the texts, where they are all plain."""
    met = value in same if same is not None and type(value) is str else any(test(value) is None for test in tests)
    return None if met else f"{shown(value)} is none of {words}"


def equal(expected: Any, value: Any) -> bool:
    """Two texts as texts, else as numbers where both are or spell one, else by their texts; null is the absent."""
    if type(expected) is str and type(value) is str:
        return expected == value
    if value is ABSENT or value is None or expected is None:
        return expected is None and (value is None or value is ABSENT)
    if isinstance(value, Mapping | list | tuple):
        return False
    one, other = number_of(expected), number_of(value)
    if one is not None and other is not None:
        return one == other
    return text_of(expected) == text_of(value)


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
    first, last = pieces[0], pieces[-1]
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for piece in pieces[1:-1]:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def shown(value: Any) -> str:
    """A value in one line for a person: clipped, and without characters that do not print."""
    if type(value) is int and -_PLAIN < value < _PLAIN:
        return str(value)
    if value is ABSENT or value is None:
        return "nothing"
    text = value if type(value) is str else text_of(value)
    text = text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - one line
    return text if text.isprintable() and text else repr(text)


def number_of(value: Any) -> float | None:
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


def text_of(value: Any) -> str:
    """A value's text, as it is written in JSON, and a severity's name."""
    if isinstance(value, Severity):
        return value.name
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
