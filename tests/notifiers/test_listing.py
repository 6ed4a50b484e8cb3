from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from notifiers.bus.embedded import append
from notifiers.listing import (
    get_delivery,
    get_event,
    get_subscription,
    list_deliveries,
    list_events,
    list_inbox,
    list_subscriptions,
)
from notifiers.tables import events
from rules.event import Severity
from rules.topics import matches
from tests.notifiers.service import HeldTime, Patient, Service, Watched, delivering, event, publish, subscribe


async def test_events_come_newest_first_a_page_at_a_time(database: Watched) -> None:
    await publish(database, *(event(f"{number}") for number in range(5)))
    first = await database.read(lambda conn: list_events(conn, {}, None, 2))
    second = await database.read(lambda conn: list_events(conn, {}, first["next"], 2))
    third = await database.read(lambda conn: list_events(conn, {}, second["next"], 2))

    assert [[item["message"] for item in page["items"]] for page in (first, second, third)] == [
        ["4", "3"],
        ["2", "1"],
        ["0"],
    ]
    assert third["next"] is None


async def test_a_page_that_holds_the_rest_exactly_is_the_last(database: Watched) -> None:
    await publish(database, event("a", "x.a"), event("b", "x.b"), event("c", "other"))
    page = await database.read(lambda conn: list_events(conn, {"topic": "x.*"}, None, 2))

    assert [item["message"] for item in page["items"]] == ["b", "a"]
    assert page["next"] is None


async def test_events_are_found_by_their_fields(database: Watched) -> None:
    failed = event("f", "runs.x.failed", Severity.error, run="r1", job="x", also="hooks.X")
    await publish(database, failed, event("s", "runs.x.succeeded", job="x"), event("m", "Runs.x.failed"))

    async def found(**filters: str) -> list[str]:
        page = await database.read(lambda conn: list_events(conn, filters, None, 10))
        return [item["message"] for item in page["items"]]

    assert await found(run="r1") == ["f"]
    assert await found(job="x") == ["s", "f"]
    assert await found(topic="runs.*.failed") == ["f"]
    assert await found(topic="hooks.>") == ["f"]
    assert await found(severity="info") == ["m", "s"]
    assert await found(severity=">=warning", topic="runs.>") == ["f"]
    assert await found(topic="runs.x") == []


async def test_what_makes_no_sense_is_an_error_that_says_what_does(database: Watched) -> None:
    async def refused(filters: dict[str, str], after: str | None = None, limit: int = 10) -> str:
        with pytest.raises(ValueError, match=r"[a-z]") as caught:
            await database.read(lambda conn: list_events(conn, filters, after, limit))
        return str(caught.value)

    assert "there are id, type, source" in await refused({"colour": "red"})
    assert "`>` before its end" in await refused({"topic": "a.>.b"})
    assert "none of debug" in await refused({"severity": "loud"})
    assert "`next` of the page before" in await refused({}, after="x")
    assert "1 to 1000" in await refused({}, limit=0)


async def test_a_delivery_is_shown_with_its_receipt(database: Watched, time: HeldTime, wait: Patient) -> None:
    chat = Service(time)
    mine = await subscribe(database, ">", "chat:a", severity=">=info")
    long, short = event("long\nsecond"), event("short")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, long, short)
        await wait.until_all_ended()
    page = await database.read(lambda conn: list_deliveries(conn, {"destination": "chat:a"}, None, 10))
    one, other = page["items"]

    assert one == {
        "id": one["id"],
        "event": short.id,
        "subscription": mine,
        "destination": "chat:a",
        "status": "delivered",
        "attempts": 1,
        "next_attempt_at": None,
        "error": None,
        "receipt": {"id": "3", "target": "a"},
    }
    assert [part["id"] for part in other["receipt"]["parts"]] == ["1", "2"]
    assert await database.read(lambda conn: get_delivery(conn, one["id"])) == one
    assert await database.read(lambda conn: get_delivery(conn, "nobody")) is None
    assert await database.read(lambda conn: list_deliveries(conn, {"status": "dead"})) == {"items": [], "next": None}
    subscription = await database.read(lambda conn: get_subscription(conn, mine))
    assert subscription is not None
    assert subscription["where"] == {"severity": ">=info"}
    assert (await database.read(lambda conn: list_subscriptions(conn, {})))["items"] == [subscription]
    assert (await database.read(lambda conn: list_subscriptions(conn, {"ended": "true"})))["items"] == []
    shown = await database.read(lambda conn: get_event(conn, short.id))
    assert shown == short.to_json()
    assert (await database.read(lambda conn: list_inbox(conn, {})))["items"] == []


tokens = st.sampled_from(["a", "A", "b_", "%", "a%"])
topics = st.lists(tokens, min_size=1, max_size=4).map(".".join)
patterns = st.builds(
    lambda parts, tail: ".".join([*parts, *tail]),
    st.lists(tokens | st.just("*"), min_size=1, max_size=3),
    st.sampled_from([[], [">"]]),
)


@given(st.lists(topics, min_size=1, max_size=12), patterns, st.integers(1, 4))
def test_the_list_takes_what_the_pattern_takes_over_all_pages(all_topics: list[str], pattern: str, limit: int) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as conn:
        events.create(conn)
        append(conn, [event(topic, topic) for topic in all_topics])
        found: list[str] = []
        page: dict[str, Any] = {"next": None}
        while True:
            page = list_events(conn, {"topic": pattern}, page["next"], limit)
            found += [item["message"] for item in page["items"]]
            assert len(page["items"]) <= limit
            if page["next"] is None:
                break
    engine.dispose()

    assert found == [topic for topic in reversed(all_topics) if matches(pattern, topic)]
