"""Templates that the configuration holds: text, expressions, and JSON with templates in it.

A template is written by whoever writes the configuration. What it is filled with (a file's name, a payload) is data:
it is never itself read as a template. Evaluating is bounded whatever the data: a text that is made has at most 64 Ki
characters, a source at most 16 Ki, and loops turn at most 1,000 times in all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from jinja2 import Template, TemplateSyntaxError, UndefinedError, nodes
from jinja2.parser import Parser
from jinja2.runtime import Context

from rules.filters import plain, within
from rules.sandbox import Sandbox, bound
from rules.shortcuts import ABSENT, Path, Shortcut, filled, parts_of, shortcut_of

MAX_SOURCE: Final = 16 * 1024
MAX_DEPTH: Final = 64
_MARKERS = ("{{", "{%", "{#")
_SANDBOX = Sandbox()


class TemplateError(ValueError):
    """A template that cannot be compiled or evaluated: names its source, and the name that is undefined."""


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A text with `{{ … }}` in it. Two of one source are equal."""

    source: str
    _parts: tuple[str | Path, ...] | None = field(compare=False, repr=False)
    _compiled: Template | None = field(compare=False, repr=False)

    def render(self, context: Mapping[str, Any]) -> str:
        """The text for that context, at most 64 Ki characters; TemplateError if there is none."""
        if self._compiled is None:
            return self.source
        if self._parts is not None:
            text = filled(self._parts, context)
            if text is not None:
                return text
        with _explained("template", self.source, context):
            texts: list[str] = []
            total = 0
            for text in self._compiled.root_render_func(_context(self._compiled, context)):
                texts.append(text)
                total += len(text)
                within(total)
            return "".join(texts)


@dataclass(frozen=True, slots=True)
class Expression:
    """A Jinja expression: what stands between `{{` and `}}`. Two of one source are equal."""

    source: str
    _shortcut: Shortcut | None = field(compare=False, repr=False)
    _compiled: Template = field(compare=False, repr=False)

    def evaluate(self, context: Mapping[str, Any]) -> Any:
        """Its value as JSON (times as RFC 3339 text), free of anything shared with the context; else TemplateError."""
        if self._shortcut is not None:
            value = self._shortcut(context)
            if value is not ABSENT:
                return value
        with _explained("expression", self.source, context):
            scope = _context(self._compiled, context)
            for _ in self._compiled.root_render_func(scope):
                pass
            return plain(scope.vars["result"])


@dataclass(frozen=True, slots=True)
class Tree:
    """JSON whose texts are templates. Two of one source are equal."""

    source: Any
    _render: Callable[[Mapping[str, Any]], Any] = field(compare=False, repr=False)

    def render(self, context: Mapping[str, Any]) -> Any:
        """The JSON for that context, made afresh; TemplateError names the place of what cannot be evaluated.

        A text that is exactly one `{{ expression }}` becomes the expression's value, a number staying a number.
        """
        return self._render(context)


def compile_text(source: str, sandbox: Sandbox = _SANDBOX) -> TextTemplate:
    """Compile a text template; TemplateError says what is wrong with it. Without a Jinja marker it is its own text."""
    return _text(source, _parsed(source, sandbox), sandbox)


def compile_expression(source: str, sandbox: Sandbox = _SANDBOX) -> Expression:
    """Compile an expression, written without braces; TemplateError says what is wrong with it."""
    if source.lstrip().startswith("{{"):
        raise TemplateError(f"expression {_shown(source)}: write it without {{{{ and }}}}")
    with _explained("expression", source):
        _check_length(source)
        parser = Parser(sandbox, source, state="variable")
        expression = parser.parse_expression()
        if not parser.stream.eos:
            raise TemplateSyntaxError("there is more after its end", parser.stream.current.lineno)
        expression.set_environment(sandbox)
    return _expression(source, expression, sandbox)


def compile_tree(tree: Any) -> Tree:
    """Compile JSON in which texts are templates; keys and other values stay as they are.

    TemplateError names the place of what is wrong, also of a value that JSON does not know.
    """
    return Tree(tree, _node(tree, ()))


def _text(source: str, parsed: nodes.Template | None, sandbox: Sandbox = _SANDBOX) -> TextTemplate:
    if parsed is None:
        return TextTemplate(source, None, None)
    parts = parts_of(parsed)
    with _explained("template", source):
        bound(parsed, sandbox)
        return TextTemplate(source, parts, sandbox.from_string(parsed))


def _expression(source: str, expression: nodes.Expr, sandbox: Sandbox = _SANDBOX) -> Expression:
    shortcut = shortcut_of(expression)
    with _explained("expression", source):
        program = nodes.Template([nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)], lineno=1)
        program.set_environment(sandbox)
        bound(program, sandbox)
        return Expression(source, shortcut, sandbox.from_string(program))


def _parsed(source: str, sandbox: Sandbox = _SANDBOX) -> nodes.Template | None:
    """The source's syntax; None for a source that is plain text."""
    with _explained("template", source):
        _check_length(source)
        return sandbox.parse(source) if any(marker in source for marker in _MARKERS) else None


def _check_length(source: str) -> None:
    if len(source) > MAX_SOURCE:
        raise TemplateError(f"it has {len(source):,} characters; at most {MAX_SOURCE:,} are possible")


@contextmanager
def _explained(what: str, source: str, context: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Whatever goes wrong inside becomes a TemplateError that names the source."""
    try:
        yield
    except TemplateSyntaxError as error:
        where = f" (line {error.lineno})" if "\n" in source else ""
        raise TemplateError(f"{what} {_shown(source)}: {error.message}{where}") from error
    except UndefinedError as error:
        known = ", ".join(sorted(str(name)[:40] for name in context or ())[:12]) or "nothing"
        raise TemplateError(f"{what} {_shown(source)}: {error.message} (it is given {known})") from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise TemplateError(f"{what} {_shown(source)}: it is nested too deeply") from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise TemplateError(f"{what} {_shown(source)}: {reason}") from error


def _shown(source: str) -> str:
    return repr(source if len(source) <= 200 else f"{source[:200]}…")  # noqa: PLR2004 - what fits a line or two


def _context(compiled: Template, context: Mapping[str, Any]) -> Context:
    return compiled.new_context(dict(context), shared=True)


def _node(tree: Any, place: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    if len(place) > MAX_DEPTH:
        raise TemplateError(f"{'.'.join(place[:4])}…: it is nested more than {MAX_DEPTH} deep")
    if isinstance(tree, str):
        return _leaf(tree, place)
    if isinstance(tree, Mapping):
        fields = tuple((_key(key, place), _node(value, (*place, str(key)))) for key, value in tree.items())
        return lambda context: {key: render(context) for key, render in fields}
    if isinstance(tree, list | tuple):
        items = tuple(_node(item, (*place, str(position))) for position, item in enumerate(tree))
        return lambda context: [render(context) for render in items]
    if tree is None or isinstance(tree, bool | int) or (isinstance(tree, float) and math.isfinite(tree)):
        return lambda _: tree
    raise TemplateError(f"{_at(place)}{tree!s:.80} is a {type(tree).__name__}, which JSON does not know; quote it")


def _key(key: Any, place: tuple[str, ...]) -> str:
    if isinstance(key, str):
        return key
    raise TemplateError(f"{_at(place)}the key {key!r:.80} is a {type(key).__name__}; keys are text: quote it")


def _at(place: tuple[str, ...]) -> str:
    return f"{'.'.join(place)}: " if place else ""


def _leaf(source: str, place: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    try:
        parsed = _parsed(source)
        if parsed is None:
            return lambda _: source
        only = parsed.body[0] if len(parsed.body) == 1 else None
        if (
            isinstance(only, nodes.Output)
            and len(only.nodes) == 1
            and not isinstance(only.nodes[0], nodes.TemplateData)
        ):
            evaluate = _expression(source, only.nodes[0]).evaluate
        else:
            evaluate = _text(source, parsed).render
    except TemplateError as error:
        raise TemplateError(f"{_at(place)}{error}") from error

    def render(context: Mapping[str, Any]) -> Any:
        try:
            return evaluate(context)
        except TemplateError as error:
            raise TemplateError(f"{_at(place)}{error}") from error

    return render
