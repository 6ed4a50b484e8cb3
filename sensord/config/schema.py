"""The JSON Schema of `sensord.yaml` as it is written, for editors."""

from __future__ import annotations

from typing import Any

from sensord.config.environments import json_schema as environments
from sensord.config.sections import Config

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "m"), (1.0, "s"))
_VARIABLE = {"type": "string", "pattern": r"\$\{", "description": "${NAME} or ${file:PATH}"}


def schema() -> dict[str, Any]:
    """The schema; whatever `load` takes fits it, and a misspelt key does not."""
    generated: dict[str, Any] = Config.model_json_schema()
    generated["properties"] = {
        "include": {
            "description": "globs of further files, relative to this one",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        **{name: _or_empty(value) for name, value in generated["properties"].items()},
    }
    generated["properties"]["environments"] = environments(generated["properties"])
    result: dict[str, Any] = _written(generated)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **result, "title": "sensord.yaml"}


def _or_empty(section: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [section, {"type": "null"}], **{k: section[k] for k in ("description",) if k in section}}


def _written(node: Any) -> Any:
    """The same schema for values as a person writes them: `${…}` wherever a number or a word stands, and durations."""
    if isinstance(node, list):
        return [_written(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: value if key in ("default", "examples") else _written(value) for key, value in node.items()}
    kind = result.get("type")
    if kind == "string" and isinstance(result.get("default"), float):
        result["default"] = _duration(result["default"])
    if kind in ("integer", "number", "boolean") or "enum" in result or (kind == "string" and "pattern" in result):
        outer = {key: result.pop(key) for key in ("default", "description", "title") if key in result}
        return {"anyOf": [result, _VARIABLE], **outer}
    return result


def _duration(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"
