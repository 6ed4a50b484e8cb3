"""Texts and conditions of message templates: Jinja in the sandbox, made for data of which nothing is certain.

What is not there is an empty text; a condition about it does not hold. Names that no event has are errors when a
template is compiled. Most texts only name things, perhaps through a filter: those do without Jinja (`quick`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import TemplateSyntaxError, UndefinedError, nodes
from jinja2.runtime import Undefined

from notifiers.reading.language import Language
from notifiers.reading.quick import ABSENT, FILTERS, SLOW, Context, Value, at, parts_of, test_of
from rules.sandbox import Missing, Sandbox, bound
from rules.shortcuts import path_of
from rules.templates import TemplateError, TextTemplate, compile_expression, compile_text

Render = Callable[[Context], str]
Test = Callable[[Context], bool]


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
    parts = parts_of(parsed, sandbox.filters)
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
        if value is None or value is ABSENT:
            return ""
        return slow(context) if value is SLOW else show(value)

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
            if value is SLOW:
                return slow(context)
            texts.append(value if type(value) is str else "" if value is ABSENT else show(value))
        return "".join(texts)

    return render


def condition_of(source: str, sandbox: MessageSandbox, names: frozenset[str]) -> Test:
    """A Jinja expression that holds or does not; about what is not there, or cannot be compared, it does not hold."""
    compiled = compile_expression(source, sandbox)
    node = _expression(source, sandbox, names)
    quick = test_of(node)

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
        return slow(context) if found is SLOW else bool(found)

    return test


def value_of(source: str, sandbox: MessageSandbox, names: frozenset[str]) -> Value:
    """A Jinja expression's value; None where it is not there."""
    compiled = compile_expression(source, sandbox)
    path = path_of(_expression(source, sandbox, names))
    quick: Value = (lambda _: SLOW) if path is None else at(path)

    def value(context: Context) -> Any:
        found = quick(context)
        if found is SLOW:
            try:
                return compiled.evaluate(context)
            except TemplateError as error:
                if isinstance(error.__cause__, UndefinedError | TypeError):
                    return None
                raise
        return None if found is ABSENT else found

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
