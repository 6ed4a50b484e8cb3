"""What every source promises, shown on each of them in the whole daemon, with a real outside and a real ledger."""

from __future__ import annotations

from datetime import timedelta

import aiohttp
import pytest

from notifiers.clock import SYSTEM
from sensord.explain import explain
from sensord.web.api import serve
from tests.conftest import rows
from tests.sources.conformance_entries import of_each
from tests.sources.conformance_kit import (
    NAME,
    Thing,
    World,
    content,
    half,
    held,
    ran,
    reason,
    refusing,
    runs,
    said,
)
from tests.sources.directory_kit import until


@of_each()
async def test_each_thing_is_one_run_however_often_it_is_said_and_can_be_explained(
    world: World, database_url: str
) -> None:
    world.url = database_url
    async with world.life() as app:
        things = [await world.happen(app, name) for name in ("a.csv", "b.csv", "c.csv")]
        found = await ran(app, things)
        for thing in things:
            await world.outside.again(app, thing)
        things.append(await world.happen(app, "d.csv"))
        await ran(app, things)
        for thing, run in zip(things, sorted(found, key=lambda run: str(run["run_key"])), strict=False):
            story = await explain(app, run["subject"])
            assert run["id"] in story["verdict"], thing
            assert any(f"sensed by {NAME}" in line["text"] for line in story["story"])
        await until(lambda: app.sensings[NAME].lag == 0)
    async with world.life() as app:
        things.append(await world.happen(app, "e.csv"))
        await ran(app, things)


@of_each()
async def test_what_happened_while_nobody_looked_is_found_and_run_once(world: World) -> None:
    async with world.life() as app:
        things = [await world.happen(app, "a.csv")]
        await ran(app, things)
    async with world.life(without=True) as app:
        things += [await world.happen(app, name) for name in ("b.csv", "c.csv")]
    for name in ("d.csv", "e.csv"):
        async with world.life() as app:
            await ran(app, things)
            things.append(await world.happen(app, name))
            await ran(app, things)
            assert said(app) == []


@of_each()
async def test_a_commit_that_fails_in_the_middle_leaves_nothing_half_and_loses_nothing(world: World) -> None:
    async with world.life() as app:
        things = [await world.happen(app, "a.csv")]
        await ran(app, things)
        before = half(app)
        async with refusing(app):
            things.append(await world.happen(app, "b.csv"))
            await world.until(lambda: app.sensings[NAME].failing)
            assert "refused here" in reason(app)
            assert app.sensings[NAME].lag > 0
            assert half(app) == before
        await world.until(lambda: len(runs(app)) > 1)
        await ran(app, things)
        await world.until(lambda: not app.sensings[NAME].failing)
        await until(lambda: app.sensings[NAME].lag == 0)
        assert said(app) == ["sensor.failed", "sensor.recovered"]


@of_each()
async def test_a_dry_run_says_what_would_be_emitted_and_changes_nothing(world: World) -> None:
    await world.begun()
    async with world.life(without=True) as app:
        things = [await world.happen(app, "b.csv")] if world.entry.wakes else []
    async with world.opened() as app, serve(app) as url, aiohttp.ClientSession() as http:
        before = content(app.database)
        for _ in range(2):
            async with http.post(f"{url}/api/sensors/{NAME}/tick?dry_run=1", json={}) as answer:
                assert answer.status == 200, await answer.text()
                told = await answer.json()
            keys = [request["run_key"] for item in told["items"] for request in item["requests"]]
            assert told["sensed"] == len(keys) == 1
        assert content(app.database) == before
    async with world.life() as app:
        things = things or [await world.happen(app, "b.csv")]
        await ran(app, things)
    assert [thing.run_key for thing in things] == keys


@of_each(lambda entry: entry.breaks)
async def test_trouble_is_told_once_and_its_end_once_and_others_go_on(world: World) -> None:
    async with world.life() as app:
        things = [await world.happen(app, "a.csv")]
        await ran(app, things)
        words = await world.outside.break_(app)
        await world.until(lambda: app.sensings[NAME].failing)
        assert words in reason(app)
        if world.entry.meanwhile:
            things.append(await world.happen(app, "b.csv"))
        (world.folder / "other" / "x").write_text("x")
        await world.until(lambda: runs(app, "tell"))
        assert app.sensings[NAME].lag > 0
    async with world.life() as app:
        await world.until(lambda: app.sensings[NAME].failing)
        assert said(app) == ["sensor.failed"]
        await world.outside.mend(app)
        if not world.entry.meanwhile:
            things.append(await world.happen(app, "b.csv"))
        await world.until(lambda: len(runs(app)) >= len(things))
        await ran(app, things)
        await world.until(lambda: not app.sensings[NAME].failing)
        await until(lambda: app.sensings[NAME].lag == 0)
        assert said(app) == ["sensor.failed", "sensor.recovered"]
        assert said(app, "other") == []


@of_each()
async def test_it_is_behind_while_something_waits_and_not_after(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.life() as app:
        with held(monkeypatch) as hold:
            thing = await world.happen(app, "a.csv")
            await until(hold.waiting.is_set)
            sensing = app.sensings[NAME]
            await until(lambda: sensing.lag > 0)
            assert sensing.lag < timedelta(minutes=1).total_seconds()
        await ran(app, [thing])
        await until(lambda: sensing.lag == 0)


@of_each()
async def test_a_rule_that_fails_is_recorded_and_told_and_stops_nothing(world: World) -> None:
    query = f"SELECT subject, reason FROM ticks WHERE sensor = '{NAME}' AND outcome = 'error'"
    async with world.life(more='    tags: {x: "{{ nothing.there }}"}') as app:
        things: list[Thing] = []
        for name in ("a.csv", "b.csv"):
            things.append(await world.happen(app, name))
            await until(lambda: len({row["subject"] for row in rows(app.database, query)}) == len(things))
        found = rows(app.database, query)
        assert {row["subject"] for row in found} == {thing.subject for thing in things}
        assert all(row["reason"].startswith("tags: ") for row in found)
        assert runs(app) == []
        assert said(app) == ["sensor.failed"]
        assert things[0].subject in reason(app)
        assert "mend the configuration" in reason(app)


@of_each(lambda entry: entry.left_out)
async def test_what_is_left_out_has_a_reason(world: World) -> None:
    assert world.entry.left_out is not None
    subject, words = world.entry.left_out
    async with world.life() as app:
        story = await explain(app, world.filled(subject))
    (line,) = [line["text"] for line in story["story"] if line["text"].startswith(f"sensor {NAME} ")]
    assert "would not take it: " in line
    assert words in line


@of_each()
@pytest.mark.parametrize("serving", [True, False])
async def test_a_tick_looks_now_and_nothing_is_lost_or_doubled_by_it(world: World, serving: bool) -> None:
    await world.begun()
    async with world.life(without=True) as app:
        things = [await world.happen(app, "a.csv")]
    opened = world.life if serving else world.opened
    async with opened(interval="1h") as app, serve(app) as url, aiohttp.ClientSession() as http:
        for number in range(2):
            if number == 1 and world.entry.name != "runs":  # Its runs need the daemon.
                things.append(await world.happen(app, "b.csv"))
            async with http.post(f"{url}/api/sensors/{NAME}/tick", json={}) as answer:
                told = await answer.json()
            if not world.entry.wakes:
                assert answer.status == 409
                assert "`sensord launch load`" in told["error"]
                continue
            assert answer.status == 200, told
            assert told["ended"]
            if serving:
                await ran(app, things)
            assert sorted(str(run["run_key"]) for run in runs(app)) == sorted(thing.run_key for thing in things)
            assert {item["subject"] for item in told["items"]} <= {thing.subject for thing in things}
    async with world.life() as app:
        await ran(app, things)
        things.append(await world.happen(app, "c.csv"))
        await ran(app, things)
        assert said(app) == []


@of_each(lambda entry: entry.breaks and entry.meanwhile)
async def test_a_tick_of_what_cannot_be_looked_at_says_so_at_once(world: World) -> None:
    async with world.life(interval="1h") as app, serve(app) as url, aiohttp.ClientSession() as http:
        words = await world.outside.break_(app)
        began = SYSTEM.monotonic()
        async with http.post(f"{url}/api/sensors/{NAME}/tick", json={}) as answer:
            told = await answer.json()
        assert answer.status == 503
        assert words in told["error"]
        await world.outside.mend(app)
        thing = await world.happen(app, "a.csv")
        async with http.post(f"{url}/api/sensors/{NAME}/tick", json={}) as answer:
            assert answer.status == 200, await answer.text()
        assert [run["run_key"] for run in runs(app)] == [thing.run_key]
        assert SYSTEM.monotonic() - began < 20
