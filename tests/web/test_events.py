from __future__ import annotations

from typing import Any

from tests.web.site import Site

CLOUD = {"Content-Type": "application/cloudevents+json"}


def cloud(**fields: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "17", "source": "/dagster", "type": "bp.done", "data": {"rows": 3}, **fields}


async def test_a_plain_event_is_durable_when_it_is_answered(both: Site) -> None:
    body = {"topic": "bp.houses.oks", "message": "12 rows", "severity": "warning", "data": {"rows": 12}}
    status, answer = await both.call("POST", "/api/events", body)
    assert status == 202
    event = await both.get(f"/api/events/{answer['id']}")
    assert (event["topic"], event["message"], event["severity"]) == ("bp.houses.oks", "12 rows", "warning")
    assert (event["data"], event["source"], event["type"]) == ({"rows": 12}, "http", "message")


async def test_a_cloudevent_comes_once_however_often_it_is_sent_and_keeps_its_own_id(both: Site) -> None:
    answers = [await both.call("POST", "/api/events", cloud(), headers=CLOUD) for _ in range(3)]
    assert [status for status, _ in answers] == [202] * 3
    assert [answer["duplicate"] for _, answer in answers] == [False, True, True]
    assert len({answer["id"] for _, answer in answers}) == 1
    (event,) = (await both.get("/api/events?source=/dagster"))["items"]
    assert event["data"] == {"ce_id": "17", "rows": 3}
    assert event["topic"] == event["type"] == "bp.done"
    _, other = await both.call("POST", "/api/events", cloud(source="/airflow"), headers=CLOUD)
    assert other["duplicate"] is False


async def test_the_same_cloudevent_in_binary_mode_is_the_same_event(site: Site) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "17", "ce-source": "/dagster", "ce-type": "bp.done"}
    headers |= {"ce-topic": "bp.houses", "ce-message": "caf%C3%A9 done", "ce-severity": "error"}
    status, answer = await site.call("POST", "/api/events", {"rows": 3}, headers=headers)
    assert (status, answer["duplicate"]) == (202, False)
    event = await site.get(f"/api/events/{answer['id']}")
    assert (event["topic"], event["message"], event["severity"]) == ("bp.houses", "café done", "error")
    _, again = await site.call("POST", "/api/events", cloud(), headers=CLOUD)
    assert again == {"id": answer["id"], "duplicate": True}
    status, answer = await site.call("POST", "/api/events", headers=headers | {"ce-id": "18"})
    assert (status, answer["duplicate"]) == (202, False)


NO_EVENTS: list[tuple[Any, str]] = [
    ({"message": "no topic"}, "topic"),
    ({"topic": "a..b"}, "empty token"),
    ({"topic": "a.>"}, "wildcard"),
    ({"topic": "a", "colour": "red"}, "'colour'"),
    ({"topic": "a", "severity": "loud"}, "debug"),
    ({"topic": "a", "message": 7}, "text"),
    ({"topic": "a", "message": "a\0b"}, "NUL"),
    ({"topic": "a", "time": "yesterday"}, "RFC 3339"),
    ({"topic": "a", "time": "2026-01-01"}, "RFC 3339"),
    ({"topic": "a", "time": "0001-01-01T00:00:00+10:00"}, "RFC 3339"),
    ({"topic": "a", "run": "../../etc"}, "id of a run"),
    ({"topic": "a", "source": "sensord"}, "own"),
    (cloud(specversion="0.3"), "1.0"),
    (cloud(id=""), "id"),
    (cloud(source=None), "source"),
    (cloud(type="not a topic"), "topic"),
    (cloud(data_base64="aGk="), "base64"),
    ([[{"topic": "a"}]], "object"),
    ("a", "object"),
]


async def test_what_is_no_event_is_refused_with_what_to_do(site: Site) -> None:
    for body, word in NO_EVENTS:
        status, answer = await site.call("POST", "/api/events", body)
        assert status == 400, body
        assert word in answer["error"]
    assert (await site.get("/api/events"))["items"] == []


async def test_any_json_is_data(site: Site) -> None:
    for number, data in enumerate([7, "text", [1, {"a": None}], None, {"ce_id": "mine"}]):
        _, answer = await site.call("POST", "/api/events", cloud(id=f"d{number}", data=data), headers=CLOUD)
        event = await site.get(f"/api/events/{answer['id']}")
        kept = {} if data is None else data if isinstance(data, dict) else {"value": data}
        assert event["data"] == {"ce_id": f"d{number}", **kept}


async def test_an_event_from_outside_reaches_those_subscribed(site: Site) -> None:
    await site.call("POST", "/api/subscriptions", {"topic": "bp.>", "to": "inbox:"})
    _, answer = await site.call("POST", "/api/events", {"topic": "bp.oks", "message": "houses are in"})
    (message,) = await site.found("/api/inbox")
    assert message["title"] == "houses are in"
    (delivery,) = await site.found(f"/api/deliveries?event={answer['id']}&status=delivered")
    assert delivery["destination"] == "inbox:"
