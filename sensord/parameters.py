"""A job's parameters, as its `config_schema` has them: which there are, and what a text says of one."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from notifiers.chat import Parameter

_DEPTH = 10
_WORDS = 300
_KEPT = ("$defs", "definitions", "properties", "patternProperties", "additionalProperties")
_NAMES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a JSON object",
    "array": "a JSON list",
    "null": "null",
}
_ONLY_JSON = frozenset({"integer", "number", "boolean", "object", "array", "null"})


def parameters_of(schema: Mapping[str, Any] | None) -> list[Parameter]:
    """Every parameter that a schema names, in its order."""
    if not isinstance(schema, Mapping):
        return []
    needed = schema.get("required")
    required = [name for name in needed if isinstance(name, str)] if isinstance(needed, list) else []
    names = dict.fromkeys([*_of(schema, "properties"), *required])
    return [_parameter(schema, name, required=name in required) for name in names]


def _parameter(root: Mapping[str, Any], name: str, *, required: bool) -> Parameter:
    schema = _followed(root, _of(root, "properties").get(name))
    choices = schema.get("enum")
    kinds = kinds_of(root, schema)
    values = list(choices) if isinstance(choices, list) else [schema["const"]] if "const" in schema else []
    if not values and kinds == {"boolean"}:
        values = [True, False]
    wanted = " or ".join(_NAMES[kind] for kind in _NAMES if kind in kinds) or "text"
    words = [schema[word] for word in ("title", "description") if isinstance(schema.get(word), str)]
    return Parameter(
        name=name,
        description=": ".join(words),
        wanted="one of these" if values else wanted,
        kinds=frozenset(kinds),
        choices=tuple(values),
        required=required,
        has_default="default" in schema,
        default=schema.get("default"),
    )


def typed(schema: Any, name: str, text: str) -> Any:
    """A parameter's text as what the schema wants of it; without a word there, text."""
    if not isinstance(schema, Mapping):
        return text
    own = _of(schema, "properties").get(name)
    kinds = kinds_of(schema, own)
    for value in _followed(schema, own).get("enum") or ():
        if text == value or (not isinstance(value, str) and text == json.dumps(value)):
            return value
    if not kinds & _ONLY_JSON:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def checked(schema: Mapping[str, Any] | None, name: str, text: str) -> Any:
    """A parameter's text as its value; ValueError says in a sentence what is wrong with it."""
    value = typed(schema, name, text)
    if schema is None:
        return value
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    only = {word: schema[word] for word in _KEPT if word in schema}
    error = best_match(Draft202012Validator(only).iter_errors({name: value}))
    if error is not None:
        text = error.message
        raise ValueError(text if len(text) <= _WORDS else f"{text[: _WORDS - 1]}…")
    return value


def completions(schema: Mapping[str, Any] | None, begun: str, given: Collection[str]) -> list[tuple[str, str]]:
    """What `KEY=VALUE` may go on with, and a word on each: names that are not given yet; behind one, its values."""
    found = []
    name, equals, _ = begun.partition("=")
    for one in parameters_of(schema):
        if equals and one.name == name:
            values = [*one.choices, *([one.default] if one.has_default and one.default not in one.choices else [])]
            found += [(f"{name}={_as_typed(value)}", "") for value in values]
        elif not equals and one.name not in given:
            found.append((f"{one.name}=", in_words(one)))
    return [(word, help_) for word, help_ in found if word.startswith(begun)]


def in_words(one: Parameter) -> str:
    """What a parameter takes, in a line."""
    wanted = " | ".join(map(_as_typed, one.choices)) if one.choices else one.wanted
    default = f", by default {_as_typed(one.default)}" if one.has_default else "" if one.required else ", or nothing"
    return f"{wanted}{default}" + (f": {one.description}" if one.description else "")


def _as_typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _followed(root: Mapping[str, Any], schema: Any, depth: int = 0) -> Mapping[str, Any]:
    """A schema, with what its `$ref` into its own document says before it."""
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return schema
    return {**_followed(root, _referred(root, reference), depth + 1), **schema}


def _referred(root: Mapping[str, Any], reference: str) -> Any:
    found: Any = root
    for step in reference[2:].split("/"):
        found = _of(found, step.replace("~1", "/").replace("~0", "~"))
    return found


def kinds_of(root: Mapping[str, Any], schema: Any, depth: int = 0) -> set[str]:
    """The types that a schema names, itself, by `$ref` into its own document or as one of several."""
    if not isinstance(schema, Mapping) or depth > _DEPTH:  # A $ref may lead in circles.
        return set()
    kinds = set(
        schema["type"] if isinstance(schema.get("type"), list) else [schema["type"]] if "type" in schema else []
    )
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        kinds |= kinds_of(root, _referred(root, reference), depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(word) or ():
            kinds |= kinds_of(root, one, depth + 1)
    return kinds


def _of(schema: Any, key: str) -> Mapping[str, Any]:
    found = schema.get(key) if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}
