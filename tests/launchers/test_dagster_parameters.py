"""Names for what lies deep in a Dagster job's run config, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensord.launchers.dagster_parameters import flattened, nested, path_of
from sensord.parameters import checked, completions, parameters_of


def mapping(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or [], "additionalProperties": False}


READ = mapping(
    ["folder"],
    folder={"type": "string", "description": "where it reads"},
    most={"type": "integer", "default": 5},
    inputs={"$ref": "#/$defs/Mode"},
)
SCHEMA: dict[str, Any] = {
    **mapping(["ops"], ops={"$ref": "#/$defs/Ops"}, resources=mapping(db=mapping(config=mapping(["host"], host={})))),
    "$defs": {
        "Mode": {"enum": ["full", "new"]},
        "Read": READ,
        "Ops": mapping(
            ["read"],
            read=mapping(["config"], config={"$ref": "#/$defs/Read"}),
            idle=mapping(config={}, outputs={"type": "array"}),
            bare=mapping(config=mapping()),
            text=mapping(config={"type": "string"}),
            odd=mapping(config=mapping([], **{"a.b": {}})),
            graph=mapping(["ops"], ops=mapping(["by"], by=mapping(["inputs"], inputs=mapping(["n"], n={})))),
        ),
    },
}


def test_every_field_is_a_parameter_with_its_kind_its_default_and_its_words() -> None:
    found = {one.name: one for one in parameters_of(flattened(SCHEMA))}
    assert {name: one.required for name, one in found.items()} == {
        "ops.read.folder": True,
        "ops.read.most": False,
        "ops.read.config.inputs": False,
        "ops.text.config": False,
        "ops.odd.config": False,
        "ops.graph.ops.by.inputs.n": False,
        "resources.db.host": False,
    }
    assert found["ops.read.folder"].description == "where it reads"
    assert (found["ops.read.most"].kinds, found["ops.read.most"].default) == (frozenset({"integer"}), 5)
    assert found["ops.read.config.inputs"].choices == ("full", "new")
    assert flattened(None) is None


def test_a_chat_and_a_command_line_take_them_by_these_names() -> None:
    flat = flattened(SCHEMA)
    assert checked(flat, "ops.read.most", "7") == 7
    with pytest.raises(ValueError, match="'x' is not of type 'integer'"):
        checked(flat, "ops.read.most", "x")
    assert completions(flat, "ops.read.config.inputs=", ()) == [
        ("ops.read.config.inputs=full", ""),
        ("ops.read.config.inputs=new", ""),
    ]
    assert "ops.read.folder=" in {word for word, _ in completions(flat, "ops.read.", ())}


def test_named_ones_are_put_where_dagster_wants_them_beside_what_is_given_whole() -> None:
    whole = {"read": {"config": {"folder": "a", "deep": {"x": 1}}}}
    given_: dict[str, Any] = {
        "ops": whole,
        "ops.read.folder": "b",
        "ops.read.deep.y": 2,
        "ops.read.config.inputs": "new",
        "ops.read.inputs.rows": [1],
        "ops.text.config": "t",
        "ops.graph.ops.by.inputs.n": 3,
        "resources.db.host": "h",
        "execution": {"config": {}},
        "other.name": 1,
    }
    assert nested(given_) == {
        "ops": {
            "read": {"config": {"folder": "b", "deep": {"x": 1, "y": 2}, "inputs": "new"}, "inputs": {"rows": [1]}},
            "text": {"config": "t"},
            "graph": {"ops": {"by": {"inputs": {"n": 3}}}},
        },
        "resources": {"db": {"config": {"host": "h"}}},
        "execution": {"config": {}},
        "other.name": 1,
    }
    assert whole == {"read": {"config": {"folder": "a", "deep": {"x": 1}}}}, "what was given stays as it is"


def test_what_a_command_line_gives_whole_is_json() -> None:
    assert nested({"ops": '{"a": {}}', "ops.b.x": "1"}) == {"ops": {"a": {}, "b": {"config": {"x": "1"}}}}
    assert nested({"ops": "no json"}) == {"ops": "no json"}
    assert nested("ops: {}") == "ops: {}"


words = st.sampled_from(["a", "config", "inputs", "outputs", "ops", "resources", "b"])


@settings(max_examples=50, deadline=None)
@given(st.lists(words, min_size=1, max_size=3), words)
def test_every_name_that_is_shown_leads_back_to_where_its_field_is(graphs: list[str], field: str) -> None:
    node = mapping(["config"], config=mapping([field], **{field: {"type": "string"}}))
    path = ["config", field]
    for graph in reversed(graphs):
        node = mapping([graph], **{graph: node})
        path = ["ops", graph, *path]
        node = mapping(["ops"], ops=node)
    (one,) = parameters_of(flattened(node))
    assert one.required
    assert path_of(one.name) == path
