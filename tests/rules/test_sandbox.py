"""What a template may not reach, and what it may not cost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.filters import FILTERS, MAX_TEXT
from rules.templates import MAX_SOURCE, TemplateError, compile_expression, compile_text, compile_tree


class Thing:
    """An object of Python's that got into a context by mistake."""

    secret = "hunter2"

    def __call__(self) -> str:
        return self.secret


CONTEXT: dict[str, Any] = {
    "x": "abc",
    "n": 3,
    "d": {"a": 1, "f": "{0.__class__}"},
    "rows": [{"a": 1}, {"a": 2}],
    "many": list(range(600)),
    "thing": Thing(),
    "call": Thing.__call__,
    "big": "a" * 40_000,
}

ESCAPES = [
    "''.__class__.__mro__[1].__subclasses__()",
    "''['__class__']['__mro__']",
    "''[('__cla' ~ 'ss__')]",
    "x|attr('__class__')",
    "x|attr('format')('a')",
    "[x]|map('attr', '__class__')|list",
    "[x]|map(attribute='__class__')|list",
    "[x]|map('format', 1)|list",
    "rows|sort(attribute='__class__')",
    "rows|selectattr('__class__')|list",
    "rows|sum('__class__')",
    "rows|groupby('__class__')",
    "'{0.__class__.__init__.__globals__}'.format(x)",
    "'{0.__class__}'|format(x)",
    "'%s'|format(x)",
    "'%(a)s' % d",
    "'%1000000000d' % 1",
    "d.f.format(x)",
    "d.f.format_map(d)",
    "[d.f.format]|first",
    "''.format.__globals__",
    "x.upper.__self__",
    "x.upper.__func__",
    "x.encode('punycode')",
    "x.translate(d)",
    "x.center(10)",
    "x.__len__()",
    "d.__init__",
    "d.pop('a')",
    "d.update(b=1)",
    "d.clear()",
    "d.setdefault('b', 1)",
    "rows.append(1)",
    "rows.__add__(rows)",
    "self",
    "self.__init__",
    "self._TemplateReference__context",
    "cycler.__init__.__globals__.os.popen('id').read()",
    "joiner.__init__.__globals__",
    "namespace.__init__.__globals__",
    "lipsum.__globals__['os']",
    "range(10)",
    "dict(a=1)",
    "get_flashed_messages.__globals__",
    "config.items()",
    "request.application.__globals__.__builtins__",
    "url_for.__globals__",
    "environment",
    "context",
    "caller()",
    "super()",
    "thing",
    "[thing]",
    "x ~ [thing]",
    "[thing]|string",
    "[thing]|join",
    "thing.secret",
    "thing['secret']",
    "thing()",
    "call(thing)",
    "[thing]|map(attribute='secret')|list",
    "(x for x in [1])",
    "(lambda: 1)()",
    "process.mainModule.require('child_process')",
    "this.constructor.constructor('return process')()",
    "x.constructor",
    "x|pprint",
    "x|xmlattr",
    "rows|random",
    "x|safe",
    "x.upper(*[])",
    "x.upper(**d)",
    "x|replace(*['a', 'b'])",
    "x is sameas(x)",
    "x is callable",
    "n.real",
    "n.bit_length()",
    "n.__class__",
    "().__class__.__bases__[0]",
    "true.__class__",
    "none.__class__",
    "1.0.as_integer_ratio()",
]
STATEMENTS = [
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends x %}",
    "{% block b %}{% endblock %}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% call x() %}{% endcall %}",
    "{% filter upper %}a{% endfilter %}",
    "{% set y %}a{% endset %}",
    "{% set d.a = 1 %}",
    "{% do x %}",
    "{% with y = 1 %}{% endwith %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% for r in rows recursive %}{{ loop(rows) }}{% endfor %}",
    "{% for r in rows %}{{ loop.__init__ }}{% endfor %}",
    "{% for r in rows %}{{ loop._iterator }}{% endfor %}",
    "{% for r in rows %}{{ loop }}{% endfor %}",
    "{% for r in rows %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% debug %}",
    "{% trans %}x{% endtrans %}",
]
COSTS = [
    "'a' * 10**9",
    "x * 10**9",
    "[1] * 10**9",
    "(1,) * 10**9",
    "rows * 1000",
    "rows + rows",
    "10**(10**10)",
    "9**99999999",
    "2**1025",
    "(2**1000) * (2**1000)",
    "-(2**1000) * (2**1000)",
    "big + big",
    "big ~ big",
    "big|replace('a', 'aa')",
    "big.replace('', 'xxx')",
    "x|replace('', big)",
    "'x'.join([big, big])",
    "[big, big]|join",
    "many|join(x * 100)",
    "x.zfill(10**9)",
    "x.ljust(10**9)",
    "x.center(10**9)",
    "x.expandtabs(10**9)",
    "x|center(10**9)",
    "x|indent(10**9)",
    "rows|batch(10**9, x)|list",
    "rows|slice(10**9)|list",
    "'%*d'|format(10**9, 1)",
    "1.5|round(10**9)",
    "1.5|round(10**9, 'ceil')",
    "rows|sum(start=[])",
    "rows|map('list')|sum(start=[])",
    "[[x], [x]]",
    "{'a': rows}",
    "(rows, rows)",
]
LOOPS = [
    "{% for a in many %}{% for b in many %}x{% endfor %}{% endfor %}",
    "{% for a in many %}{% for b in many %}{% endfor %}{% endfor %}",
    "{% for a in many %}{{ x * 40 }}{% endfor %}",
    "{% for a in rows %}{{ big }}{% endfor %}",
    "{% set y = [x, x] %}" + "{% set y = [y, y] %}" * 300 + "{{ y }}",
    "{% set y = x ~ x %}" + "{% set y = y ~ y %}" * 300 + "{{ y|length }}",
    "{% set y = 2 %}" + "{% set y = y * y %}" * 300 + "{{ y }}",
    "{% for a in [x ~ x] %}{% for a in [a ~ a] %}" + "{% for a in [a ~ a] %}" * 15 + "{% endfor %}" * 17,
]
DEEP = [
    "(" * 5_000 + "1" + ")" * 5_000,
    "[" * 5_000 + "]" * 5_000,
    "-" * 10_000 + "1",
    "not " * 4_000 + "1",
    "d" + ".a" * 8_000,
    "d" + "|upper" * 2_500,
    "1" + "+1" * 8_000,
    "x" + "[0]" * 5_000,
]


def refused(source: str) -> bool:
    try:
        result = compile_text(source).render(CONTEXT)
    except TemplateError:
        return True
    raise AssertionError(f"{source[:200]} gave {result[:200]}")


@pytest.mark.parametrize("expression", ESCAPES)
def test_an_escape_is_refused(expression: str) -> None:
    before = repr(CONTEXT)
    assert refused(f"{{{{ {expression} }}}}")
    with pytest.raises(TemplateError):
        compile_expression(expression).evaluate(CONTEXT)
    with pytest.raises(TemplateError):
        compile_tree({"a": [f"{{{{ {expression} }}}}"]}).render(CONTEXT)
    assert repr(CONTEXT) == before


@pytest.mark.parametrize("source", STATEMENTS)
def test_a_statement_that_templates_do_not_need_is_refused(source: str) -> None:
    assert refused(source)


@pytest.mark.parametrize("expression", COSTS)
def test_an_expression_that_would_cost_too_much_is_refused(expression: str) -> None:
    assert refused(f"{{{{ {expression} }}}}")


@pytest.mark.parametrize("source", LOOPS, ids=range(len(LOOPS)))
def test_a_template_that_would_cost_too_much_is_refused(source: str) -> None:
    assert refused(source)


@pytest.mark.parametrize("expression", DEEP, ids=range(len(DEEP)))
def test_a_source_that_is_nested_too_deeply_is_refused(expression: str) -> None:
    assert refused(f"{{{{ {expression} }}}}")


def test_sources_and_texts_have_a_greatest_length() -> None:
    assert compile_text("a" * MAX_SOURCE).render({}) == "a" * MAX_SOURCE
    with pytest.raises(TemplateError, match="16,385 characters; at most 16,384"):
        compile_text("a" * (MAX_SOURCE + 1))
    with pytest.raises(TemplateError, match="at most 16,384"):
        compile_expression("1 " * MAX_SOURCE)
    fits = {"x": "a" * MAX_TEXT}
    assert compile_text("{{ x }}").render(fits) == "a" * MAX_TEXT
    with pytest.raises(TemplateError, match="65,537 characters; at most 65,536"):
        compile_text("{{ x }}b").render(fits)


def test_a_value_taken_over_from_data_may_be_long() -> None:
    payload = {"rows": ["a" * 100_000]}
    assert compile_tree({"payload": "{{ p }}"}).render({"p": payload}) == {"payload": payload}


def test_the_filters_are_a_closed_list() -> None:
    assert not set(FILTERS) & {"attr", "format", "random", "safe", "center", "indent", "batch", "slice", "groupby"}


PIECES = st.sampled_from(
    [
        *("x", "d", "rows", "thing", "n", "''", "()", "[]", "1", "'a'", "loop", "self"),
        *(".__class__", ".format", "['__init__']", ".items()", ".a", "[0]", ".upper", "()", "(1)", ".replace('a','b')"),
        *("|list", "|map('upper')", "|attr('x')", "|first", "|join", "|tojson", " ~ ", " + ", " * 99", "**9", "|sort"),
        *(" if ", " else ", ", ", "(", ")", " in ", " is defined", " not ", " == "),
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=9).map("".join))
def test_whatever_is_written_gives_a_plain_text_or_a_template_error(expression: str) -> None:
    try:
        result = compile_text(f"{{{{ {expression} }}}}").render(CONTEXT)
    except TemplateError:
        return
    assert len(result) <= MAX_TEXT
    assert "hunter2" not in result
    assert " at 0x" not in result
    assert "<class" not in result


def test_loops_turn_a_thousand_times_in_all() -> None:
    source = "{% for a in v %}{% endfor %}{% for a in v %}.{% endfor %}"
    assert compile_text(source).render({"v": list(range(500))}) == "." * 500
    with pytest.raises(TemplateError, match="its loops turn more than 1,000 times"):
        compile_text(source).render({"v": list(range(501))})
