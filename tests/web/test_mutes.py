"""Mutes over HTTP and by commands: set, listed with what waits, ended; each with its audit row and event."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.web.site import Site


async def answered(site: Site, method: str, path: str, body: Any, wanted: int) -> dict[str, Any]:
    status, found = await site.call(method, path, body)
    assert status == wanted, found
    return dict(found)


async def muted(site: Site, **more: Any) -> dict[str, Any]:
    return await answered(site, "POST", "/api/mutes", {"destination": "inbox:", "for": "2h", **more}, 201)


async def several(site: Site, path: str, count: int) -> list[dict[str, Any]]:
    with anyio.fail_after(10):
        while len(items := (await site.get(path))["items"]) < count:
            await site.app.database.read(lambda _conn: None)
    return list(items)


async def test_a_mute_holds_what_is_told_is_listed_and_ends(both: Site) -> None:
    site = both
    await site.call("POST", "/api/subscriptions", {"topic": "bp.>", "to": "inbox:"})
    mute = await muted(site, topic="bp.a", why="deploying")
    assert (mute["pattern"], mute["name"], mute["why"], mute["held"]) == ("bp.a", "api", "deploying", 0)
    for number in range(2):
        await site.call("POST", "/api/events", {"topic": "bp.a", "message": f"{number}"})
    held = await several(site, "/api/deliveries?status=held", 2)
    assert "bp.a is muted until" in held[0]["error"]
    assert held[0]["next_attempt_at"] == mute["until"]
    story = await site.get(f"/api/explain?what={held[0]['event']}")
    assert any("held: bp.a is muted" in line["text"] and "until 20" in line["text"] for line in story["story"])
    (listed,) = (await site.get("/api/mutes"))["items"]
    assert listed == {**mute, "held": 2}

    ended = await answered(site, "DELETE", f"/api/mutes/{mute['id']}", None, 200)
    assert ended == {"id": mute["id"], "held": 2}
    told = await several(site, "/api/deliveries?status=delivered", 3)
    digest = next(one for one in told if one["subscription"] == "digest")
    members = [one for one in told if one["subscription"] != "digest"]
    assert {one["receipt"]["digest"] for one in members} == {digest["event"]}
    (message,) = (await site.get("/api/inbox"))["items"]
    assert message["title"] == "The mute of bp.a ended (api): 2 messages came meanwhile"
    story = await site.get(f"/api/explain?what={members[0]['event']}")
    assert any(f"delivered in digest {digest['event']}" in line["text"] for line in story["story"])
    story = await site.get(f"/api/explain?what={digest['event']}")
    assert story["kind"] == "digest"
    assert "in place of 2 messages: 2 delivered" in story["story"][0]["text"]
    assert (await site.get("/api/mutes"))["items"] == []
    acts = (await site.get("/api/chat/acts"))["items"]
    assert [(one["act"], one["person"]) for one in acts] == [("unmuted", "api"), ("muted", "api")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"for": "2h"}, "say who is not to be told"),
        ({"destination": "inbox:"}, "is not a duration"),
        ({"destination": "inbox:", "for": "2s"}, "from 1m to 30d"),
        ({"destination": "pigeon:7", "for": "2h"}, "pigeon"),
        ({"destination": "inbox:", "for": "2h", "topic": "a..b"}, "a..b"),
    ],
)
async def test_what_is_no_mute_is_refused_in_words(site: Site, body: dict[str, Any], said: str) -> None:
    assert said in (await answered(site, "POST", "/api/mutes", body, 400))["error"]
    assert (await site.get("/api/mutes"))["items"] == []


async def test_a_mute_that_does_not_hold_cannot_be_ended(site: Site) -> None:
    mute = await muted(site)
    again = await muted(site, why="longer")
    assert [one["id"] for one in (await site.get("/api/mutes"))["items"]] == [again["id"]]
    assert "lists those that do" in (await answered(site, "DELETE", f"/api/mutes/{mute['id']}", None, 404))["error"]
