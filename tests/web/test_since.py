"""Events from a time, so long ago, or an event on: as a list a page at a time, and as a stream."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from notifiers import listing
from notifiers.clock import SYSTEM
from tests.web.site import Site
from tests.web.test_stream import listening


def at(hours: float) -> datetime:
    return SYSTEM.now() - timedelta(hours=hours)


async def publish(site: Site, *ages: float, topic: str = "bp.a") -> list[str]:
    """One event of each age in hours, in one batch: their ids."""
    batch = [{"topic": topic, "message": f"{hours:g}", "time": at(hours).isoformat()} for hours in ages]
    status, answer = await site.call("POST", "/api/events", batch)
    assert status == 202
    return [one["id"] for one in answer["items"]]


async def messages(site: Site, **query: Any) -> list[str]:
    """Over all pages."""
    found: list[str] = []
    after: str | None = None
    while True:
        words = "&".join(f"{name}={value}" for name, value in {**query, **({"after": after} if after else {})}.items())
        page = await site.get(f"/api/events?{words.replace('+', '%2B')}")
        found += [item["message"] for item in page["items"]]
        if (after := page["next"]) is None:
            return found


async def test_events_since_a_time_a_duration_or_an_event(both: Site) -> None:
    ids = await publish(both, 50, 30, 10, 3, 1)
    assert await messages(both, since="5h") == ["1", "3"]
    assert await messages(both, since="5h", order="oldest") == ["3", "1"]
    assert await messages(both, since=at(20).isoformat(), order="oldest") == ["10", "3", "1"]
    assert await messages(both, since=at(20).strftime("%Y-%m-%dT%H:%M:%SZ"), order="oldest", limit=1) == [
        "10",
        "3",
        "1",
    ]
    assert await messages(both, since=ids[2], order="oldest") == ["3", "1"]
    assert await messages(both, since=ids[-1]) == []
    assert await messages(both, since="1ms") == []


async def test_what_was_recorded_out_of_order_is_found_by_its_own_time(both: Site) -> None:
    await publish(both, 4, 40, 2, 30, 1, 6)
    assert await messages(both, since="5h", order="oldest") == ["4", "2", "1"]
    assert await messages(both, since="35h", topic="bp.*", order="oldest") == ["4", "2", "30", "1", "6"]


@pytest.mark.parametrize("query", ["since=yesterday", "since=2026-01-01", "since=", "order=up", "since=1h&since=2h"])
async def test_what_is_no_time_is_refused_with_what_is(site: Site, query: str) -> None:
    status, answer = await site.call("GET", f"/api/events?{query}")
    assert status == 400
    assert len(answer["error"]) > 20
    if not query.startswith("order"):
        assert (await site.call("GET", f"/api/stream?{query}"))[0] == 400


async def test_an_event_that_is_not_there_is_no_place(site: Site) -> None:
    unknown = "0189abcd-0000-7000-8000-00000000000f"
    for path in ("/api/events", "/api/stream"):
        status, answer = await site.call("GET", f"{path}?since={unknown}")
        assert status == 400
        assert "deleted" in answer["error"]


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_a_narrow_pattern_in_a_long_log_costs_bounded_pages_and_misses_nothing(
    both: Site, monkeypatch: pytest.MonkeyPatch, order: str, limit: int
) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT", 40)
    monkeypatch.setattr(listing, "_STRIDE", 10)
    for number in range(10):
        await both.call("POST", "/api/events", [{"topic": f"noise.{one}"} for one in range(30)])
        if number in (2, 7):
            await both.call("POST", "/api/events", {"topic": "bp.rare.x", "message": f"{number}"})
    found: list[str] = []
    pages, after = 0, None
    while pages == 0 or after is not None:
        query = f"?topic=bp.*.x&order={order}&limit={limit}" + (f"&after={after}" if after else "")
        page = await both.get(f"/api/events{query}")
        found += [item["message"] for item in page["items"]]
        after, pages = page["next"], pages + 1
    assert found == (["7", "2"] if order == "newest" else ["2", "7"])
    assert 7 <= pages <= 12
    exact = await both.get("/api/events?topic=bp.rare.x")
    assert ([item["message"] for item in exact["items"]], exact["next"]) == (["7", "2"], None)


async def test_a_stream_begins_then_and_goes_on_with_what_is_new(both: Site) -> None:
    ids = await publish(both, 50, 3, 30, 1)
    await publish(both, 2, topic="other.a")
    async with listening(both, "?topic=bp.>&since=5h") as reader:
        assert [(await reader.event())["message"] for _ in range(2)] == ["3", "1"]
        await publish(both, 70)  # New on the log, whatever time its sender gave it.
        assert (await reader.event())["message"] == "70"
    async with listening(both, f"?topic=bp.>&since={ids[1]}") as reader:
        assert [(await reader.event())["message"] for _ in range(3)] == ["30", "1", "70"]
        place = reader.last
    await publish(both, 0.5)
    async with listening(both, "?topic=bp.>&since=5h", **{"Last-Event-ID": place}) as reader:
        assert (await reader.event())["message"] == "0.5"


async def test_a_stream_from_far_back_reads_on_over_what_is_for_others(site: Site) -> None:
    await publish(site, 5)
    for _ in range(3):
        await site.call("POST", "/api/events", [{"topic": "noise.a"}] * 900)
    await publish(site, 4)
    async with listening(site, "?topic=bp.a&since=6h") as reader:
        assert [(await reader.event())["message"] for _ in range(2)] == ["5", "4"]
