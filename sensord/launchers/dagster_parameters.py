"""The config of a Dagster job's ops and resources as parameters of ours, by name, and back.

`ops.read.folder` is the field `folder` of the config of the op `read`; `ops.read.config` its whole config, where that
is no mapping of named fields; `ops.read.inputs.rows` an input that no other op gives it; `ops.doubled.ops.double.by` a
field of an op within a graph; `resources.db.host` one of a resource. What has no name of this kind is given whole, as
Dagster has it: `ops: {read: {config: {folder: …}}}`, with which named ones are united.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

PARTS = ("ops", "resources")
_LITERAL = ("config", "inputs", "outputs")
_DEEPEST = 20

Schema = Mapping[str, Any]


def flattened(schema: Schema | None) -> dict[str, Any] | None:
    """What `dagster_schema` says, with a property for each thing that may be given. None where there is none."""
    if schema is None:
        return None
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in PARTS:
        for path, one, needed in _of_part(schema, part):
            properties[(name := ".".join(path))] = one
            if needed:
                required.append(name)
    kept = {name: value for name, value in schema.items() if name not in ("properties", "required")}
    return {**kept, "properties": properties, "required": required, "additionalProperties": True}


def nested(config: Any) -> Any:
    """A run_config with such names as Dagster takes it; without any, the same."""
    if not isinstance(config, Mapping):
        return config
    result = {name: _whole(name, value) for name, value in config.items() if not _is_name(name)}
    for name, value in config.items():
        if _is_name(name):
            _put(result, path_of(name), value)
    return result


def path_of(name: str) -> list[str]:
    """Where what has this name stands in Dagster's run config."""
    part, node, *rest = name.split(".")
    path = [part, node]
    while part == "ops" and len(rest) > 2 and rest[0] == "ops":  # noqa: PLR2004 - ops.OP.FIELD at least
        path += rest[:2]
        rest = rest[2:]
    return [*path, *rest] if rest[0] in _LITERAL and (rest == ["config"] or len(rest) > 1) else [*path, "config", *rest]


def _is_name(name: Any) -> bool:
    words = name.split(".") if isinstance(name, str) else []
    return len(words) > 2 and words[0] in PARTS and all(words)  # noqa: PLR2004 - ops.OP.FIELD at least


def _whole(name: str, value: Any) -> Any:
    """What is given whole may be text, as a command line has it."""
    if name in PARTS and isinstance(value, str):
        with suppress(ValueError):
            return json.loads(value)
    return value


def _put(config: dict[str, Any], path: list[str], value: Any) -> None:
    """Put it there, into mappings of our own: what somebody gave stays as it is."""
    place = config
    for word in path[:-1]:
        inner = place.get(word)
        place[word] = dict(inner) if isinstance(inner, Mapping) else {}
        place = place[word]
    place[path[-1]] = value


def _of_part(schema: Schema, part: str) -> Iterator[tuple[list[str], Any, bool]]:
    """Names, what each takes, and whether it is needed; of all ops, or of all resources."""
    one = _followed(schema, _properties(schema).get(part))
    if one is not None:
        needed = part in _required(schema)
        for name, node in _properties(one).items():
            yield from _of_node(schema, [part, name], node, needed=needed and name in _required(one))


def _of_node(
    schema: Schema, path: list[str], node: Any, *, needed: bool, depth: int = 0
) -> Iterator[tuple[list[str], Any, bool]]:
    """Of one op, graph or resource."""
    one = _followed(schema, node) or {}
    properties, required = _properties(one), _required(one)
    if "config" in properties:
        for rest, field, wanted in _of_config(schema, properties["config"]):
            yield [*path, *rest], field, needed and wanted and "config" in required
    inputs = _followed(schema, properties.get("inputs")) or {}
    for name, field in _properties(inputs).items():
        wanted = needed and "inputs" in required and name in _required(inputs)
        yield [*path, "inputs", name], field, wanted
    inner = _followed(schema, properties.get("ops")) or {}
    if depth < _DEEPEST:
        for name, found in _properties(inner).items():
            wanted = needed and "ops" in required and name in _required(inner)
            yield from _of_node(schema, [*path, "ops", name], found, needed=wanted, depth=depth + 1)


def _of_config(schema: Schema, config: Any) -> Iterator[tuple[list[str], Any, bool]]:
    """Its fields, where all of them have names that can be said; else the whole of it, unless it takes nothing."""
    one = _followed(schema, config) or {}
    fields = _properties(one)
    named = one.get("minProperties") is None and all(name and "." not in name for name in fields)
    if fields and named:
        for name, field in fields.items():
            # Of a field that is called like a place of Dagster's own, the place is said.
            yield (["config", name] if name in (*_LITERAL, "ops") else [name]), field, name in _required(one)
    elif set(one) - {"description"} and not (one.get("properties") == {} and one.get("additionalProperties") is False):
        yield ["config"], config, True


def _properties(one: Schema) -> Mapping[str, Any]:
    found = one.get("properties")
    return found if isinstance(found, Mapping) else {}


def _required(one: Schema) -> list[Any]:
    found = one.get("required")
    return found if isinstance(found, list) else []


def _followed(root: Schema, one: Any) -> Schema | None:
    """What it says, or what it refers to says."""
    for _ in range(_DEEPEST):
        if not isinstance(one, Mapping) or not isinstance(reference := one.get("$ref"), str):
            break
        one = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
    return one if isinstance(one, Mapping) else None
