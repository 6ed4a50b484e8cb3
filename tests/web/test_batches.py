"""Batches: all of it or nothing, in order, each event once."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from sensord.web import publish
from tests.conftest import rows
from tests.web.site import Site

BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def cloud(number: int, **fields: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": f"{number}", "source": "/dagster", "type": "bp.done", "data": number, **fields}


async def test_a_batch_is_published_in_its_order_in_one_transaction(both: Site) -> None:
    status, answer = await both.call("POST", "/api/events", [cloud(number) for number in range(300)], headers=BATCH)
    assert status == 202
    if both.app.database.engine.dialect.name == "postgresql":
        assert len(rows(both.app.database, "SELECT DISTINCT xmin::text FROM events")) == 1
    assert [one["duplicate"] for one in answer["items"]] == [False] * 300
    page = await both.get("/api/events?order=oldest&limit=1000")
    assert [event["data"]["value"] for event in page["items"]] == list(range(300))
    assert [event["id"] for event in page["items"]] == [one["id"] for one in answer["items"]]


async def test_ids_are_known_again_within_a_batch_and_across_batches(both: Site) -> None:
    first = [cloud(1), cloud(2), cloud(1, data="again")]
    _, answer = await both.call("POST", "/api/events", first, headers=BATCH)
    assert [one["duplicate"] for one in answer["items"]] == [False, False, True]
    _, answer = await both.call("POST", "/api/events", [cloud(2), cloud(3)], headers=BATCH)
    assert [one["duplicate"] for one in answer["items"]] == [True, False]
    _, single = await both.call("POST", "/api/events", cloud(3))
    assert single["duplicate"] is True
    assert len(rows(both.app.database, "SELECT seq FROM events")) == 3


async def test_plain_events_come_as_a_list_too_and_mixed(site: Site) -> None:
    status, answer = await site.call("POST", "/api/events", [{"topic": "bp.a", "message": "one"}, cloud(1)])
    assert status == 202
    assert len(answer["items"]) == 2
    assert [one["topic"] for one in (await site.get("/api/events"))["items"]] == ["bp.done", "bp.a"]
    assert await site.call("POST", "/api/events", [], headers=BATCH) == (202, {"items": []})


WRONG: list[tuple[Any, str]] = [
    (cloud(7, specversion="0.3"), "1.0"),
    (cloud(7, type="not a topic"), "topic"),
    ({"topic": "bp.a"}, "1.0"),
    (7, "a number"),
    ([cloud(1)], "a list"),
    (None, "null"),
]


async def test_one_wrong_event_keeps_the_whole_batch_out_and_is_named(both: Site) -> None:
    for wrong, word in WRONG:
        batch = [cloud(1), cloud(2), wrong, cloud(3), "also wrong"]
        status, answer = await both.call("POST", "/api/events", batch, headers=BATCH)
        assert (status, answer["index"]) == (400, 2)
        assert "event 2" in answer["error"]
        assert word in answer["error"]
    assert rows(both.app.database, "SELECT seq FROM events") == []


async def test_what_is_no_batch_and_what_is_too_much_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for body in (cloud(1), 7, "a"):
        status, answer = await site.call("POST", "/api/events", body, headers=BATCH)
        assert status == 400
        assert "list" in answer["error"]
    single = {"Content-Type": "application/cloudevents+json"}
    status, answer = await site.call("POST", "/api/events", [cloud(1)], headers=single)
    assert status == 400
    monkeypatch.setattr(publish, "MAX_BATCH", 3)
    status, answer = await site.call("POST", "/api/events", [cloud(number) for number in range(4)], headers=BATCH)
    assert status == 413
    assert "at most 3" in answer["error"]
    large = io.BytesIO(json.dumps([cloud(number, data="x" * 600_000) for number in range(2)]).encode())
    status, _ = await site.call("POST", "/api/events", data=large, headers=BATCH)
    assert status == 413
    assert (await site.get("/api/events"))["items"] == []


async def test_everyone_subscribed_is_told_of_each_event_of_a_batch(site: Site) -> None:
    await site.call("POST", "/api/subscriptions", {"topic": "bp.>", "to": "inbox:"})
    batch = [cloud(number, message=f"m{number}") for number in range(5)]
    _, answer = await site.call("POST", "/api/events", batch, headers=BATCH)
    for one in answer["items"]:
        await site.found(f"/api/deliveries?event={one['id']}&status=delivered")
    assert {item["title"] for item in (await site.get("/api/inbox"))["items"]} == {f"m{number}" for number in range(5)}
