"""Texts and conditions of message templates: Jinja in the sandbox, made for data of which nothing is certain.

What is not there is an empty text; a condition about it does not hold. Names that no event has are errors when a
template is compiled. Most texts only name things, perhaps through a filter: those are filled in without Jinja.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jinja2 import TemplateSyntaxError, UndefinedError, nodes
from jinja2.runtime import Undefined

from notifiers.reading.language import Language
from rules.sandbox import Missing, Sandbox, bound
from rules.shortcuts import path_of
from rules.templates import TemplateError, TextTemplate, compile_expression, compile_text

Context = Mapping[str, Any]
Render = Callable[[Context], str]
Test = Callable[[Context], bool]

_ABSENT: Final = object()
_SLOW: Final = object()
Value = Callable[[Context], Any]

FILTERS: Final = ("number", "percent", "duration", "moment", "day", "lines", "failed_rows", "other_metrics", "trend")
"""What a language shows of a value, beside the filters that every template has."""

_COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
}
_ORDERS: Final = (operator.gt, operator.ge, operator.lt, operator.le)


class Absent(Missing):
    """A value that is not there: an empty text, an empty list, false; to compare it or count with it is an error."""

    __slots__ = ()

    def __str__(self) -> str:  # type: ignore[override]  # theirs raises
        return ""

    def __repr__(self) -> str:
        return ""

    def __bool__(self) -> bool:  # type: ignore[override]  # theirs raises
        return False

    def __len__(self) -> int:  # type: ignore[override]  # theirs raises
        return 0

    def __iter__(self) -> Any:
        return iter(())


class MessageSandbox(Sandbox):
    """The sandbox for one language: its filters, and its way to show a value."""

    def __init__(self, language: Language) -> None:
        super().__init__()
        self.language = language
        self.undefined = Absent
        self.finalize = language.show
        self.filters |= {name: getattr(language, name) for name in FILTERS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """As in every template; of what is not there, nothing is there either."""
        return obj if isinstance(obj, Undefined) else super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """The same."""
        return obj if isinstance(obj, Undefined) else super().getitem(obj, argument)


def text_of(source: str, sandbox: MessageSandbox, names: frozenset[str]) -> Render:
    """A text with `{{ … }}` in it. TemplateError: it cannot be compiled, or names what there never is.

    What comes back raises TemplateError where the text cannot be made.
    """
    if "{" not in source:
        return lambda _context: source
    try:
        parsed = sandbox.parse(source)
        _check(parsed, names, sandbox)
    except TemplateSyntaxError as error:
        raise TemplateError(f"{error.message}") from error
    parts = _parts(parsed, sandbox)
    if parts is None:
        return compile_text(source, sandbox).render
    show = sandbox.language.show

    @functools.cache
    def whole() -> TextTemplate:
        return compile_text(source, sandbox)

    def slow(context: Context) -> str:
        return whole().render(context)

    if len(parts) > 1:
        return _filled(parts, show, slow)
    (only,) = parsed.body[0].nodes if isinstance(parsed.body[0], nodes.Output) else (None,)
    path = path_of(only) if only is not None else None
    if path is not None and len(path) == 2:  # noqa: PLR2004 - most texts: an item of the event's data
        return _only_item(*path, show, slow)
    return _only(parts[0], show, slow)


def item_of(source: str, sandbox: MessageSandbox) -> str | None:
    """The name of the item of `data` that a text is, and nothing else; None for any other text."""
    parsed = sandbox.parse(source)
    node = parsed.body[0] if len(parsed.body) == 1 else None
    path = path_of(node.nodes[0]) if isinstance(node, nodes.Output) and len(node.nodes) == 1 else None
    return path[1] if path is not None and len(path) == 2 and path[0] == "data" else None  # noqa: PLR2004


def _only_item(first: str, second: str, show: Callable[[Any], str], slow: Render) -> Render:
    """A text that is one item of one mapping."""

    def render(context: Context) -> str:
        data = context[first]
        if type(data) is not dict:
            return "" if data is None else slow(context)
        value = data.get(second)
        return value if type(value) is str else "" if value is None else show(value)

    return render


def _only(part: str | Value, show: Callable[[Any], str], slow: Render) -> Render:
    """A text that is one value."""
    if isinstance(part, str):
        return lambda _context: part

    def render(context: Context) -> str:
        value = part(context)
        if type(value) is str:
            return value
        if value is None or value is _ABSENT:
            return ""
        return slow(context) if value is _SLOW else show(value)

    return render


def _filled(parts: Sequence[str | Value], show: Callable[[Any], str], slow: Render) -> Render:
    """A text with values in it."""

    def render(context: Context) -> str:
        texts: list[str] = []
        for part in parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            value = part(context)
            if value is _SLOW:
                return slow(context)
            texts.append(value if type(value) is str else "" if value is _ABSENT else show(value))
        return "".join(texts)

    return render


def condition_of(source: str, sandbox: MessageSandbox, names: frozenset[str]) -> Test:
    """A Jinja expression that holds or does not; about what is not there, or cannot be compared, it does not hold."""
    compiled = compile_expression(source, sandbox)
    node = _expression(source, sandbox, names)
    quick = _test(node)

    def slow(context: Context) -> bool:
        try:
            return bool(compiled.evaluate(context))
        except TemplateError as error:
            if isinstance(error.__cause__, UndefinedError | TypeError):
                return False
            raise

    if quick is None:
        return slow

    def test(context: Context) -> bool:
        found = quick(context)
        return slow(context) if found is _SLOW else bool(found)

    return test


def value_of(source: str, sandbox: MessageSandbox, names: frozenset[str]) -> Value:
    """A Jinja expression's value; None where it is not there."""
    compiled = compile_expression(source, sandbox)
    path = path_of(_expression(source, sandbox, names))
    quick: Value = (lambda _: _SLOW) if path is None else _at(path)

    def value(context: Context) -> Any:
        found = quick(context)
        if found is _SLOW:
            try:
                return compiled.evaluate(context)
            except TemplateError as error:
                if isinstance(error.__cause__, UndefinedError | TypeError):
                    return None
                raise
        return None if found is _ABSENT else found

    return value


def _expression(source: str, sandbox: MessageSandbox, names: frozenset[str]) -> nodes.Expr:
    parsed = sandbox.parse("{{ " + source + " }}")
    try:
        _check(parsed, names, sandbox)
    except TemplateSyntaxError as error:
        raise TemplateError(f"{error.message}") from error
    output = parsed.body[0]
    found = output.nodes[0] if isinstance(output, nodes.Output) else None
    if not isinstance(found, nodes.Expr):
        raise TemplateError(f"{source[:200]!r} is no expression")
    return found


def _check(parsed: nodes.Template, names: frozenset[str], sandbox: MessageSandbox) -> None:
    """Refuse names that there never are; what the sandbox refuses is refused as well."""
    own = {node.name for node in parsed.find_all(nodes.Name) if node.ctx == "store"} | {"loop"}
    for node in parsed.find_all(nodes.Name):
        if node.ctx == "load" and node.name not in names and node.name not in own:
            known = ", ".join(sorted(names))
            raise TemplateSyntaxError(f"there is no {node.name}; there is {known}", node.lineno)
    bound(sandbox.parse("") if not parsed.body else parsed, sandbox)


def _parts(parsed: nodes.Template, sandbox: MessageSandbox) -> Sequence[str | Value] | None:
    """The texts and simple values that a template is made of; None if it holds more than those."""
    parts: list[str | Value] = []
    for output in parsed.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            part = node.data if isinstance(node, nodes.TemplateData) else _simple(node, sandbox)
            if part is None:
                return None
            parts.append(part)
    return parts


def _simple(node: nodes.Expr, sandbox: MessageSandbox) -> Value | None:
    """`a.b.c`, or `a.b.c | duration`, where the filter is one of a language's and its arguments are constants."""
    path = path_of(node)
    if path is not None:
        return _at(path)
    if not isinstance(node, nodes.Filter) or node.name not in FILTERS or node.node is None or node.kwargs:
        return None
    inner = path_of(node.node)
    given = [one.value for one in node.args if isinstance(one, nodes.Const)]
    if inner is None or len(given) != len(node.args):
        return None
    found, shown = _at(inner), sandbox.filters[node.name]

    def filtered(context: Context) -> Any:
        value = found(context)
        return value if value is _SLOW or value is _ABSENT or value is None else shown(value, *given)

    return filtered


def _at(path: tuple[str, ...]) -> Value:
    if len(path) == 1:
        return operator.itemgetter(path[0])
    if len(path) == 2:  # noqa: PLR2004 - nearly all: an item of the event's data
        return _item(*path)
    return lambda context: _walk(context, path)


def _item(first: str, second: str) -> Value:
    def item(context: Context) -> Any:
        value = context[first]
        if type(value) is dict:
            return value.get(second, _ABSENT)
        return _ABSENT if value is None else _SLOW

    return item


def _walk(context: Context, path: tuple[str, ...]) -> Any:
    value = context[path[0]]
    for name in path[1:]:
        if type(value) is not dict:
            return _ABSENT if value is None else _SLOW
        value = value.get(name, _ABSENT)
        if value is _ABSENT:
            return _ABSENT
    return value


def _test(node: nodes.Expr) -> Value | None:
    """A function for paths, comparisons with constants, and `and`, `or`, `not` of those; None for anything else."""
    if isinstance(node, nodes.And | nodes.Or):
        left, right = _test(node.left), _test(node.right)
        return None if left is None or right is None else _joined(left, right, both=isinstance(node, nodes.And))
    if isinstance(node, nodes.Not):
        inner = _test(node.node)
        return None if inner is None else _negated(inner)
    path = path_of(node)
    if path is not None:
        return _truth(_at(path))
    if not isinstance(node, nodes.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0].expr, nodes.Const):
        return None
    left_path, compare, constant = path_of(node.expr), _COMPARED.get(node.ops[0].op), node.ops[0].expr.value
    if left_path is None or compare is None:
        return None
    side = _at(left_path)

    def compared(context: Context) -> Any:
        value = side(context)
        if value is _SLOW:
            return _SLOW
        if value is _ABSENT or (isinstance(value, bool) and compare in _ORDERS):
            return False
        try:
            return compare(value, constant)
        except TypeError:
            return False

    return compared


def _truth(value: Value) -> Value:
    def truth(context: Context) -> Any:
        found = value(context)
        return found if found is _SLOW else found is not _ABSENT and bool(found)

    return truth


def _joined(left: Value, right: Value, *, both: bool) -> Value:
    def joined(context: Context) -> Any:
        first = left(context)
        if first is _SLOW or bool(first) is not both:
            return first
        return right(context)

    return joined


def _negated(inner: Value) -> Value:
    def negated(context: Context) -> Any:
        found = inner(context)
        return found if found is _SLOW else not found

    return negated
