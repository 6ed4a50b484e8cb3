"""The Jinja environment of every template: what it may reach and what one evaluation may cost.

The sandbox of Jinja forbids what is known to be dangerous; this one allows what is known to be harmless, and nothing
else: mappings' items, a few methods of text, mappings and dates, a closed list of filters and of syntax. Every
operation has a bounded result, and no syntax is left that could repeat or nest without a bound.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing, pass_context

from rules.filters import FILTERS, MAX_ITEMS, TESTS, LimitError, joined_by, printable, replace, within, zfill

MAX_BITS: Final = 1024
_TEXT_BOUNDED: Mapping[str, Callable[..., str]] = {"replace": replace, "join": joined_by, "zfill": zfill}
# What a template may reach of each kind of value, beside items. Nothing here changes a value, formats, or makes more
# than it is given.
_TEXT_METHODS = (
    "capitalize casefold count endswith find index isalnum isalpha isdigit islower isnumeric isspace isupper lower "
    "lstrip partition removeprefix removesuffix rfind rindex rpartition rsplit rstrip split splitlines startswith "
    "strip swapcase title upper"
)
_DATE_ATTRIBUTES = "year month day hour minute second microsecond date isoformat isoweekday timestamp weekday"
_ATTRIBUTES: tuple[tuple[type, frozenset[str]], ...] = tuple(
    (kind, frozenset(names.split()))
    for kind, names in (
        (str, _TEXT_METHODS),
        (Mapping, "get items keys values"),
        (date, _DATE_ATTRIBUTES),
        (LoopContext, "first index index0 last length nextitem previtem revindex revindex0"),
    )
)
_SYNTAX = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign),
    *(nodes.Name, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr),
    *(nodes.Filter, nodes.Test, nodes.Call, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Concat),
    *(nodes.Compare, nodes.Operand, nodes.BinExpr, nodes.UnaryExpr),
)
_LOOP_FILTER = " loop"


class Missing(StrictUndefined):
    """A name that is not there: says so, and what is there instead, as soon as it is used."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        if self._undefined_obj is missing:
            return f"{self._undefined_name} is undefined"
        if isinstance(self._undefined_obj, Mapping):
            known = ", ".join(sorted(str(key)[:40] for key in self._undefined_obj)[:12]) or "nothing"
            return f"{self._undefined_name} is undefined; there is {known}"
        return f"{self._undefined_name} is undefined for {type(self._undefined_obj).__name__}"

    def __repr__(self) -> str:
        """Fail as every other use does: a list with something undefined in it has no text either."""
        _fail(self)


class _Code(CodeGenerator):
    """Jinja's code, with bounds on what makes text and lists and on how often a loop turns."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("environment.concatenated((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802
        self.write("environment.flat(")
        super().visit_List(node, frame)
        self.write(")")

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802
        if node.ctx != "load":
            super().visit_Tuple(node, frame)
            return
        self.write("environment.flat(")
        super().visit_Tuple(node, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
        self.write("environment.flat(")
        super().visit_Dict(node, frame)
        self.write(")")


class _Counting(Context):
    """One evaluation: how many turns its loops have left."""

    turns = MAX_ITEMS


@pass_context
def _loop(context: Context, values: Iterable[Any]) -> list[Any]:
    """What a `for` goes over, charged to the evaluation before the first turn."""
    items = list(values)
    if isinstance(context, _Counting):
        context.turns -= len(items)
        if context.turns < 0:
            raise LimitError(f"its loops turn more than {MAX_ITEMS:,} times")
    return items


class Sandbox(ImmutableSandboxedEnvironment):
    """Where templates are compiled and evaluated. It has no loader, no globals and no extensions."""

    code_generator_class = _Code
    context_class = _Counting
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            autoescape=False,
            cache_size=0,
            finalize=printable,
            keep_trailing_newline=True,
            optimized=False,  # Compiling evaluates nothing.
            undefined=Missing,
        )
        self.globals.clear()
        self.filters = {**FILTERS, _LOOP_FILTER: _loop}
        self.tests = dict(TESTS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A mapping's item; else one of the few harmless attributes of text, mappings, dates and loops."""
        if isinstance(obj, Undefined):
            _fail(obj)
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, str) and attribute in _TEXT_BOUNDED:
            return functools.partial(_TEXT_BOUNDED[attribute], obj)
        if _reachable(obj, attribute) and hasattr(obj, attribute):
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item of a mapping, a list or a text; never an attribute."""
        if isinstance(obj, Undefined):
            _fail(obj)
        if isinstance(obj, Mapping | list | tuple | str):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        return self.undefined(obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:
        """Only what `getattr` hands out is ever called."""
        if isinstance(obj, Undefined):
            _fail(obj)
        if isinstance(obj, functools.partial):
            return obj.func in _TEXT_BOUNDED.values()
        return _reachable(getattr(obj, "__self__", None), getattr(obj, "__name__", ""))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic of numbers, `text + text` and `text * number`, each with a bounded result."""
        for side in (left, right):
            if isinstance(side, Undefined):
                _fail(side)
        if isinstance(left, int | float) and isinstance(right, int | float):
            return self._arithmetic(context, operator, left, right)
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            within(len(left) + len(right))
            return left + right
        if operator == "*" and isinstance(left, str) and isinstance(right, int):
            within(len(left) * right)
            return left * right
        sides = f"{type(left).__name__} {operator} {type(right).__name__}"
        raise SecurityError(f"{sides} is not possible in a template; `~` joins values as text")

    def _arithmetic(self, context: Context, operator: str, left: float, right: float) -> Any:
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            _bits(left.bit_length() * max(right, 0))
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int):
            _bits(result.bit_length())
        return result

    def concatenated(self, parts: Iterable[Any]) -> str:
        """`a ~ b`: the values as text, one after the other."""
        return joined_by("", parts)

    def flat(self, display: Any) -> Any:
        """A list or mapping written in a template, if it holds plain values: nesting them could grow for ever."""
        for value in display.values() if isinstance(display, dict) else display:
            if isinstance(value, Mapping | list | tuple):
                raise LimitError("it puts a list or mapping into another one; those it writes itself hold plain values")
        return display


def _reachable(obj: Any, attribute: str) -> bool:
    return any(isinstance(obj, kind) and attribute in allowed for kind, allowed in _ATTRIBUTES)


def _fail(undefined: Undefined) -> NoReturn:
    undefined._fail_with_undefined_error()  # noqa: SLF001 - how Jinja's own runtime does it
    raise AssertionError("unreachable: the line above raises")


def _bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise LimitError(f"it makes a number of {bits:,} bits; at most {MAX_BITS:,} are possible")


def bound(tree: nodes.Template, sandbox: Sandbox) -> None:
    """Refuse what templates may not say, and charge every loop's turns; TemplateSyntaxError says which and where."""
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, _SYNTAX):
            raise TemplateSyntaxError(f"{type(node).__name__} is not possible here", node.lineno)
        _check_names(node)
        if isinstance(node, nodes.Filter) and node.name not in sandbox.filters:
            known = ", ".join(sorted(name for name in sandbox.filters if name != _LOOP_FILTER))
            raise TemplateSyntaxError(f"there is no filter {node.name}; there is {known}", node.lineno)
        if isinstance(node, nodes.Test) and node.name not in TESTS:
            known = ", ".join(sorted(name for name in TESTS if name.isalpha()))
            raise TemplateSyntaxError(f"there is no test {node.name}; there is {known}", node.lineno)
        if isinstance(node, nodes.Call | nodes.Filter | nodes.Test) and (node.dyn_args or node.dyn_kwargs):
            raise TemplateSyntaxError("*args and **kwargs are not possible here", node.lineno)
        waiting.extend(node.iter_child_nodes())
        if isinstance(node, nodes.For):
            if node.recursive:
                raise TemplateSyntaxError("a recursive loop is not possible here", node.lineno)
            node.iter = nodes.Filter(node.iter, _LOOP_FILTER, [], [], None, None, lineno=node.lineno)
            node.iter.set_environment(sandbox)


def _check_names(node: nodes.Node) -> None:
    name = node.attr if isinstance(node, nodes.Getattr) else node.name if isinstance(node, nodes.Name) else ""
    if name.startswith("__") or (name == "self" and isinstance(node, nodes.Name)):
        raise TemplateSyntaxError(f"{name} is not for templates", node.lineno)
