"""What most texts and conditions of templates are, done without Jinja: names, a filter, a comparison.

What is made here takes only what it fully understands, a step into a plain mapping: of all else it answers SLOW, and
whoever asked lets Jinja do it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jinja2 import nodes

from rules.shortcuts import COMPARISONS, path_of

Context = Mapping[str, Any]
Value = Callable[[Context], Any]
"""The value for a context: ABSENT where there is none, SLOW where it has to be asked of Jinja."""

ABSENT: Final = object()
SLOW: Final = object()

FILTERS: Final = ("number", "percent", "duration", "moment", "day", "lines", "failed_rows", "other_metrics", "trend")
"""What a language shows of a value, beside the filters that every template has."""

_ORDERS: Final = (operator.gt, operator.ge, operator.lt, operator.le)


def parts_of(parsed: nodes.Template, filters: Mapping[str, Callable[..., Any]]) -> Sequence[str | Value] | None:
    """The texts and simple values that a template is made of; None if it holds more than those."""
    parts: list[str | Value] = []
    for output in parsed.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            part = node.data if isinstance(node, nodes.TemplateData) else _simple(node, filters)
            if part is None:
                return None
            parts.append(part)
    return parts


def _simple(node: nodes.Expr, filters: Mapping[str, Callable[..., Any]]) -> Value | None:
    """`a.b.c`, or `a.b.c | duration`, where the filter is one of a language's and its arguments are constants."""
    path = path_of(node)
    if path is not None:
        return at(path)
    if not isinstance(node, nodes.Filter) or node.name not in FILTERS or node.node is None or node.kwargs:
        return None
    inner = path_of(node.node)
    given = [one.value for one in node.args if isinstance(one, nodes.Const)]
    if inner is None or len(given) != len(node.args):
        return None
    found, shown = at(inner), filters[node.name]

    def filtered(context: Context) -> Any:
        value = found(context)
        return value if value is SLOW or value is ABSENT or value is None else shown(value, *given)

    return filtered


def at(path: tuple[str, ...]) -> Value:
    """The value that stands there."""
    if len(path) == 1:
        return operator.itemgetter(path[0])
    if len(path) == 2:  # noqa: PLR2004 - nearly all: an item of the event's data
        return _item(*path)
    return lambda context: _walk(context, path)


def _item(first: str, second: str) -> Value:
    def item(context: Context) -> Any:
        value = context[first]
        if type(value) is dict:
            return value.get(second, ABSENT)
        return ABSENT if value is None else SLOW

    return item


def _walk(context: Context, path: tuple[str, ...]) -> Any:
    value = context[path[0]]
    for name in path[1:]:
        if type(value) is not dict:
            return ABSENT if value is None else SLOW
        value = value.get(name, ABSENT)
        if value is ABSENT:
            return ABSENT
    return value


def test_of(node: nodes.Expr) -> Value | None:
    """A function for paths, comparisons with constants, and `and`, `or`, `not` of those; None for anything else."""
    if isinstance(node, nodes.And | nodes.Or):
        left, right = test_of(node.left), test_of(node.right)
        return None if left is None or right is None else _joined(left, right, both=isinstance(node, nodes.And))
    if isinstance(node, nodes.Not):
        inner = test_of(node.node)
        return None if inner is None else _negated(inner)
    path = path_of(node)
    if path is not None:
        return _truth(at(path))
    if not isinstance(node, nodes.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0].expr, nodes.Const):
        return None
    left_path, compare, constant = path_of(node.expr), COMPARISONS.get(node.ops[0].op), node.ops[0].expr.value
    if left_path is None or compare is None:
        return None
    side = at(left_path)

    def compared(context: Context) -> Any:
        value = side(context)
        if value is SLOW:
            return SLOW
        if value is ABSENT or (isinstance(value, bool) and compare in _ORDERS):
            return False
        try:
            return compare(value, constant)
        except TypeError:
            return False

    return compared


def _truth(value: Value) -> Value:
    def truth(context: Context) -> Any:
        found = value(context)
        return found if found is SLOW else found is not ABSENT and bool(found)

    return truth


def _joined(left: Value, right: Value, *, both: bool) -> Value:
    def joined(context: Context) -> Any:
        first = left(context)
        if first is SLOW or bool(first) is not both:
            return first
        return right(context)

    return joined


def _negated(inner: Value) -> Value:
    def negated(context: Context) -> Any:
        found = inner(context)
        return found if found is SLOW else not found

    return negated
