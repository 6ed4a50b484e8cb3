"""What did not arrive: listed, counted, and tried again, all of it or some."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, text

from notifiers import dead
from tests.conftest import rows
from tests.web.site import Site

OURS = "destination LIKE 'telegram:%'"  # Beside the words to the owner that they did not arrive.


async def told(site: Site) -> list[str]:
    """What came to the inbox, but for those words."""
    return [item["title"] for item in (await site.get("/api/inbox"))["items"] if item["title"].isdecimal()]


async def bury(site: Site, count: int, *destinations: str, status: str = "dead") -> None:
    """So many messages that did not arrive, for each destination: none of their channels is configured."""
    for destination in destinations:
        await site.call("POST", "/api/subscriptions", {"topic": "bp.>", "to": destination})
    await site.call("POST", "/api/events", [{"topic": "bp.a", "message": f"{number}"} for number in range(count)])
    with anyio.fail_after(20):
        while len(rows(site.app.database, "SELECT id FROM deliveries WHERE status = 'dead'")) < count * len(
            destinations
        ):
            await site.app.database.read(lambda _conn: None)
    if status != "dead":
        await write(site, f"UPDATE deliveries SET status = '{status}' WHERE {OURS}")


async def write(site: Site, statement: str) -> None:
    def op(conn: Connection, items: Any) -> list[None]:
        conn.execute(text(statement))
        return [None for _ in items]

    await site.app.database.write(op, None)


async def replay(site: Site, **body: Any) -> Any:
    status, answer = await site.call("POST", "/api/deliveries/replay", body)
    assert status == (200 if body.get("dry_run") else 202), answer
    return answer


async def test_all_of_one_destination_are_counted_then_sent_and_the_others_left(both: Site) -> None:
    await bury(both, 3, "telegram:1", "telegram:2")
    counted = await replay(both, status="dead", dry_run=True)
    assert counted["count"] == 6
    assert counted["destinations"] == [
        {"destination": f"telegram:{number}", "status": "dead", "count": 3, "paused": False} for number in (1, 2)
    ]
    listed = (await both.get("/api/deliveries?status=dead&destination=telegram:1"))["items"]
    assert len(listed) == 3
    assert "no channel 'telegram' is configured" in listed[0]["error"]
    # The way is mended: from now on what is for the chat goes to the inbox.
    await write(both, "UPDATE deliveries SET destination = 'inbox:' WHERE destination = 'telegram:1'")
    assert (await replay(both, status=["dead"], destination="inbox:"))["replayed"] == 3
    with anyio.fail_after(10):
        while sorted(await told(both)) != ["0", "1", "2"]:
            await both.app.database.read(lambda _conn: None)
    assert (await replay(both, status="dead", dry_run=True))["count"] == 3
    assert (await replay(both, status="uncertain"))["replayed"] == 0


async def test_many_go_a_slice_at_a_time_and_each_once_even_where_they_die_again(
    both: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "MOST", 4)
    monkeypatch.setattr("sensord.web.dead_letters.MOST", 4)
    await bury(both, 10, "telegram:1")
    replayed, after, slices = 0, None, 0
    while slices == 0 or after is not None:
        answer = await replay(both, status="dead", **({} if after is None else {"after": after}))
        replayed, after, slices = replayed + answer["replayed"], answer["next"], slices + 1
    assert (replayed, slices) == (10, 3)
    with anyio.fail_after(10):
        while rows(both.app.database, f"SELECT id FROM deliveries WHERE status <> 'dead' AND {OURS}"):
            await both.app.database.read(lambda _conn: None)
    assert {row["attempts"] for row in rows(both.app.database, f"SELECT attempts FROM deliveries WHERE {OURS}")} == {2}


async def test_what_may_have_arrived_is_sent_anew_and_marked(site: Site) -> None:
    await bury(site, 1, "telegram:1", status="uncertain")
    await write(site, f"UPDATE deliveries SET destination = 'inbox:' WHERE {OURS}")
    assert (await replay(site, status="uncertain"))["replayed"] == 1
    with anyio.fail_after(10):
        while not (found := [i for i in (await site.get("/api/inbox"))["items"] if "Possible repeat" in i["text"]]):
            await site.app.database.read(lambda _conn: None)
    assert found[0]["title"] == "0"


WRONG: list[dict[str, Any]] = [
    {},
    {"status": []},
    {"status": "delivered"},
    {"status": ["dead", 7]},
    {"status": "dead", "dry_run": "yes"},
    {"status": "dead", "destination": 7},
    {"status": "dead", "all": True},
]


async def test_what_is_meant_must_be_said(site: Site) -> None:
    for body in WRONG:
        status, answer = await site.call("POST", "/api/deliveries/replay", body)
        assert status == 400, body
        assert len(answer["error"]) > 10


async def test_a_subscription_with_a_past_says_how_much_of_it_is_told(both: Site) -> None:
    batch = [{"topic": "bp.a", "message": f"{number}"} for number in range(25)]
    _, published = await both.call("POST", "/api/events", [*batch, {"topic": "other.a"}])
    status, made = await both.call("POST", "/api/subscriptions", {"topic": "bp.>", "to": "inbox:", "since": "2h"})
    assert (status, made["backlog"]) == (201, {"deliveries": 0, "done": False})
    with anyio.fail_after(10):
        while not (held := await both.get(f"/api/subscriptions/{made['id']}"))["backlog"]["done"]:
            await both.app.database.read(lambda _conn: None)
        while len(items := (await both.get("/api/inbox"))["items"]) < 25:
            await both.app.database.read(lambda _conn: None)
    assert held["backlog"]["deliveries"] == 25
    assert [item["title"] for item in reversed(items)] == [f"{number}" for number in range(25)]
    status, again = await both.call("POST", "/api/subscriptions", {"topic": "bp.>", "to": "inbox:", "since": "2h"})
    assert (status, again["backlog"]) == (200, None)
    last = {"topic": "bp.*", "to": "inbox:", "since": published["items"][23]["id"]}
    status, _ = await both.call("POST", "/api/subscriptions", last)
    assert status == 201
    for since in ("never", "0189abcd-0000-7000-8000-00000000000f"):
        status, answer = await both.call("POST", "/api/subscriptions", {"topic": "x", "to": "inbox:", "since": since})
        assert status == 400
        assert "since" in answer["error"]
