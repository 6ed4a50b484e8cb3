"""The kinds of values that configuration is made of: names, topics, destinations, templates, schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from notifiers.channels import split_destination
from notifiers.clock import EPOCH
from notifiers.settings import Duration, Settings

CHANNELS = ("telegram", "slack", "webhook", "apprise", "console", "inbox")
"""The channels that a destination may name; the last two need no configuration and no target."""
NO_TARGET = ("console", "inbox")
NAMED = {"webhook": "webhooks", "apprise": "apprise"}
"""Channels whose targets are names, and the section that has them."""

MODULE_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*"
_NAME = re.compile(r"^[A-Za-z0-9_-]{1,100}$")
_CENTURY = 36_500 * 86_400.0


def located(title: str, errors: Iterator[tuple[tuple[str | int, ...], str]]) -> None:
    """Raise one ValidationError that holds every error at its own place below the field; pass if there is none."""
    details: list[InitErrorDetails] = [
        {"type": PydanticCustomError("value_error", "{text}", {"text": text}), "loc": loc, "input": None}
        for loc, text in errors
    ]
    if details:
        raise ValidationError.from_exception_data(title, details, hide_input=True)


def check_destination(destination: str) -> str:
    """Pass a destination of a channel that exists; ValueError says what is wrong with another."""
    channel, target = split_destination(destination)
    if channel not in CHANNELS:
        raise ValueError(f"the channel {channel!r} is none of {', '.join(CHANNELS)}")
    if not target and channel not in NO_TARGET:
        raise ValueError(f"{destination!r} names no target; write {channel}:TARGET")
    return destination


def _topic(value: str) -> str:
    from rules.topics import check_topic

    check_topic(value)
    return value


def _pattern(value: str) -> str:
    from rules.topics import check_pattern

    check_pattern(value)
    return value


def _moment(value: str) -> str:
    from notifiers.since import parse_since

    if parse_since(value, EPOCH).at is None:
        raise ValueError(f"{value!r} is the id of an event; write a time (2026-11-21T01:02:03Z), or so long ago: 2h")
    return value


def _quiet(value: str) -> str:
    from notifiers.noise import hours

    return hours(value).text


def _zone(value: str) -> str:
    from notifiers.zones import zone_of

    zone_of(value)
    return value


def _digest_time(value: str) -> str:
    from notifiers.zones import zone_of
    from rules.noise import parse_digest

    parse_digest(value, zone_of)
    return value


def _tree(value: Any) -> Any:
    from rules.templates import compile_tree

    def errors() -> Iterator[tuple[tuple[str | int, ...], str]]:
        for loc, leaf in _leaves(value, ()):
            try:
                compile_tree(leaf)
            except ValueError as error:
                yield loc, str(error)

    if not isinstance(value, dict | str):
        raise PydanticCustomError("dict_type", "a mapping")
    located("template", errors())
    return value


def _leaves(tree: Any, loc: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, (*loc, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _leaves(value, (*loc, index))
    else:
        yield loc, tree


def _where(value: dict[str, Any]) -> dict[str, Any]:
    from rules.conditions import compile_where

    def errors() -> Iterator[tuple[tuple[str | int, ...], str]]:
        for key, expected in value.items():
            try:
                compile_where({key: expected})
            except ValueError as error:
                yield (key,), str(error)

    located("where", errors())
    return value


def _checks(value: Any) -> Any:
    from sensord.checks.settings import checks_field  # With all that checks are: loaded where there are some.

    return checks_field(value)


class _ChecksSchema:
    """The JSON Schema of `checks`, which is read where it is wanted."""

    def __get_pydantic_json_schema__(self, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        from sensord.checks.settings import SCHEMA

        return dict(SCHEMA)


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    from jsonschema import Draft202012Validator

    def errors() -> Iterator[tuple[tuple[str | int, ...], str]]:
        meta = Draft202012Validator(
            Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        for error in meta.iter_errors(value):
            yield tuple(error.absolute_path), f"not a JSON Schema: {_shortened(error.message)}"
        for loc, leaf in _leaves(value, ()):
            if loc and loc[-1] in ("$ref", "$dynamicRef") and not (isinstance(leaf, str) and leaf.startswith("#")):
                yield loc, "a reference to another document; only '#/…' within this schema is followed"

    located("JSON Schema", errors())
    return value


class SchemaName(Settings):
    """A model or function whose module says what run_config is, as `module:name`; written as that text alone."""

    name: str
    path: Path = Path()
    """The folder it is imported from, where the job itself names none: the configuration file's."""


def _config_schema(value: Any) -> dict[str, Any] | SchemaName:
    if isinstance(value, SchemaName):
        return value
    if isinstance(value, str):
        if not re.fullmatch(MODULE_NAME, value):
            raise ValueError(f"{value!r} names nothing; write a JSON Schema, or module:Model, e.g. my_team.jobs:Load")
        return SchemaName(name=value)
    if not isinstance(value, dict):
        raise PydanticCustomError("dict_type", "a mapping")
    return _schema(value)


def _shortened(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:200]}…"  # noqa: PLR2004 (what fits on a line or two)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name is 1 to 100 letters, digits, '_' and '-', because it becomes part of topics")
    return value


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": _NAME.pattern})]
Text = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Priority = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Period = Annotated[Duration, Field(gt=0, le=_CENTURY)]
"""A duration that is not zero, and at most a century, so that no time overflows."""
Pause = Annotated[Duration, Field(ge=0, le=_CENTURY)]
Topic = Annotated[str, AfterValidator(_topic)]
Moment = Annotated[str, AfterValidator(_moment)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Destination = Annotated[str, AfterValidator(check_destination)]
QuietHours = Annotated[str, AfterValidator(_quiet)]
DigestTime = Annotated[str, AfterValidator(_digest_time)]
Zone = Annotated[str, AfterValidator(_zone)]
TreeTemplate = Annotated[
    dict[str, Any] | str, PlainValidator(_tree), WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string"}]})
]
"""A mapping whose texts are templates, or one `{{ expression }}` that yields a mapping."""
Where = Annotated[dict[str, Any], AfterValidator(_where)]
Checks = Annotated[dict[str, Any] | list[Any], PlainValidator(_checks), _ChecksSchema()]
"""Checks of a file, as `sensord.checks.settings` reads them."""
Column = Annotated[str, StringConstraints(min_length=1, max_length=200)]
ConfigSchema = Annotated[
    dict[str, Any] | SchemaName,
    PlainValidator(_config_schema),
    WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string", "pattern": f"^{MODULE_NAME}$"}]}),
]
"""A JSON Schema, or the name of what one is made from."""
