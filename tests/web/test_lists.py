from __future__ import annotations

from typing import Any

from notifiers.clock import SYSTEM
from sensord.ledger.requests import request_runs
from sensord.run_events import Hooks
from sensord.sensing import new_run
from tests.web.site import Site, request_of

LISTS = {
    "runs": "job, sensor, run_key",
    "ticks": "outcome",
    "keys": "run_key",
    "sensors": "state",
    "jobs": "kind",
    "events": "topic",
    "subscriptions": "destination",
    "deliveries": "status",
    "inbox": "target",
}


async def fill(site: Site, count: int) -> list[str]:
    wishes = [
        new_run(
            SYSTEM, request_of("sum" if number % 3 else "load", run_key=f"k{number}"), Hooks(), subject=f"f{number}"
        )
        for number in range(count)
    ]
    await site.app.database.write_many(request_runs, wishes)
    return [wish.id for wish in wishes]


async def pages(site: Site, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    after = ""
    while True:
        page = await site.get(f"{path}{after}")
        items += page["items"]
        if page["next"] is None:
            return items
        after = f"&after={page['next']}"


async def test_pages_give_everything_once_newest_first(both: Site) -> None:
    ids = await fill(both, 25)
    for path, of in {"runs": "id", "keys": "run", "events": "run"}.items():
        items = await pages(both, f"/api/{path}?limit=4")
        assert [item[of] for item in items] == ids[::-1]


async def test_filters_are_equality_and_several_values_of_one_are_any_of_them(both: Site) -> None:
    await fill(both, 9)
    assert len((await both.get("/api/runs?job=load"))["items"]) == 3
    assert len((await both.get("/api/runs?job=load&job=sum"))["items"]) == 9
    assert len((await both.get("/api/runs?status=queued&job=sum"))["items"]) == 6
    assert [run["subject"] for run in (await both.get("/api/runs?run_key=k4"))["items"]] == ["f4"]
    assert (await both.get("/api/runs?status=failed"))["items"] == []
    assert len((await both.get("/api/events?topic=runs.load.*"))["items"]) == 3


BOUNDS = ("limit=0", "limit=1001", "limit=-1", "limit=ten", "limit=5&limit=6", "limit=9999999999999", "limit=")
CURSORS = ("after=';--", "after=%00", "after=", "after=..%2f")


async def test_every_list_names_its_filters_and_its_bounds(site: Site) -> None:
    for name, word in LISTS.items():
        status, answer = await site.call("GET", f"/api/{name}?colour=red")
        assert status == 400
        assert word in answer["error"]
        for query in (*BOUNDS, *CURSORS):
            status, answer = await site.call("GET", f"/api/{name}?{query}")
            assert status == 400, (name, query)


FIELDS = {
    "runs": ("job", "subject", "status"),
    "ticks": ("job", "subject", "outcome"),
    "keys": ("job", "run_key"),
    "sensors": ("job", "kind"),
    "jobs": ("kind",),
    "events": ("job", "subject", "topic"),
    "subscriptions": ("destination", "topic"),
    "deliveries": ("destination", "status"),
    "inbox": ("target",),
}


async def test_sql_in_a_filter_is_only_a_value(both: Site) -> None:
    await fill(both, 2)
    for name, fields in FIELDS.items():
        for value in ("'_OR_'1'='1", '";DROP_TABLE_runs;--', "\\", "%", "_", "'"):
            for field in fields:
                status, page = await both.call("GET", f"/api/{name}", params={field: value})
                assert (status, page["items"]) == (200, []), (name, field, value)
    assert len((await both.get("/api/runs"))["items"]) == 2


async def test_a_filter_that_no_database_can_hold_is_refused_or_finds_nothing(both: Site) -> None:
    for value in ("%00", "%ED%A0%80", "%ff", "x" * 5000, "%F0%9F%92%A9"):
        for name, fields in FIELDS.items():
            for field in fields:
                status, answer = await both.call("GET", f"/api/{name}?{field}={value}")
                assert status == 400 or (status, answer["items"]) == (200, []), (name, field, value)


async def test_jobs_and_sensors_are_those_of_the_configuration(both: Site) -> None:
    await fill(both, 4)
    load, total = (await both.get("/api/jobs"))["items"]
    assert (load["name"], load["kind"], load["sensors"]) == ("load", "command", ["drop"])
    assert load["config_schema"]["properties"] == {"path": {"type": "string"}}
    assert load["last_24h"] == {"queued": 2}
    assert total["last_run"]["job"] == "sum"
    assert (await both.get("/api/jobs?limit=1"))["next"] == "load"
    assert (await both.get("/api/jobs?limit=1&after=load"))["items"] == [total]
    (drop,) = (await both.get("/api/sensors?job=load"))["items"]
    assert (drop["name"], drop["kind"], drop["state"], drop["jobs"]) == ("drop", "directory", "active", ["load"])
    assert drop["last_look"] is not None
    assert drop == {**await both.get("/api/sensors/drop"), "last_look": drop["last_look"]}
    assert (await both.get("/api/sensors?job=sum"))["items"] == []
    assert (await both.get("/api/jobs/sum"))["name"] == "sum"
    for path in ("/api/jobs/none", "/api/sensors/none"):
        status, answer = await both.call("GET", path)
        assert status == 404
        assert "the configuration has" in answer["error"]


async def test_a_name_that_is_not_utf8_is_shown_and_breaks_nothing(both: Site) -> None:
    name = b"caf\xe9.csv".decode("utf-8", "surrogateescape")
    wish = new_run(SYSTEM, request_of(run_key=name, run_config={"path": name}), Hooks())
    await both.app.database.write(request_runs, wish)
    run = await both.get(f"/api/runs/{wish.id}")
    assert run["run_config"] == {"path": "caf\ufffd.csv"}
    assert run["run_key"] == "caf\\udce9.csv\ufffd"
