"""The daemon beside a real Dagster: its jobs start ours."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from rules.event import rfc3339
from sensord.app import App
from tests.conftest import rows
from tests.sources.app_kit import ended, running, runs_of
from tests.sources.dagster_kit import Dagster, aside, instance, microseconds

SENSORS = """
sensors:
  built:
    dagster: {{url: {url}, jobs: houses, status: [SUCCESS, FAILURE], every: 100ms}}
    job: load
    run_config:
      id: "{{{{ run.id }}}}"
      status: "{{{{ run.status }}}}"
      fails: "{{{{ run.run_config.ops.build.config.fails }}}}"
      team: "{{{{ run.tags.team }}}}"
      times: "{{{{ run.created_at <= run.started_at <= run.ended_at }}}}"
      page: "{{{{ run.url }}}}"
    tags: {{team: "{{{{ run.tags.team }}}}"}}
  streets:
    dagster: {{url: {url}, assets: geo/*, every: 100ms}}
    job: tell
    run_config: "{{{{ materialization }}}}"
"""


async def test_each_run_and_each_materialisation_of_dagster_starts_one_of_ours(
    dagster: Dagster, tmp_path: Path
) -> None:
    async with running(tmp_path, SENSORS.format(url=dagster.url)) as app:
        with anyio.fail_after(30):
            while not all(sensing.looks for sensing in app.sensings.values()):
                await app.clock.sleep(0)
        build = {"ops": {"build": {"config": {"fails": False}}}}
        good = await aside(dagster, "execute", job="houses", config=build, tags={"team": "geo"})
        build = {"ops": {"build": {"config": {"fails": True}}}}
        bad = await aside(dagster, "execute", job="houses", config=build, tags={"team": "geo"})
        made = await aside(dagster, "execute", job="streets_job", partition="riga")
        loads, [tell] = await ended(app, "load", 2), await ended(app, "tell", 1)
        items = await app.sources["built"].look(await app.sensings["built"].marks())
    assert items == []
    assert [run["run_key"] for run in loads] == [f"{good}@SUCCESS", f"{bad}@FAILURE"]
    assert [json.loads(run["run_config"]) for run in loads] == [
        {
            "id": run,
            "status": status,
            "fails": fails,
            "team": "geo",
            "times": True,
            "page": f"{dagster.url}/runs/{run}",
        }
        for run, status, fails in ((good, "SUCCESS", False), (bad, "FAILURE", True))
    ]
    assert json.loads(loads[0]["tags"])["team"] == "geo"
    told = json.loads(tell["run_config"])
    assert tell["partition_key"] == "riga"
    assert tell["run_key"].startswith(f"geo/streets[riga]@{made}@")
    assert told.pop("at") < rfc3339(app.clock.now())
    assert told == {
        "asset": "geo/streets",
        "path": ["geo", "streets"],
        "partition": "riga",
        "run_id": made,
        "step": "geo__streets",
        "metadata": {
            "rows": 3,
            "many": 2**40,
            "share": 0.5,
            "none": None,
            "whole": True,
            "note": "ok",
            "long": "x" * 10_000,
            "where": "/data/streets",
            "page": "http://example.test/",
            "facts": {"a": [1, 2]},
            "seen": "1970-01-01T00:00:00.000000Z",
            "from": "geo/houses",
            "nothing": None,
            "text": "*bold*",
        },
        "tags": told["tags"],
        "description": None,
        "url": f"{dagster.url}/assets/geo/streets",
        "run_url": f"{dagster.url}/runs/{made}",
    }
    assert told["tags"]["quality"] == "good"


async def test_a_dry_run_shows_what_waits_and_takes_nothing(dagster: Dagster, tmp_path: Path) -> None:
    sensors = "sensors: {{after: {{dagster: {{url: {url}, jobs: waiting, since: beginning, every: 1h}}, job: load}}}}"
    await aside(dagster, "runs", job="waiting", count=3)
    async with running(tmp_path, sensors.format(url=dagster.url)) as app:
        await ended(app, "load", 3)
        more = await aside(dagster, "runs", job="waiting", count=2)
        source, sensing = app.sources["after"], app.sensings["after"]
        for _ in range(2):
            assert [one.subject for one in await source.look(await sensing.marks())] == more
        assert len(await runs_of(app, "load")) == 3


BACKLOG = int(os.environ.get("SENSORD_BACKLOG", "10000"))


@pytest.mark.campaign
async def test_ten_thousand_runs_behind_are_caught_up_within_a_minute(tmp_path: Path) -> None:
    """Prints how long it took from the sensor's start until the last was committed; our own jobs run meanwhile."""
    with instance() as dagster:
        assert await seconds_behind(dagster, tmp_path) < 60


async def seconds_behind(dagster: Dagster, folder: Path) -> float:
    """How long it takes until all runs of a long backlog, and nothing else, are committed."""
    began = time.monotonic()
    ends = microseconds(ago=8 * 3600)
    step = 8 * 3600 * 1_000_000 // BACKLOG
    ids = await aside(dagster, "runs", count=BACKLOG, ended=ends, step=step, config={"rows": 1})
    print(f"\n{BACKLOG} runs written by Dagster in {time.monotonic() - began:.1f} s")
    sensors = f"sensors: {{after: {{dagster: {{url: {dagster.url}, since: beginning}}, job: load}}}}"
    began = time.monotonic()
    async with running(folder, sensors) as app:
        with anyio.fail_after(300):
            while app.sensings["after"].looks == 0:
                await app.clock.sleep(0.05)
        took = time.monotonic() - began
        found = await to_thread.run_sync(lambda: _keys(app))
    print(f"caught up in {took:.1f} s: {len(found) / took:.0f} runs/s")
    assert sorted(found) == sorted(f"{one}@SUCCESS" for one in ids)
    return took


def _keys(app: App) -> list[str]:
    return [row["run_key"] for row in rows(app.database, "SELECT run_key FROM runs")]
