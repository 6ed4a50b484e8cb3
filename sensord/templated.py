"""Configuration fields that are templates, compiled when the configuration is read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator, WithJsonSchema


# Jinja is loaded with the first template, not with the models.
def _text(value: str) -> str:
    from rules.templates import compile_text

    compile_text(value)
    return value


def _expression(value: str) -> str:
    from rules.templates import compile_expression

    compile_expression(value)
    return value


def _tree(value: Any) -> Any:
    from rules.templates import compile_tree

    compile_tree(value)
    return value


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict | str):
        raise ValueError("write a mapping whose texts are templates, or one {{ expression }}")  # noqa: TRY004
    return _tree(value)


TextTemplate = Annotated[str, AfterValidator(_text)]
Expression = Annotated[str, AfterValidator(_expression)]
"""A Jinja expression without braces."""
Tree = Annotated[Any, PlainValidator(_tree), WithJsonSchema({})]
"""Anything JSON can say, whose texts are templates."""
MappingTemplate = Annotated[
    Any, PlainValidator(_mapping), WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string"}]})
]
"""A mapping whose texts are templates, or one `{{ expression }}` that yields a mapping."""
