"""What a Dagster job's ops and resources want of its run config, as JSON Schema, as far as Dagster tells.

Dagster stays the judge: what it has defaults for, and everything but ops and resources, may be left out or given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sensord.elsewhere_side import AwayError
from sensord.launchers.dagster_side import DagsterSide

_PARTS = ("ops", "resources")
_SCHEMA = """query Schema($job: PipelineSelector!) { runConfigSchemaOrError(selector: $job, mode: "default") {
  __typename ... on RunConfigSchema { rootConfigType { key } allConfigTypes { __typename key typeParamKeys isSelector
    ... on CompositeConfigType { fields { name description configTypeKey isRequired isSecret defaultValueAsJson } }
    ... on EnumConfigType { values { value } } ... on RegularConfigType { givenName }
    ... on ScalarUnionConfigType { scalarTypeKey nonScalarTypeKey } } }
  ... on PythonError { message } } }"""
_KINDS: Mapping[str, str] = {"Int": "integer", "Float": "number", "Bool": "boolean", "String": "string"}


async def schema_of(side: DagsterSide) -> dict[str, Any] | None:
    """The schema, None where the job takes neither. AwayError, UnansweredError or RefusedError: it is not known now."""
    selector = await side.selector()
    names = {"pipelineName": selector["jobName"], **{key: selector[key] for key in selector if key != "jobName"}}
    said = (await side.server.ask(_SCHEMA, {"job": names}))["runConfigSchemaOrError"]
    if said["__typename"] != "RunConfigSchema":
        raise AwayError(f"{side.name} does not say what {selector['jobName']} takes: {said.get('message', '')[:300]}")
    return _schema(said["rootConfigType"]["key"], {one["key"]: one for one in said["allConfigTypes"]})


def _schema(root: str, types: Mapping[str, Any]) -> dict[str, Any] | None:
    fields = [one for one in types[root]["fields"] if one["name"] in _PARTS and _wants(one, types)]
    if not fields:
        return None
    definitions = {_name(key): _of(one) for key, one in types.items() if key != root}
    schema = _composite({**types[root], "fields": fields}) | {"additionalProperties": True}
    return schema | {"$defs": _reached(schema, definitions)}


def _wants(field: Mapping[str, Any], types: Mapping[str, Any]) -> bool:
    """Whether there is anything to give: an op without a config has an empty place for one, which takes anything."""
    one = types[field["configTypeKey"]]
    if one["__typename"] == "CompositeConfigType":
        return any(_wants(inner, types) for inner in one["fields"])
    return bool(field["isRequired"]) or one.get("givenName") != "Any"


def _of(one: Mapping[str, Any]) -> dict[str, Any]:
    """One of Dagster's types."""
    if (made := _MADE.get(one["__typename"])) is not None:
        return made(one)
    kind = _KINDS.get(str(one.get("givenName")))
    return {"type": kind} if kind else {}


def _composite(one: Mapping[str, Any]) -> dict[str, Any]:
    fields = one["fields"]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field["name"]: _field(field) for field in fields},
        "required": [field["name"] for field in fields if field["isRequired"]],
        "additionalProperties": one["key"].startswith("Permissive"),
    }
    return {**schema, "required": [], "minProperties": 1, "maxProperties": 1} if one["isSelector"] else schema


def _field(field: Mapping[str, Any]) -> dict[str, Any]:
    schema = _to(field["configTypeKey"])
    if field["description"]:
        schema["description"] = field["description"]
    if field["defaultValueAsJson"] is not None and not field["isSecret"]:
        schema["default"] = json.loads(field["defaultValueAsJson"])
    return schema


def _to(key: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{_name(key)}"}


def _name(key: str) -> str:
    """A key as it may stand in a reference: Dagster's hold dots, which may, and what must be escaped."""
    return "".join(char if char.isalnum() or char in "._-" else "_" for char in key)


def _reached(schema: Any, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """What the schema refers to, directly or not; of the hundreds that every job has."""
    found: dict[str, Any] = {}
    left = [schema]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
        elif isinstance(node, dict):
            name = str(node.get("$ref", "")).rpartition("/")[2] if isinstance(node.get("$ref"), str) else ""
            if name in definitions and name not in found:
                found[name] = definitions[name]
                left.append(definitions[name])
            left += node.values()
    return found


_MADE: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "CompositeConfigType": _composite,
    "EnumConfigType": lambda one: {"enum": [value["value"] for value in one["values"]]},
    "ArrayConfigType": lambda one: {"type": "array", "items": _to(one["typeParamKeys"][0])},
    "NullableConfigType": lambda one: {"anyOf": [_to(one["typeParamKeys"][0]), {"type": "null"}]},
    "MapConfigType": lambda one: {"type": "object", "additionalProperties": _to(one["typeParamKeys"][1])},
    "ScalarUnionConfigType": lambda one: {"anyOf": [_to(one["scalarTypeKey"]), _to(one["nonScalarTypeKey"])]},
}
