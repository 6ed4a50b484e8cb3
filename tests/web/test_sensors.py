from __future__ import annotations

from datetime import timedelta

import pytest

from sensord.web import sensors
from tests.web.site import Site


async def test_a_dry_run_tells_what_would_be_asked_for_and_changes_nothing(both: Site) -> None:
    both.shelf.put("a.csv")
    both.shelf.put("empty.csv", size=0)
    status, answer = await both.call("POST", "/api/sensors/drop/tick?dry_run=1")
    assert status == 200
    assert (answer["dry_run"], answer["sensed"]) == (True, 2)
    first, second = answer["items"]
    (request,) = first["requests"]
    assert (request["job"], request["run_key"], request["held_by"]) == ("load", "a.csv", None)
    assert request["run_config"] == {"path": "/in/a.csv"}
    assert request["tags"] == {"team": "geo"}
    assert second["requests"] == []
    assert "file.size > 0" in second["skipped"]
    assert (await both.get("/api/runs"))["items"] == (await both.get("/api/ticks"))["items"] == []


async def test_a_tick_asks_once_and_the_next_one_says_who_holds_the_key(both: Site) -> None:
    both.shelf.put("a.csv")
    status, answer = await both.call("POST", "/api/sensors/drop/tick")
    assert (status, answer["sensed"]) == (200, 1)
    (run,) = (await both.get("/api/runs"))["items"]
    assert (run["sensor"], run["run_key"], run["subject"]) == ("drop", "a.csv", "/in/a.csv")
    both.shelf.put("a.csv", size=9)
    _, answer = await both.call("POST", "/api/sensors/drop/tick?dry_run=true")
    (item,) = answer["items"]
    assert item["requests"][0]["held_by"] == run["id"]
    await both.call("POST", "/api/sensors/drop/tick")
    ticks = (await both.get("/api/ticks?sensor=drop"))["items"]
    assert [tick["outcome"] for tick in ticks] == ["duplicate", "requested"]
    assert len((await both.get("/api/runs"))["items"]) == 1
    (sensor,) = (await both.get("/api/sensors"))["items"]
    assert sensor["last_tick"] == ticks[0]


async def test_a_sensor_that_is_not_there_or_cannot_look_says_so(site: Site) -> None:
    status, _ = await site.call("POST", "/api/sensors/none/tick")
    assert status == 404
    status, _ = await site.call("POST", "/api/sensors/drop/tick?dry=1")
    assert status == 400
    site.shelf.trouble = PermissionError(13, "Permission denied", "/in")
    status, answer = await site.call("POST", "/api/sensors/drop/tick")
    assert status == 503
    assert "/in" in answer["error"]


async def test_how_far_a_sensor_is_behind_is_shown(both: Site) -> None:
    assert (await both.get("/api/sensors/drop"))["lag_seconds"] == 0
    both.app.sensings["drop"].behind(both.app.clock.now() - timedelta(minutes=5))
    (sensor,) = (await both.get("/api/sensors"))["items"]
    assert 300 <= sensor["lag_seconds"] < 330
    both.app.serving = False
    assert (await both.get("/api/sensors/drop"))["lag_seconds"] is None, "nobody looks"


async def test_a_tick_that_takes_long_is_answered_with_what_it_found_so_far(
    both: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "_PATIENCE", 2.0)  # Enough for a commit, on any machine that is not stuck itself.
    both.shelf.put("a.csv")
    both.shelf.stuck = True
    status, answer = await both.call("POST", "/api/sensors/drop/tick")
    assert (status, answer["ended"], answer["sensed"]) == (200, False, 1)
    (item,) = answer["items"]
    assert item["requests"][0]["run"] == (await both.get("/api/runs"))["items"][0]["id"]
