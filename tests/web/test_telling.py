from __future__ import annotations

from sqlalchemy import Connection

from notifiers.clock import SYSTEM, to_us
from notifiers.tables import destinations
from tests.web.site import Site


async def test_a_subscription_is_made_once_told_by_and_ended(both: Site) -> None:
    wanted = {"topic": "bp.>", "to": "inbox:", "where": {"severity": ">=warning"}}
    status, made = await both.call("POST", "/api/subscriptions", wanted)
    assert status == 201
    status, again = await both.call("POST", "/api/subscriptions", wanted)
    assert (status, again["id"], again["duplicate"]) == (200, made["id"], True)
    (held,) = (await both.get("/api/subscriptions"))["items"]
    assert (held["topic"], held["destination"], held["where"]) == ("bp.>", "inbox:", {"severity": ">=warning"})
    assert held == await both.get(f"/api/subscriptions/{made['id']}")
    await both.call("POST", "/api/events", {"topic": "bp.a", "message": "too quiet"})
    await both.call("POST", "/api/events", {"topic": "bp.a", "message": "loud", "severity": "error"})
    (message,) = await both.found("/api/inbox")
    assert message["title"] == "loud"
    status, ended = await both.call("DELETE", f"/api/subscriptions/{made['id']}")
    assert (status, ended["ended"]) == (200, True)
    assert (await both.get("/api/subscriptions"))["items"] == []
    assert [one["id"] for one in (await both.get("/api/subscriptions?ended=true"))["items"]] == [made["id"]]
    status, _ = await both.call("DELETE", f"/api/subscriptions/{made['id']}")
    assert status == 404


NO_SUBSCRIPTIONS: list[object] = [
    {},
    {"topic": "a"},
    {"to": "inbox:"},
    {"topic": "a.>.b", "to": "inbox:"},
    {"topic": "a", "to": "pigeon:1"},
    {"topic": "a", "to": "telegram:"},
    {"topic": "a", "to": "inbox:", "where": {"severity": "loudest"}},
    {"topic": "a", "to": "inbox:", "where": []},
    {"topic": "a", "to": "inbox:", "when": "x"},
]


async def test_a_subscription_that_could_tell_nobody_is_refused(site: Site) -> None:
    for body in NO_SUBSCRIPTIONS:
        status, answer = await site.call("POST", "/api/subscriptions", body)
        assert status == 400, body
        assert len(answer["error"]) > 20
    assert (await site.get("/api/subscriptions"))["items"] == []


async def test_an_event_is_told_again_and_a_delivered_one_is_not_sent_twice_by_itself(both: Site) -> None:
    await both.call("POST", "/api/subscriptions", {"topic": "bp.>", "to": "inbox:"})
    _, event = await both.call("POST", "/api/events", {"topic": "bp.a", "message": "once"})
    (delivery,) = await both.found(f"/api/deliveries?event={event['id']}&status=delivered")
    assert (await both.get(f"/api/deliveries/{delivery['id']}"))["receipt"] is not None
    status, _ = await both.call("POST", f"/api/deliveries/{delivery['id']}/replay")
    assert status == 409
    status, answer = await both.call("POST", f"/api/events/{event['id']}/replay")
    assert status == 202
    (again,) = answer["deliveries"]
    assert again != delivery["id"]
    await both.found(f"/api/deliveries?id={again}&status=delivered")
    assert len((await both.get("/api/inbox"))["items"]) == 2
    status, _ = await both.call("POST", f"/api/events/{again}/replay")
    assert status == 404


async def test_a_paused_destination_is_listed_and_resumed(both: Site) -> None:
    def pause(conn: Connection, _items: object) -> list[None]:
        now = to_us(SYSTEM.now())
        conn.execute(destinations.insert().values(destination="slack:#a", state="paused", reason="gone", since=now))
        return [None]

    await both.app.database.write(pause, None)
    (one,) = (await both.get("/api/destinations"))["items"]
    assert (one["destination"], one["state"], one["reason"]) == ("slack:#a", "paused", "gone")
    overview = await both.get("/api/overview")
    assert overview["well"] is False
    assert "slack:#a" in overview["sentence"]
    status, answer = await both.call("POST", "/api/destinations/resume", {"destination": "slack:#a"})
    assert (status, answer["state"]) == (200, "active")
    assert (await both.get("/api/overview"))["well"] is True
    for body in ({"destination": "slack:#a"}, {}):
        status, _ = await both.call("POST", "/api/destinations/resume", body)
        assert status == 404
