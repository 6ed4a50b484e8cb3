"""A job's parameters, as its `config_schema` has them: which there are, and what a text says of one."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from notifiers.chat import Parameter
from rules.phrases import phrase

if TYPE_CHECKING:
    from jsonschema import ValidationError

_DEPTH = 10
_WORDS = 300
_KEPT = ("$defs", "definitions", "properties", "patternProperties", "additionalProperties")
_NAMES = {
    "string": phrase("text"),
    "integer": phrase("a whole number"),
    "number": phrase("a number"),
    "boolean": phrase("true or false"),
    "object": phrase("a JSON object"),
    "array": phrase("a JSON list"),
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
    wanted = _either([_NAMES[kind] for kind in _NAMES if kind in kinds] or [_NAMES["string"]])
    words = [schema[word] for word in ("title", "description") if isinstance(schema.get(word), str)]
    return Parameter(
        name=name,
        description=": ".join(words),
        wanted=phrase("one of these") if values else wanted,
        kinds=frozenset(kinds),
        choices=tuple(values),
        required=required,
        has_default="default" in schema,
        default=schema.get("default"),
    )


def _either(words: Sequence[str]) -> str:
    """One of several."""
    first, *rest = words
    return phrase("{first} or {rest}", first=first, rest=_either(rest)) if rest else first


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
        raise ValueError(_said(error))
    return value


def _said(error: ValidationError) -> str:
    """What is wrong with a value; the usual faults in a phrase of the same words, bounded."""
    value, limit = repr(error.instance), repr(error.validator_value)
    usual = {
        "type": phrase("{value} is not of type {limit}", value=value, limit=limit),
        "enum": phrase("{value} is not one of {limit}", value=value, limit=limit),
        "minimum": phrase("{value} is less than the minimum of {limit}", value=value, limit=limit),
        "maximum": phrase("{value} is greater than the maximum of {limit}", value=value, limit=limit),
        "pattern": phrase("{value} does not match {limit}", value=value, limit=limit),
        "minLength": phrase("{value} is too short", value=value),
        "maxLength": phrase("{value} is too long", value=value),
    }
    known = usual.get(str(error.validator))
    text = error.message
    if len(text) > _WORDS:
        return f"{text[: _WORDS - 1]}…"
    return known if known == text and known is not None else text


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
