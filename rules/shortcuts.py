"""Most templates only name things: those are filled in without Jinja, and mean the same.

A shortcut takes only what it fully understands: every step an item of a plain dict, the end a plain value. Whatever
else (a missing name, a method, a list) it answers with ABSENT or None, and Jinja evaluates the template instead.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final

from jinja2 import nodes

from rules.filters import MAX_TEXT

ABSENT: Final = object()
Path = tuple[str, ...]
Shortcut = Callable[[Mapping[str, Any]], Any]
_PLAIN = frozenset({str, int, bool, type(None)})
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
}
"""Jinja's names of comparisons."""


def path_of(node: nodes.Node) -> Path | None:
    """The names of `a.b.c`; None for any other syntax."""
    names: list[str] = []
    while isinstance(node, nodes.Getattr):
        names.append(node.attr)
        node = node.node
    return (node.name, *reversed(names)) if isinstance(node, nodes.Name) else None


def parts_of(tree: nodes.Template) -> tuple[str | Path, ...] | None:
    """The texts and paths that a template is made of; None if it holds more than those."""
    parts: list[str | Path] = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            part = node.data if isinstance(node, nodes.TemplateData) else path_of(node)
            if part is None:
                return None
            parts.append(part)
    return tuple(parts)


def shortcut_of(node: nodes.Node) -> Shortcut | None:
    """A function that evaluates `a.b.c` or `a.b.c > 1`, or answers ABSENT; None for any other syntax."""
    path = path_of(node)
    if path is not None:
        return lambda context: looked_up(path, context)
    if not isinstance(node, nodes.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0].expr, nodes.Const):
        return None
    left, compare, constant = path_of(node.expr), COMPARISONS.get(node.ops[0].op), node.ops[0].expr.value
    if left is None or compare is None:
        return None

    def compared(context: Mapping[str, Any]) -> Any:
        value = looked_up(left, context)
        try:
            return ABSENT if value is ABSENT else compare(value, constant)
        except TypeError:
            return ABSENT

    return compared


def looked_up(path: Path, context: Mapping[str, Any]) -> Any:
    """The plain value at that path, else ABSENT."""
    value: Any = context.get(path[0], ABSENT)
    for name in path[1:]:
        if type(value) is not dict:
            return ABSENT
        value = value.get(name, ABSENT)
    if type(value) in _PLAIN or (type(value) is float and isfinite(value)):
        return value
    return ABSENT


def filled(parts: tuple[str | Path, ...], context: Mapping[str, Any]) -> str | None:
    """The parts as one text; None where one of them is not plain, or the text is too long."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        value = looked_up(part, context)
        if value is ABSENT:
            return None
        try:
            texts.append(value if type(value) is str else str(value))
        except ValueError:  # An integer of thousands of digits.
            return None
    text = "".join(texts)
    return text if len(text) <= MAX_TEXT else None
