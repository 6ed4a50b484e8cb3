"""The Dagster sensor beside a Dagster that keeps its runs and events in PostgreSQL.

`pytest -m campaign -k dagster_postgres -s`
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sensord.sources import dagster_runs
from tests.conftest import new_postgres_database
from tests.sources.dagster_kit import SECOND, Dagster, Ledger, aside, instance, microseconds, sensing
from tests.sources.test_dagster_daemon import seconds_behind

pytestmark = pytest.mark.campaign


@pytest.fixture
def kept_in_postgres(postgres_url: str) -> Iterator[Dagster]:
    url = new_postgres_database(postgres_url).replace("postgresql://", "postgresql+psycopg2://")
    with instance(url) as running:
        assert not list(running.home.rglob("*.db")), "it keeps its runs in SQLite"
        yield running


async def test_dagster_postgres_all_that_ended_is_told_once_whichever_side_was_restarted(
    kept_in_postgres: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_runs, "_MANY", 1)
    dagster = kept_in_postgres
    keys: dict[str, Any] = {"since": "beginning", "page": 10, "overlap": "5m"}
    runs = await aside(dagster, "runs", count=60, ended=microseconds(ago=7200), step=60 * SECOND)
    # More at the same instant than a page holds.
    runs += await aside(dagster, "runs", count=25, ended=microseconds(ago=1800))
    before = Ledger()
    before.stops_at = 35
    async with sensing(dagster, before, wait=False, **keys) as sensor:
        await before.until(lambda: len(sensor.asked) > 2 and len(before.sensed) > 25)
    done, emit = sensor.subjects, before.after_a_restart()
    assert done == runs[: len(done)]
    async with sensing(dagster, emit, **keys) as sensor:
        assert sorted(done + sensor.subjects) == sorted(runs)
        assert done + sensor.subjects[: 60 - len(done)] == runs[:60]
        dagster.stop()
        late = await aside(dagster, "runs", count=3)
        told = list(await sensor.look())
        assert emit.failures[0].startswith(f"Dagster at {dagster.url} cannot be reached (")
        dagster.start()
        assert sorted(await sensor.look()) == sorted([*told, *late])
        assert await sensor.look() == sensor.subjects
        assert len(sensor.subjects) == len(told) + len(late)


async def test_dagster_postgres_materialisations_are_told_once_each(kept_in_postgres: Dagster) -> None:
    asset = ["geo", "parcels"]
    async with sensing(kept_in_postgres, assets="geo/*") as sensor:
        await aside(kept_in_postgres, "materialize", asset=asset, partitions=["riga", "oslo", None])
        told = list(await sensor.look())
        assert len(told) == len(set(told)) == 3
        assert await sensor.look() == told


async def test_dagster_postgres_ten_thousand_runs_behind_are_caught_up_within_a_minute(
    kept_in_postgres: Dagster, tmp_path: Path
) -> None:
    assert await seconds_behind(kept_in_postgres, tmp_path) < 60
