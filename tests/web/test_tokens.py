"""Tokens for programs: what they open, what they never do, and how they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest

from sensord.ledger.database import LedgerDatabase, open_database
from sensord.tokens import Tokens
from sensord.web.api import build_web
from tests.conftest import rows
from tests.notifiers.service import HeldTime
from tests.web.site import TOKEN, Site, open_site
from tests.web.test_stream import Reader

BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def make(site: Site, name: str = "program", **body: Any) -> str:
    status, answer = await site.call("POST", "/api/tokens", {"name": name, **body})
    assert status == 201, answer
    return str(answer["token"])


async def publish(site: Site, secret: str, topic: str) -> int:
    return (await site.call("POST", "/api/events", {"topic": topic}, headers=bearer(secret)))[0]


async def topics(site: Site, secret: str, query: str = "") -> list[str]:
    status, page = await site.call("GET", f"/api/events{query}", headers=bearer(secret))
    assert status == 200, page
    return [item["topic"] for item in page["items"]]


async def test_a_token_publishes_on_its_topics_alone(both: Site) -> None:
    secret = await make(both, publish=["bp.>", "air.*.ok"])
    assert await publish(both, secret, "bp.a") == 202
    assert await publish(both, secret, "air.x.ok") == 202
    for topic in ("runs.load.failed", "bp", "air.x.y.ok", "tokens.created"):
        assert await publish(both, secret, topic) == 403, topic
    batch = [{"topic": "bp.b"}, {"topic": "runs.x"}, {"topic": "bp.c"}]
    status, answer = await both.call("POST", "/api/events", batch, headers=bearer(secret))
    assert (status, answer["index"]) == (403, 1)
    assert "runs.x" in answer["error"]
    kept = (await both.get("/api/events?source=http"))["items"]
    assert [event["topic"] for event in kept] == ["air.x.ok", "bp.a"]


async def test_a_token_reads_what_its_patterns_take_in_every_way(both: Site) -> None:
    secret = await make(both, read=["bp.>", "runs.load.*"])
    for topic in ("bp.a", "other.b", "runs.load.failed", "runs.sum.failed"):
        await both.call("POST", "/api/events", {"topic": topic})
    assert await topics(both, secret) == ["runs.load.failed", "bp.a"]
    assert await topics(both, secret, "?topic=>") == ["runs.load.failed", "bp.a"]
    assert await topics(both, secret, "?topic=other.b") == []
    assert await topics(both, secret, "?topic=runs.*.failed&order=oldest") == ["runs.load.failed"]
    by_topic = {event["topic"]: event["id"] for event in (await both.get("/api/events"))["items"]}
    for topic, expected in (("bp.a", 200), ("runs.load.failed", 200), ("other.b", 404), ("tokens.created", 404)):
        status, _ = await both.call("GET", f"/api/events/{by_topic[topic]}", headers=bearer(secret))
        assert status == expected, topic
        status, _ = await both.call("GET", f"/api/events?since={by_topic[topic]}", headers=bearer(secret))
        assert status == (400 if expected == 404 else 200), topic


async def test_an_event_on_two_topics_is_read_by_either(both: Site) -> None:
    secret = await make(both, read=["bp.>"])
    run = await both.launch()
    both.stage.end(f"{run}.1")
    await both.settled(run, "succeeded")
    assert await topics(both, secret) == ["runs.load.succeeded"]
    assert await topics(both, secret, "?topic=bp.oks") == ["runs.load.succeeded"]


@asynccontextmanager
async def listening(site: Site, secret: str, query: str = "") -> Any:
    async with site.http.get(f"{site.url}/api/stream{query}", headers=bearer(secret)) as answer:
        assert answer.status == 200
        reader = Reader(answer)
        assert "retry" in await reader.block()
        yield reader


async def test_a_stream_gives_a_token_its_topics_and_ends_within_a_second_of_its_revocation(site: Site) -> None:
    secret = await make(site, read=["bp.>"])
    async with listening(site, secret, "?topic=>&since=1h") as reader:
        for topic in ("other.a", "bp.a"):
            await site.call("POST", "/api/events", {"topic": topic})
        assert (await reader.event())["topic"] == "bp.a"
        assert (await site.call("DELETE", "/api/tokens/program"))[0] == 200
        await site.call("POST", "/api/events", {"topic": "bp.too_late"})
        with anyio.fail_after(1):
            rest = await reader.answer.content.read()
        assert b"too_late" not in rest


OPEN = {
    ("POST", "/api/events"),
    ("GET", "/api/events"),
    ("GET", "/api/events/{id}"),
    ("GET", "/api/events/{id}/preview"),
    ("GET", "/api/stream"),
}
PUBLIC = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/login")}
SOME_ID = "0189abcd-0000-7000-8000-00000000000f"


def routes(site: Site) -> Iterator[tuple[str, str]]:
    for route in build_web(site.app).router.routes():
        if route.resource is not None and route.method != "HEAD":
            yield route.method, route.resource.canonical


async def test_every_other_route_is_closed_to_a_token_for_topics(site: Site) -> None:
    everything = await make(site, "all", publish=[">"], read=[">"])
    seen = set(routes(site))
    assert seen >= OPEN
    for method, path in seen - PUBLIC:
        real = path.replace("{id}", SOME_ID).replace("{name}", "drop")
        methods = ("GET", "HEAD") if method == "GET" else (method,)
        for one in methods:
            if (method, path) == ("GET", "/api/stream"):
                continue
            async with site.http.request(one, f"{site.url}{real}", headers=bearer(everything)) as answer:
                assert (answer.status != 403) == ((method, path) in OPEN), (one, path, answer.status)
    document = await site.get("/openapi.json")
    scoped = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if any("scoped" in way for way in operation.get("security", []))
    }
    assert scoped == OPEN


async def test_a_token_does_one_thing_where_it_was_made_for_one(site: Site) -> None:
    writer, reader = await make(site, "w", publish=["bp.>"]), await make(site, "r", read=["bp.>"])
    for path in ("/api/events", f"/api/events/{SOME_ID}", "/api/stream"):
        status, answer = await site.call("GET", path, headers=bearer(writer))
        assert status == 403
        assert "publish on bp.>" in answer["error"]
    assert await publish(site, reader, "bp.a") == 403


async def test_a_wrong_a_revoked_and_an_expired_token_open_nothing(both: Site) -> None:
    secret = await make(both, publish=["bp.>"], read=["bp.>"])
    head, tail = f"sensord_{secret.split('_', 2)[1]}", secret.split("_", 2)[2]  # Which may have a `_` in it.
    wrong = [f"{secret}x", secret[:-1], f"{head}_", head, f"sensord_000000000000_{tail}", tail, "sensord_", "sensord__",
             secret.upper(), f"{head}_{'é' * 43}", f" {secret}"]  # fmt: skip
    for one in wrong:
        status, _ = await both.call("GET", "/api/events", headers=bearer(one))
        assert status == 401, one
    assert await publish(both, secret, "bp.a") == 202
    assert (await both.call("DELETE", "/api/tokens/program"))[0] == 200
    assert await publish(both, secret, "bp.a") == 401
    assert (await both.call("DELETE", "/api/tokens/program"))[0] == 404
    again = await make(both, publish=["bp.>"])
    assert again != secret
    assert await publish(both, secret, "bp.a") == 401
    assert await publish(both, again, "bp.a") == 202


async def test_a_token_ends_when_its_time_has_come_without_a_restart(database: LedgerDatabase) -> None:
    time = HeldTime()
    tokens = Tokens(database, time.clock)
    made = await tokens.create("short", publish=(), read=("bp.>",), seconds=60.0)
    assert made is not None
    access = tokens.find(made["token"])
    assert access is not None
    time.seconds = 59.0
    assert tokens.find(made["token"]) == access
    assert await tokens.create("short", publish=(), read=("x",), seconds=None) is None
    time.seconds = 60.0
    assert tokens.find(made["token"]) is None
    assert not tokens.hold(access)
    replaced = await tokens.create("short", publish=(), read=("x",), seconds=None)
    assert replaced is not None
    loaded = Tokens(database, time.clock)
    await loaded.load()
    assert loaded.find(made["token"]) is None
    assert loaded.find(replaced["token"]) is not None


async def test_what_is_kept_of_a_token_opens_nothing_and_a_restart_forgets_none(both: Site) -> None:
    secret = await make(both, publish=["bp.>"], expires="30d")
    kept = rows(both.app.database, "SELECT * FROM tokens")
    assert secret.split("_", 2)[2] not in json.dumps(kept)
    for stored in kept[0].values():
        assert (await both.call("GET", "/api/events", headers=bearer(f"sensord_{kept[0]['id']}_{stored}")))[0] == 401
    listed = (await both.get("/api/tokens"))["items"]
    assert [(one["name"], one["publish"], one["read"], one["state"]) for one in listed] == [
        ("program", ["bp.>"], [], "active")
    ]
    assert secret.split("_", 2)[2] not in json.dumps([listed, await both.get("/api/events")])
    fresh = Tokens(both.app.database, both.app.clock)
    assert fresh.find(secret) is None
    await fresh.load()
    assert fresh.find(secret) is not None


async def test_making_and_revoking_are_told_on_the_bus(both: Site) -> None:
    await make(both, publish=["bp.>"])
    await both.call("DELETE", "/api/tokens/program")
    revoked, created = (await both.get("/api/events?topic=tokens.*"))["items"]
    assert (created["topic"], created["data"]["publish"], created["subject"]) == ("tokens.created", ["bp.>"], "program")
    assert (revoked["topic"], revoked["source"]) == ("tokens.revoked", "sensord:tokens")


async def test_a_request_costs_no_read_of_the_tokens(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = await make(site, publish=["bp.>"])
    monkeypatch.setattr(site.app.tokens, "_database", None)
    assert await publish(site, secret, "bp.a") == 202
    assert await publish(site, secret, "other") == 403
    assert await publish(site, f"{secret}x", "bp.a") == 401


NO_TOKENS: list[tuple[dict[str, Any], str]] = [
    ({"publish": ["bp.>"]}, "name"),
    ({"name": "a b", "publish": ["bp.>"]}, "name"),
    ({"name": "a"}, "may do"),
    ({"name": "a", "publish": []}, "may do"),
    ({"name": "a", "publish": "bp.>"}, "list"),
    ({"name": "a", "publish": [7]}, "patterns"),
    ({"name": "a", "read": ["a.>.b"]}, "before its end"),
    ({"name": "a", "read": ["a"] * 51}, "50"),
    ({"name": "a", "read": ["a"], "expires": "soon"}, "duration"),
    ({"name": "a", "read": ["a"], "expires": "0s"}, "30d"),
    ({"name": "a", "read": ["a"], "expires": "99999999999999d"}, "30d"),
    ({"name": "a", "read": ["a"], "token": "mine"}, "'token'"),
]


async def test_a_token_that_makes_no_sense_is_refused(site: Site) -> None:
    for body, word in NO_TOKENS:
        status, answer = await site.call("POST", "/api/tokens", body)
        assert status == 400, body
        assert word in answer["error"], answer
    assert (await site.get("/api/tokens"))["items"] == []


async def test_on_loopback_without_a_token_all_is_open_but_a_wrong_one_is_refused(tmp_path: Any) -> None:
    async with (
        open_database(f"sqlite:///{tmp_path}/a.db") as database,
        open_site(database, tmp_path, token=None) as site,
        aiohttp.ClientSession() as http,
    ):
        async with http.post(f"{site.url}/api/tokens", json={"name": "a", "publish": ["bp.>"]}) as answer:
            secret = (await answer.json())["token"]
        for headers, expected in (({}, 200), (bearer(secret), 403), (bearer(TOKEN), 401), (bearer("x"), 401)):
            async with http.get(f"{site.url}/api/runs", headers=headers) as answer:
                assert answer.status == expected, headers
        assert await publish(site, secret, "bp.a") == 202
        assert await publish(site, secret, "other") == 403
