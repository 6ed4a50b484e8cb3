"""`/openapi.json`: the API in OpenAPI 3.1, made from the same table as the routes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from aiohttp import web

from sensord.web.endpoint import ID, NAME, Endpoint
from sensord.web.problems import answer
from sensord.web.schemas import ANY, ERROR

_PARAMETERS = {
    "{id}": {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{ID}$"}},
    "{name}": {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{NAME}$"}},
}


def describe(table: Sequence[Endpoint]) -> Endpoint:
    """The route that describes these routes, and itself."""

    async def description(_request: web.Request) -> web.Response:
        return answer(document())

    itself = Endpoint(
        method="GET",
        path="/openapi.json",
        handler=description,
        summary="This description.",
        answers={200: ("the description", ANY)},
    )
    document = cache(lambda: _document([*table, itself]))  # Made when somebody asks for it.
    return itself


def _document(table: Sequence[Endpoint]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in table:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "sensord", "version": version("sensord")},
        "security": [{"token": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "sensord_token"},
                "scoped": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "a token of POST /api/tokens, which may publish or read on some topics",
                },
            }
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    parameters = [value for name, value in _PARAMETERS.items() if name in endpoint.path]
    parameters += [
        {"name": name, "in": "query", "schema": dict(schema), "description": text}
        for name, (schema, text) in endpoint.query.items()
    ]
    operation: dict[str, Any] = {
        "operationId": _name(endpoint),
        "summary": endpoint.summary,
        "responses": {str(status): _response(endpoint, status) for status in endpoint.answers}
        | {"default": {"description": "why not", "content": {"application/json": {"schema": ERROR}}}},
    }
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        content = {kind: {"schema": endpoint.body} for kind in endpoint.takes}
        operation["requestBody"] = {"content": content, "required": bool(endpoint.body.get("required"))}
    if endpoint.public:
        operation["security"] = []
    elif endpoint.scope is not None:
        operation["security"] = [{"token": []}, {"cookie": []}, {"scoped": [endpoint.scope]}]
    return operation


def _response(endpoint: Endpoint, status: int) -> dict[str, Any]:
    description, schema = endpoint.answers[status]
    kind = endpoint.gives if status < 400 else "application/json"  # noqa: PLR2004
    if status in (204, 303):
        return {"description": description}
    return {"description": description, "content": {kind: {"schema": schema if schema is not None else {}}}}


def _name(endpoint: Endpoint) -> str:
    words = endpoint.path.replace("{", "").replace("}", "").replace(".", "/").strip("/").split("/")
    return "_".join([endpoint.method.lower(), *(word for word in words if word)])
