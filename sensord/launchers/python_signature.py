"""What a Python function, a model or anything else that pydantic knows wants of run_config, as JSON Schema.

It is a program of its own, because it imports the team's module: given `{"name", "path", "resources", "call"}`, it
writes `{"schema": …}` or `{"refused": …}`, and `files`: what the answer was read from, and how each file was then.
Only the standard library is imported, pydantic, and the files beside it.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensord.launchers import python_call, python_runner
else:
    import python_call
    import python_runner


def main() -> None:
    """Answer on standard output; whatever the module prints goes to standard error."""
    spec: dict[str, Any] = json.loads(sys.argv[2])
    sys.argv = [spec["name"]]
    sys.path.insert(0, spec["path"])
    answer = os.dup(1)
    os.dup2(2, 1)
    said: dict[str, Any]
    try:
        said = {"schema": schema_of(spec)}
    except python_call.NotCallableError as error:
        said = {"refused": str(error)}
    except BaseException as error:  # noqa: BLE001 - whatever a module does when it is imported
        said = {"refused": python_call.told(error)["exception"]}
    said["files"] = python_runner.seen()
    with os.fdopen(answer, "w", encoding="utf-8") as out:
        out.write(json.dumps(said))
        out.flush()
    os._exit(0)  # A thread of the module's would be waited for.


def schema_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of run_config. NotCallableError says why there can be none."""
    found = python_call.named(spec["name"])
    if not spec["call"] and (isinstance(found, type) or not callable(found)):
        return _of_model(spec["name"], found)
    if not callable(found):
        raise python_call.NotCallableError(f"{spec['name']} is a {type(found).__name__}, and no function")
    return _of_function(found, frozenset(spec["resources"]))


def _of_model(name: str, model: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        schema = TypeAdapter(model).json_schema()
    except PydanticUserError as error:
        said = str(error).partition("\n")[0]
        raise python_call.NotCallableError(f"{name} is no model, and no function: {said}") from None
    top = schema
    while isinstance(reference := top.get("$ref"), str):  # A model that holds itself is one of its own definitions.
        top = schema["$defs"][reference.rpartition("/")[2]]
    if top.get("type") != "object":
        raise python_call.NotCallableError(f"{name} is no mapping of names to values, which run_config is")
    return {**schema, **top} if top is not schema else schema


def _of_function(function: Callable[..., Any], resources: frozenset[str]) -> dict[str, Any]:
    """Its parameters, those left out that are opened for it."""
    parameters, takes_all = python_call.parameters(function, resources)
    wanted = [one for one in parameters if one.name not in resources]
    properties, definitions = _schemas({one.name: one.annotation for one in wanted})
    signature = inspect.signature(function)
    for one in wanted:
        if not one.needed:
            properties[one.name] |= _default(signature.parameters[one.name].default)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": [one.name for one in wanted if one.needed],
        "additionalProperties": takes_all,
    }
    return {**schema, **({"$defs": definitions} if definitions else {})}


def _schemas(annotations: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Each annotation's schema, and what they refer to; of one that has none, anything."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    adapters: list[tuple[str, typing.Literal["validation"], TypeAdapter[Any]]] = []
    for name, annotation in annotations.items():
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(annotation)
            adapter.json_schema()
        except PydanticUserError:
            continue
        adapters.append((name, "validation", adapter))
    found, rest = TypeAdapter.json_schemas(adapters)
    properties = {name: dict(found.get((name, "validation"), {})) for name in annotations}
    return properties, rest.get("$defs", {})


def _default(value: Any) -> dict[str, Any]:
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        plain = to_jsonable_python(value)
        json.dumps(plain, allow_nan=False)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError):
        return {}
    return {"default": plain}
