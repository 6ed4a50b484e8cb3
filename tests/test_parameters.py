"""A job's parameters, as its schema has them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensord.parameters import checked, parameters_of, typed

SCHEMA: dict[str, Any] = {
    "properties": {
        "path": {"type": "string", "title": "File", "description": "what to load"},
        "size": {"$ref": "#/$defs/size"},
        "day": {"enum": ["1", 1, None]},
        "loop": {"$ref": "#/properties/loop"},
        "many": {"type": ["array", "null"]},
        "sure": {"type": "boolean", "default": False},
    },
    "required": ["path", "other"],
    "$defs": {"size": {"enum": ["s", "m"], "default": "m"}},
}


def test_every_parameter_is_there_with_what_it_takes() -> None:
    found = {one.name: one for one in parameters_of(SCHEMA)}
    assert list(found) == ["path", "size", "day", "loop", "many", "sure", "other"]
    assert (found["path"].description, found["path"].wanted, found["path"].required) == (
        "File: what to load", "text", True,
    )  # fmt: skip
    assert (found["size"].choices, found["size"].default, found["size"].required) == (("s", "m"), "m", False)
    assert found["many"].wanted == "a JSON list or null"
    assert found["sure"].choices == (True, False)
    assert found["other"].required
    assert parameters_of(None) == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("path", "12", "12"),
        ("day", "1", "1"),
        ("day", "null", None),
        ("many", "[1, 2]", [1, 2]),
        ("sure", "true", True),
        ("other", "x", "x"),
    ],
)
def test_a_text_becomes_the_value_that_the_schema_wants(name: str, text: str, value: Any) -> None:
    assert checked(SCHEMA, name, text) == value


def test_a_text_that_is_no_value_is_refused_with_a_word() -> None:
    with pytest.raises(ValueError, match="'x' is not of type 'array', 'null'"):
        checked(SCHEMA, "many", "x")
    with pytest.raises(ValueError, match="is not one of"):
        checked(SCHEMA, "size", "xl")


schemas = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "object", "#/$defs/a", "#/properties/x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "required", "enum", "$ref", "$defs", "a", "x", "default", "anyOf"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(schemas.filter(lambda schema: isinstance(schema, dict)), st.text(max_size=5))
def test_any_schema_that_could_be_loaded_is_read(schema: Any, text: str) -> None:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return
    for parameter in parameters_of(schema):
        assert parameter.wanted
        typed(schema, parameter.name, text)
