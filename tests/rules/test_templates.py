"""Templates say what Jinja says, keep JSON's types, and never read data as a template."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined, UndefinedError

from rules.filters import basename, stem, suffix
from rules.shortcuts import ABSENT, parts_of, shortcut_of
from rules.templates import TemplateError, TextTemplate, compile_expression, compile_text, compile_tree

FILE = {"name": "a.csv", "path": "/in/a.csv", "size": 12, "mtime": 1.5, "items": 3, "hidden": False, "owner": None}
CONTEXT: dict[str, Any] = {
    "file": FILE,
    "rows": [1, 2, 3],
    "files": [FILE],
    "at": datetime(2026, 11, 21, 23, 30, tzinfo=UTC),
}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from(["a", "b", "c", "keys", "upper"])
DATA = st.dictionaries(
    NAMES, st.recursive(SCALARS, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6), max_size=3
)
JINJA = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)


def text(source: str, context: dict[str, Any] | None = None) -> str:
    return compile_text(source).render(CONTEXT if context is None else context)


def value(source: str, context: dict[str, Any] | None = None) -> Any:
    return compile_expression(source).evaluate(CONTEXT if context is None else context)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain } text %}\n", "plain } text %}\n"),
        ("{{ file.name }}", "a.csv"),
        ("{{ file.path }}@{{ file.size }}\n", "/in/a.csv@12\n"),
        ("{{ file.items }}", "3"),
        ("{{ file['name'] }}", "a.csv"),
        ("{{ file.name.removesuffix('.csv').upper() }}", "A"),
        ("{{ file.name.replace('a', 'b') }}", "b.csv"),
        ("{{ ', '.join(['x', 'y']) }}", "x, y"),
        ("{{ (file.size|string).zfill(5) }}", "00012"),
        ("{% for r in rows %}{{ loop.index }}:{{ r }}{{ '' if loop.last else ' ' }}{% endfor %}", "1:1 2:2 3:3"),
        ("{% if file.size > 10 %}big{% else %}small{% endif %}", "big"),
        ("{% set x = file.size * 2 %}{{ x }}", "24"),
        ("{{ file.nope|default('none') }}", "none"),
        ("{{ file.name ~ '-' ~ file.size }}", "a.csv-12"),
        ("{{ rows|map('string')|join('+') }}", "1+2+3"),
        ("{{ rows|sum }} {{ rows|max }} {{ 2.345|round(1) }}", "6 3 2.3"),
        ("{{ file|tojson }}", json.dumps(FILE, sort_keys=True, separators=(",", ":"))),
        ("{{ file.path|basename }} {{ file.path|dirname }}", "a.csv /in"),
        ("{{ file.path|stem }} {{ file.path|suffix }}", "a .csv"),
        ("{{ 's3://b/k/x.csv'|dirname }}", "s3://b/k"),
        ("{{ '/x'|dirname }}", "/"),
        ("{{ 'Ünï  Дом_№1!'|slug }}", "ünï-дом-1"),
        (
            "{{ at|isodate }} {{ 0|isodate }} {{ '2026-11-21T23:30:00-02:00'|isodate }}",
            "2026-11-21 1970-01-01 2026-11-22",
        ),
        ("{{ at.year }} {{ at.isoformat() }}", "2026 2026-11-21T23:30:00+00:00"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
    ],
)
def test_a_text_template_renders(source: str, expected: str) -> None:
    assert text(source) == expected


def test_an_item_comes_before_a_method_of_the_same_name() -> None:
    with pytest.raises(TemplateError, match="not safely callable"):
        text("{{ file.items() }}")
    assert text("{% for k, v in file.items() %}{{ k }}={{ v }}{% endfor %}", {"file": {"a": 1}}) == "a=1"


@given(st.text())
def test_a_source_without_a_marker_is_its_own_text(source: str) -> None:
    assume(not any(marker in source for marker in ("{{", "{%", "{#")))
    assert text(source) == source
    assert compile_tree(source).render({}) == source


@given(st.data(), DATA)
def test_the_shortcut_of_paths_says_what_jinja_says(data: st.DataObject, context: dict[str, Any]) -> None:
    source = "".join(
        data.draw(st.just("x ") | st.lists(NAMES, min_size=1, max_size=3).map(lambda n: f"{{{{ {'.'.join(n)} }}}}"))
        for _ in range(data.draw(st.integers(1, 3)))
    )
    template = compile_text(source)
    slow = TextTemplate(source, None, template._compiled)
    assert outcome(template.render, context) == outcome(slow.render, context)
    if any(method in source for method in ("keys", "upper")):
        return  # Plain Jinja prefers a method to an item of the same name, and prints it.
    try:
        jinja = JINJA.from_string(source).render(context)
    except UndefinedError:
        with pytest.raises(TemplateError, match="is undefined"):
            template.render(context)
    else:
        assert template.render(context) == jinja


@given(
    NAMES, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), SCALARS, st.sampled_from(["0", "1.5", "'a'", "none"])
)
def test_the_shortcut_of_comparisons_says_what_jinja_says(name: str, sign: str, held: Any, constant: str) -> None:
    expression = compile_expression(f"{name} {sign} {constant}")
    assert expression._shortcut is not None
    slow = type(expression)(expression.source, None, expression._compiled)
    for context in ({name: held}, {name: [held]}, {}):
        assert outcome(expression.evaluate, context) == outcome(slow.evaluate, context)


def outcome(evaluate: Any, context: dict[str, Any]) -> Any:
    try:
        return evaluate(context)
    except TemplateError as error:
        return str(error)


def test_the_shortcuts_are_taken_by_what_they_are_made_for() -> None:
    from rules.templates import _SANDBOX

    assert parts_of(_SANDBOX.parse("x {{ file.name }}")) == ("x ", ("file", "name"))
    assert parts_of(_SANDBOX.parse("{{ file.name|upper }}")) is None
    assert shortcut_of(_SANDBOX.parse("{{ a < b }}").body[0].nodes[0]) is None  # type: ignore[attr-defined]
    shortcut = shortcut_of(_SANDBOX.parse("{{ a.b }}").body[0].nodes[0])  # type: ignore[attr-defined]
    assert shortcut is not None
    assert shortcut({"a": {"b": 1}}) == 1
    assert shortcut({"a": {}}) is ABSENT


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("file.size", 12),
        ("file.size > 0", True),
        ("file.size > 0 and file.name.endswith('.txt')", False),
        ("file.mtime", 1.5),
        ("file.owner", None),
        ("rows|map('string')", ["1", "2", "3"]),
        ("rows|select('odd')|list", [1, 3]),
        ("file.name in ('a.csv', 'b.csv')", True),
        ("{'x': file.size}", {"x": 12}),
        ("at", "2026-11-21T23:30:00+00:00"),
        ("file", FILE),
        ("'a' if file.nope is defined else 'b'", "b"),
        ("2 ** 10", 1024),
        ("rows[-1] + rows[0]", 4),
        ("rows[1:]", [2, 3]),
    ],
)
def test_an_expression_has_a_value_of_its_own_type(source: str, expected: Any) -> None:
    assert value(source) == expected
    assert type(value(source)) is type(expected)


def test_an_expressions_value_shares_nothing_with_the_context() -> None:
    context = {"file": {"tags": ["x"]}}
    value("file", context)["tags"].append("y")
    assert context == {"file": {"tags": ["x"]}}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ file.nme }}", r"file\.nme.*nme is undefined; there is hidden, .*\(it is given at, file, files, rows\)"),
        ("{{ filename }}", "filename is undefined"),
        ("{{ file.nme.x }}", "nme is undefined"),
        ("{{ nope() }}", "nope is undefined"),
        ("{{ nope + 1 }}", "nope is undefined"),
        ("{{ nope ~ 1 }}", "nope is undefined"),
        ("{{ nope['x'] }}", "nope is undefined"),
        ("{% for x in nope %}{% endfor %}", "nope is undefined"),
        ("{% if nope %}{% endif %}", "nope is undefined"),
        ("{{ rows.nope }}", "nope is undefined for list"),
        ("{{ rows[9] }}", "9 is undefined for list"),
        ("{{ file.keys }}", r"keys is a method; call it with \(\)"),
        ("{{ file.name }", "unexpected '}'"),
        ("a\n{{ file. }}", "line 2"),
        ("{{ file.size / 0 }}", "division by zero"),
        ("{{ file.size + 'x' }}", "int . str is not possible"),
        ("{{ file|isodate }}", "attribute"),
        ("{{ files|map(attribute='nme')|list }}", "nme is undefined"),
        ("{{ files|map(attribute='nme')|list|upper }}", "nme is undefined"),
        ("{{ x|shout }}", "there is no filter shout; there is abs, basename"),
        ("{{ x is shouting }}", "there is no test shouting; there is boolean"),
    ],
)
def test_an_error_names_the_source_and_what_is_wrong(source: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words) as caught:
        text(source)
    assert repr(source) in str(caught.value)


def test_an_expression_in_braces_is_told_to_go_without() -> None:
    with pytest.raises(TemplateError, match="write it without"):
        compile_expression("{{ file.size > 0 }}")
    with pytest.raises(TemplateError, match="more after its end"):
        compile_expression("a b")


def test_a_tree_keeps_the_type_of_a_lone_expression() -> None:
    tree = compile_tree(
        {
            "path": "{{ file.path }}",
            "size": "{{ file.size }}",
            "label": "n={{ file.size }}",
            "deep": [{"x": "{{ rows }}"}],
        }
    )
    assert tree.render(CONTEXT) == {"path": "/in/a.csv", "size": 12, "label": "n=12", "deep": [{"x": [1, 2, 3]}]}


@given(JSON)
def test_a_tree_gives_any_value_back_as_it_is(held: Any) -> None:
    rendered = compile_tree({"x": ["{{ v }}", 1, None, True], "y": {"z": "{{ v.w }}"}}).render({"v": {"w": held}})
    assert rendered == {"x": [{"w": held}, 1, None, True], "y": {"z": held}}
    assert json.dumps(rendered["y"]["z"]) == json.dumps(held)


@given(JSON)
def test_a_tree_without_templates_is_untouched_and_fresh(tree: Any) -> None:
    assume("{" not in json.dumps(tree).replace("{}", "") or not any(m in json.dumps(tree) for m in ("{{", "{%", "{#")))
    compiled = compile_tree(tree)
    first, second = compiled.render({}), compiled.render({})
    assert json.dumps(first) == json.dumps(tree) == json.dumps(second)
    if isinstance(first, dict | list) and first:
        assert first is not second


HOSTILE = st.sampled_from(["{{ 7 * 7 }}", "{% raw %}", "{#", "{{ file }}", "}}", "${x}", "%}"])


@given(st.lists(HOSTILE | st.text(max_size=4), min_size=1, max_size=4).map("".join))
def test_data_is_never_a_template(name: str) -> None:
    context = {"file": {"name": name}, "rows": [name]}
    assert text("{{ file.name }}", context) == name
    assert text("<{{ file.name }}>", context) == f"<{name}>"
    assert text("{{ file.name ~ '' }}", context) == name
    assert text("{{ file.name|string }}", context) == name
    assert text("{% for r in rows %}{{ r }}{% endfor %}", context) == name
    assert value("file.name", context) == name
    assert compile_tree({"a": "{{ file.name }}", "b": "{{ rows }}"}).render(context) == {"a": name, "b": [name]}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"a": {"b": "{{ file.nme }}"}}, r"^a\.b: expression .*nme is undefined"),
        ({"a": ["x", "{{ 1 + }}"]}, r"^a\.1: "),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, "^a: .* is a datetime, which JSON does not know; quote it"),
        ({"a": math.nan}, "^a: nan is a float"),
        ({1: "x"}, "the key 1 is a int; keys are text"),
        ({"a": "{{ file.ratio }}"}, "inf is no number"),
    ],
)
def test_a_tree_names_the_place_of_what_is_wrong(tree: Any, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        compile_tree(tree).render({**CONTEXT, "file": {"ratio": math.inf}})


def test_a_tree_has_a_bounded_depth() -> None:
    tree: Any = "x"
    for _ in range(100_000):
        tree = [tree]
    with pytest.raises(TemplateError, match="nested more than 64 deep"):
        compile_tree(tree)
    while isinstance(tree, list):  # Taken apart by hand: so deep a list is freed by recursion.
        tree = tree[0]


@given(st.lists(st.text(st.sampled_from("ab.-"), min_size=1, max_size=6), min_size=1, max_size=3).map("/".join))
def test_the_path_filters_agree_with_pathlib(path: str) -> None:
    parts = path.split("/")
    assume(not any(set(part) == {"."} for part in parts) and not path.endswith("."))
    assert basename(path) == PurePosixPath(path).name
    assert stem(path) == PurePosixPath(path).stem
    assert suffix(path) == PurePosixPath(path).suffix
