"""Runs of a real Dagster that end: each is emitted once, however many there are and whatever is restarted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import anyio
import anyio.lowlevel
import pytest

from notifiers.clock import EPOCH, SYSTEM
from sensord.sources import dagster_reading, dagster_runs
from sensord.sources.dagster import DagsterConfig
from sensord.sources.dagster_graphql import open_graph
from sensord.sources.dagster_runs import Runs
from tests.sources.dagster_kit import SECOND, Dagster, Ledger, Sensor, aside, microseconds, sensing


@pytest.fixture
def job() -> str:
    """A job of which there are no runs yet."""
    return f"job_{uuid4().hex[:8]}"


def when(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


async def test_a_new_sensor_begins_now_and_emits_each_run_that_ends_once(dagster: Dagster, job: str) -> None:
    await aside(dagster, "runs", job=job, ended=microseconds(ago=5))
    async with sensing(dagster, jobs=job) as sensor:
        assert sensor.subjects == []
        [ended] = await aside(dagster, "runs", job=job)
        assert await sensor.look() == [ended]
        assert await sensor.look() == [ended]
    [sensed] = sensor.emit.sensed
    assert sensed.key == f"{ended}@SUCCESS"
    assert sensor.emit.failures == []


async def test_a_look_that_finds_nothing_new_is_one_request(dagster: Dagster, job: str) -> None:
    async with sensing(dagster, jobs=job) as sensor:
        await aside(dagster, "runs", job=job)
        await sensor.look()
        sensor.asked.clear()
        batches = len(sensor.emit.batches)
        await sensor.look()
        assert len(sensor.asked) == 1
        assert len(sensor.emit.batches) == batches


async def test_a_run_is_found_by_its_end_however_long_ago_it_was_created(dagster: Dagster, job: str) -> None:
    [slow] = await aside(dagster, "runs", job=job, status=None)
    async with sensing(dagster, jobs=job, page=5) as sensor:
        quick = await aside(dagster, "runs", job=job, count=12)
        await sensor.look()
        await aside(dagster, "end", runs=[slow])
        assert await sensor.look() == [*quick, slow]


async def test_only_the_wanted_jobs_ends_and_places_count_and_the_rest_is_explained(dagster: Dagster, job: str) -> None:
    async with sensing(
        dagster, jobs=[f"{job}_*", "other"], status=["failure", "CANCELED"], location="geo", repository="main"
    ) as sensor:
        ours = ["main", "geo"]
        [failed] = await aside(dagster, "runs", job=f"{job}_a", status="FAILURE", origin=ours)
        [cancelled] = await aside(dagster, "runs", job=f"{job}_b", status="CANCELED", origin=ours)
        await aside(dagster, "runs", job=f"{job}_a", origin=ours)
        [odd] = await aside(dagster, "runs", job=job, status="FAILURE", origin=ours)
        [elsewhere] = await aside(dagster, "runs", job=f"{job}_a", status="FAILURE", origin=["main", "oslo"])
        [nowhere] = await aside(dagster, "runs", job=f"{job}_a", status="FAILURE")
        assert await sensor.look() == [failed, cancelled]
    run = sensor.emit.sensed[1].context["run"]
    assert (run["job"], run["status"]) == (f"{job}_b", "CANCELED")
    assert (run["repository"], run["location"]) == ("main", "geo")
    why = sensor.source.why
    assert why(odd) == f"its job {job} is none of {job}_*, other"
    assert why(f"{dagster.url}/runs/{elsewhere}") == "it is of oslo, not of geo"
    assert why(nowhere) == "it is of no repository that Dagster knows of, not of main"
    assert why("/data/in/a.csv") == f"it is no run of Dagster at {dagster.url}"
    assert why(failed) is None


async def test_a_time_in_since_is_where_a_new_sensor_begins(dagster: Dagster, job: str) -> None:
    first = microseconds(ago=86_400)
    runs = await aside(dagster, "runs", job=job, count=3, ended=first, step=3600 * SECOND)
    since = when(first + 1800 * SECOND).isoformat()
    async with sensing(dagster, jobs=job, since=since) as sensor:
        assert sensor.subjects == runs[1:]
    async with sensing(dagster, jobs=job, since="beginning") as sensor:
        assert sensor.subjects == runs


async def test_hundreds_are_drained_in_small_pages_in_the_order_in_which_they_ended(
    dagster: Dagster, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_runs, "_MANY", 2)
    # A crowd, a long silence, and another crowd: windows have to shrink and to grow.
    day = microseconds(ago=86_400)
    late = await aside(dagster, "runs", job=job, count=100, ended=microseconds(ago=60), step=100_000)
    early = await aside(dagster, "runs", job=job, count=200, ended=day, step=20_000)
    async with sensing(dagster, jobs=job, since="beginning", page=25) as sensor:
        assert sensor.subjects == [*early, *late]
        assert sensor.emit.batches[0] == 0
        assert max(sensor.emit.batches) <= 50
        listed = [asked for asked in sensor.asked if "cursor" in asked]
        assert len({asked["filter"].get("updatedBefore") for asked in listed}) > 10
        assert all(asked["limit"] == 25 for asked in listed)
        assert len(listed) < 150
        # While things wait, since when is said; at last only the next look is waited for.
        waited = [lag for lag in sensor.emit.lags if lag is not None]
        assert min(waited) < datetime.now(UTC) - timedelta(hours=23)
        assert waited[-1] > datetime.now(UTC)


@pytest.mark.parametrize("stops_at", [0, 35])
async def test_who_is_killed_in_the_middle_goes_on_there(
    dagster: Dagster, job: str, stops_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_runs, "_MANY", 1)
    runs = await aside(dagster, "runs", job=job, count=60, ended=microseconds(ago=7200), step=60 * SECOND)
    emit = Ledger()
    emit.stops_at = stops_at
    async with sensing(dagster, emit, jobs=job, since="beginning", page=10, overlap="5m", wait=False) as sensor:
        await emit.until(lambda: len(sensor.asked) > 2 and stops_at - 10 < len(emit.sensed))
    done = sensor.subjects
    assert done == runs[: len(done)]
    async with sensing(dagster, emit.after_a_restart(), jobs=job, since="now", page=10, overlap="5m") as sensor:
        assert done + sensor.subjects == runs


async def test_more_at_the_same_instant_than_a_page_holds_are_drained(
    dagster: Dagster, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_runs, "_MANY", 2)
    moment = microseconds(ago=3600)
    runs = await aside(dagster, "runs", job=job, count=30, ended=moment)
    more = await aside(dagster, "runs", job=job, count=5, ended=moment + 1)
    async with sensing(dagster, jobs=job, since="beginning", page=10) as sensor:
        assert sorted(sensor.subjects) == sorted(runs + more)
        assert await sensor.look() == sensor.subjects
        assert max(sensor.emit.batches) <= 10


async def test_a_page_that_begins_behind_a_run_deleted_meanwhile_loses_nothing(dagster: Dagster, job: str) -> None:
    moment = microseconds(ago=3600)
    runs = await aside(dagster, "runs", job=job, count=30, ended=moment)
    config = DagsterConfig.model_validate({"url": dagster.url, "jobs": job})
    found: set[str] = set()
    async with open_graph(config, SYSTEM) as graph:
        at, deleted = moment // 1000, False
        async for page in Runs(config, graph, 10).pages(at - 1, at + 1):
            found |= {thing.what for thing in page.things}
            if not deleted:
                deleted = True
                await aside(dagster, "delete", runs=[page.things[-1].what])
    assert found == set(runs)


async def test_what_dagster_shows_late_is_found_and_not_twice(dagster: Dagster, job: str) -> None:
    async with sensing(dagster, jobs=job, since=when(microseconds(ago=3600)).isoformat(), overlap="60s") as sensor:
        [now] = await aside(dagster, "runs", job=job)
        await sensor.look()
        [late] = await aside(dagster, "runs", job=job, ended=microseconds(ago=50))
        [too_late] = await aside(dagster, "runs", job=job, ended=microseconds(ago=70))
        assert await sensor.look() == [now, late]
    async with sensing(dagster, sensor.emit.after_a_restart(), jobs=job, overlap="60s") as sensor:
        assert sensor.subjects == []
    assert too_late not in sensor.subjects


async def test_a_tag_that_is_added_later_makes_no_new_end(dagster: Dagster, job: str) -> None:
    [before] = await aside(dagster, "runs", job=job, ended=microseconds(ago=600))
    async with sensing(dagster, jobs=job) as sensor:
        [run] = await aside(dagster, "runs", job=job)
        await sensor.look()
        for one in (before, run):
            await aside(dagster, "tag", run=one, tags={"seen": "yes"})
        assert await sensor.look() == [run]


async def test_a_host_whose_clock_is_ahead_takes_nobody_along(dagster: Dagster, job: str) -> None:
    async with sensing(dagster, jobs=job) as sensor:
        [ahead] = await aside(dagster, "runs", job=job, ended=microseconds(ago=-3600))
        assert await sensor.look() == [ahead]
        [right] = await aside(dagster, "runs", job=job)
        assert await sensor.look() == [ahead, right]
    async with sensing(dagster, sensor.emit.after_a_restart(), jobs=job) as sensor:
        assert sensor.subjects == []


async def test_a_cursor_from_the_future_gives_way_to_what_happens_now(dagster: Dagster, job: str) -> None:
    """The database was replaced by an older one, or Dagster moved to a host whose clock is right."""
    emit = Ledger(cursor="2199-01-01T00:00:00.000000Z since 2020-01-01T00:00:00.000000Z")
    async with sensing(dagster, emit, jobs=job) as sensor:
        [run] = await aside(dagster, "runs", job=job)
        await sensor.look()
        assert await sensor.look() == [run]
    assert emit.cursor is not None
    assert emit.cursor < "2199"


async def test_a_cursor_that_nobody_can_read_is_told_of_and_begins_anew(
    dagster: Dagster, job: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with sensing(dagster, Ledger(cursor="yesterday"), jobs=job) as sensor:
        [run] = await aside(dagster, "runs", job=job)
        assert await sensor.look() == [run]
    assert "dagster.begins_anew" in caplog.messages


async def test_runs_that_are_gone_before_all_is_told_of_them_are_left_out(dagster: Dagster, job: str) -> None:
    async with sensing(dagster, jobs=job) as sensor:
        gone, left = await aside(dagster, "runs", job=job, count=2)
        really = sensor.source._graph.ask

        async def ask(query: str, variables: dict[str, object]) -> object:
            if "config" in variables:
                await aside(dagster, "delete", runs=[gone])
            return await really(query, variables)

        sensor.source._graph.ask = ask  # type: ignore[method-assign,assignment]
        assert await sensor.look() == [left]
        assert sensor.emit.failures == []


async def test_marks_of_what_is_listed_no_more_are_let_go_of(
    dagster: Dagster, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_runs, "_MANY", 1)
    monkeypatch.setattr(dagster_reading, "_STALE", 10)
    await aside(dagster, "runs", job=job, count=40, ended=microseconds(ago=7200), step=60 * SECOND)
    async with sensing(dagster, jobs=job, since="beginning", page=10, overlap="5m") as sensor:
        assert len(sensor.emit.sensed) == 40
        assert len(sensor.emit.remembered) < 20
    async with sensing(dagster, sensor.emit.after_a_restart(), jobs=job, overlap="5m") as sensor:
        assert sensor.subjects == []


async def test_a_burst_is_listed_again_only_as_long_as_more_of_it_may_be_shown(dagster: Dagster, job: str) -> None:
    async with sensing(dagster, jobs=job, page=5, overlap="1s") as sensor:
        await aside(dagster, "runs", job=job, count=30)
        assert len(await sensor.look()) == 30
        with anyio.fail_after(60):
            while await requests(sensor) > 1:
                await anyio.lowlevel.checkpoint()
        assert len(sensor.subjects) == 30


async def requests(sensor: Sensor) -> int:
    sensor.asked.clear()
    await sensor.look()
    return len(sensor.asked)
