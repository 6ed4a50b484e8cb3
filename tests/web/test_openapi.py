"""The description is true: every route is in it, nothing else is, and what is answered is what it says."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sensord.web.api import build_web
from tests.web.site import TOKEN, Site

AUTH = {"Authorization": f"Bearer {TOKEN}"}


async def test_every_route_is_described_and_every_description_is_a_route(site: Site) -> None:
    document = await site.get("/openapi.json")
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    there = {
        (route.method, route.resource.canonical)
        for route in build_web(site.app).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert described == there
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)
    for _, operation in operations(document):
        for schema in schemas(operation):
            Draft202012Validator.check_schema(schema)


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{method} {path}", one) for path, item in document["paths"].items() for method, one in item.items()]


def schemas(operation: dict[str, Any]) -> list[dict[str, Any]]:
    found = [one["schema"] for one in operation.get("parameters", [])]
    contents = [*operation["responses"].values(), operation.get("requestBody", {})]
    return found + [kind["schema"] for one in contents for kind in one.get("content", {}).values()]


async def test_only_the_public_routes_are_described_as_open(site: Site) -> None:
    document = await site.get("/openapi.json")
    open_ = {name for name, operation in operations(document) if operation.get("security") == []}
    assert open_ == {"get /healthz", "get /readyz", "post /login"}


async def full(site: Site) -> dict[str, str]:
    """A daemon in which there is one of everything: the ids by kind."""
    await site.call("POST", "/api/subscriptions", {"topic": ">", "to": "inbox:"})
    await site.call("POST", "/api/tokens", {"name": "drop", "read": ["bp.>"]})
    await site.call("POST", "/api/mutes", {"destination": "telegram:9", "for": "2h"})
    site.shelf.put("a.csv")
    await site.call("POST", "/api/sensors/drop/tick")
    (run,) = (await site.get("/api/runs"))["items"]
    await site.stage.until(f"{run['id']}.1")
    site.stage.write(f"{run['id']}.1", "output\n")
    site.stage.end(f"{run['id']}.1")
    await site.settled(run["id"], "succeeded")
    deliveries = await site.found("/api/deliveries?status=delivered")
    (subscription,) = (await site.get("/api/subscriptions"))["items"]
    days = {"from": "2026-01-01", "to": "2026-01-01"}
    _, backfill = await site.call("POST", "/api/jobs/load/backfills", days)
    failed = {"topic": "quality.load.failed", "type": "quality.failed", "data": {"check": "rows"}}
    await site.call("POST", "/api/events", failed)
    (check,) = (await site.get("/api/checks"))["items"]
    return {
        "runs": run["id"],
        "checks": check["id"],
        "backfills": backfill["id"],
        "events": deliveries[0]["event"],
        "deliveries": deliveries[0]["id"],
        "subscriptions": subscription["id"],
    }


CALLS: list[tuple[str, str, Any, int]] = [
    ("POST", "/api/events", {"topic": "a", "message": "b"}, 202),
    ("POST", "/api/events", [{"topic": "a"}, {"topic": "b"}], 202),
    ("POST", "/api/events", [{"topic": "a"}, {"topic": ""}], 400),
    ("POST", "/api/tokens", {"name": "drop", "publish": ["bp.>"]}, 409),
    ("DELETE", "/api/tokens/{name}", None, 200),
    ("POST", "/api/tokens", {"name": "drop", "publish": ["bp.>"], "expires": "30d"}, 201),
    ("POST", "/api/jobs/{name}/runs", {"run_key": "k"}, 201),
    ("POST", "/api/jobs/{name}/runs", {"run_key": "k"}, 200),
    ("POST", "/api/jobs/{name}/runs", {"run_config": {"path": 3}}, 422),
    ("POST", "/api/jobs/{name}/backfills", {"from": "2026-01-01", "to": "2026-01-02"}, 201),
    ("POST", "/api/jobs/{name}/backfills", {"dry_run": True}, 200),
    ("POST", "/api/jobs/{name}/backfills", {"run_config": {"path": 3}}, 422),
    ("POST", "/api/backfills/{id}/cancel", None, 202),
    ("POST", "/api/backfills/{id}/cancel", {}, 409),
    ("POST", "/api/checks/{id}/accept", None, 409),
    ("POST", "/api/runs/{id}/cancel", None, 409),
    ("POST", "/api/runs/{id}/retry", {}, 201),
    ("POST", "/api/sensors/{name}/tick", None, 200),
    ("POST", "/api/subscriptions", {"topic": "a", "to": "inbox:"}, 201),
    ("POST", "/api/subscriptions", {"topic": "a", "to": "inbox:"}, 200),
    ("POST", "/api/deliveries/{id}/replay", None, 409),
    ("POST", "/api/deliveries/replay", {"status": "dead"}, 202),
    ("POST", "/api/deliveries/replay", {"status": ["dead", "uncertain"], "dry_run": True}, 200),
    ("POST", "/api/subscriptions", {"topic": "past", "to": "inbox:", "since": "1h"}, 201),
    ("POST", "/api/events/{id}/replay", None, 202),
    ("DELETE", "/api/keys", {"job": "load", "run_key": "k"}, 200),
    ("DELETE", "/api/subscriptions/{id}", None, 200),
]


async def test_what_is_answered_is_what_is_described(both: Site) -> None:
    ids = await full(both)
    document = await both.get("/openapi.json")
    for path, item in document["paths"].items():
        if "get" in item and path not in ("/api/stream", "/api/explain"):
            await conforms(both, item["get"], "GET", path, ids, None, 200)
    for method, path, body, status in CALLS:
        await conforms(both, document["paths"][path][method.lower()], method, path, ids, body, status)


async def conforms(
    site: Site, operation: dict[str, Any], method: str, path: str, ids: dict[str, str], body: Any, status: int
) -> None:
    of = path.removeprefix("/api").split("/")[1]
    real = path.replace("{id}", ids.get(of, ""))
    real = real.replace("{name}", "load" if "/jobs/" in path else "drop")
    async with site.http.request(method, f"{site.url}{real}", json=body, headers=AUTH) as answer:
        assert answer.status == status, (method, real, await answer.text())
        assert str(status) in operation["responses"], (method, real)
        (kind,) = operation["responses"][str(status)]["content"]
        assert answer.content_type == kind, (method, real)
        if kind == "application/json":
            schema = operation["responses"][str(status)]["content"][kind]["schema"]
            Draft202012Validator(schema).validate(await answer.json())
            if (
                status == 200
                and path.count("/") == 2
                and path.startswith("/api/")
                and "items" in schema.get("properties", {})
            ):
                assert (await answer.json())["items"] or path == "/api/destinations", f"{path} shows nothing of itself"


@pytest.mark.parametrize("path", ["/api/nothing", "/api", "/metrics/x", "/runs", "/favicon.ico"])
async def test_an_unknown_path_is_404_in_json(site: Site, path: str) -> None:
    status, answer = await site.call("GET", path)
    assert status == 404
    assert "/openapi.json" in answer["error"]
