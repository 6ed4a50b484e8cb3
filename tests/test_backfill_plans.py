"""What a backfill is asked for, which partitions that comes to, and what each run is given."""

from __future__ import annotations

import json

import pytest

from notifiers.clock import SYSTEM
from rules.partitions import PartitionError
from rules.request import BACKFILL, PARTITION_START
from rules.triggers import compile_rule
from sensord.backfill_plans import Asked
from sensord.ledger.backfills import (
    NewBackfill,
    NewPartition,
    add_partitions,
    prepare_backfills,
)
from sensord.ledger.database import LedgerDatabase
from sensord.partitions import PartitionsConfig
from sensord.slicing import Schedule, Unsliceable
from sensord.sources.schedule import ScheduleConfig
from tests.backfill_kit import Life, life, ran, sliced
from tests.conftest import rows
from tests.test_running import Play

TEN = [f"2024-01-{day:02}" for day in range(1, 11)]


LISBON = ScheduleConfig.model_validate(
    {"cron": "30 6 * * *", "timezone": "Europe/Lisbon", "partitions": {"every": "daily", "start": "2024-01-01"}}
)
RULE = compile_rule(
    jobs=("load",),
    run_config={"day": "{{ partition.key }}", "until": "{{ partition.end }}", "at": "{{ schedule.at }}", "n": 1},
    tags={"day": "{{ partition.key }}"},
    priority=7,
)


async def test_a_run_is_what_the_schedule_would_have_asked_for(database: LedgerDatabase) -> None:
    of = sliced(own=None, schedules={"nightly": Schedule(config=LISBON, rule=RULE)})
    async with life(database, Play(), of=of) as one:
        await one.play_on(await one.ask(first="2024-07-01", last="2024-07-01", run_config={"n": 2}))
    (run,) = rows(database, "SELECT * FROM runs")
    assert json.loads(run["run_config"]) == {
        "day": "2024-07-01",
        "until": "2024-07-01T23:00:00Z",
        "at": "2024-07-02T05:30:00Z",
        "n": 2,
    }
    assert json.loads(run["tags"])["day"] == "2024-07-01"
    assert run["priority"] == 7


async def test_a_job_without_partitions_or_with_several_is_told_what_to_write(database: LedgerDatabase) -> None:
    daily = Schedule(config=LISBON, rule=RULE)
    hourly = Schedule(config=ScheduleConfig.model_validate({"cron": "@hourly", "partitions": "hourly"}), rule=RULE)
    for schedules, sentence in (
        ({}, "job load has no partitions; say .* below jobs.load"),
        ({"a": daily, "b": hourly}, "the schedules a, b give job load different partitions"),
    ):
        async with life(database, Play(), of=sliced(own=None, schedules=schedules)) as one:
            with pytest.raises(Unsliceable, match=sentence):
                await one.ask()
    async with life(database, Play(), of=sliced(own=None, schedules={"a": daily, "b": daily})) as one:
        assert len((await one.backfills.plan(Asked(job="load", last="2024-01-03", run_config={}))).slices) == 3


async def test_what_cannot_be_run_is_refused_before_anything_is_written(database: LedgerDatabase) -> None:
    unmade = compile_rule(jobs=("load",), run_config={"x": "{{ nothing.there }}"})
    async with life(database, Play()) as one:
        with pytest.raises(PartitionError, match="'2023-12-31' is before the first daily partition"):
            await one.ask(first="2023-12-31")
        with pytest.raises(Unsliceable, match="run_config: no"):
            await one.ask(run_config={"bad": True})
    of = sliced(own=None, schedules={"nightly": Schedule(config=LISBON, rule=unmade)})
    async with life(database, Play(), of=of) as one:
        with pytest.raises(Unsliceable, match=r"sensor nightly makes .* cannot for 2024-01-01: .*nothing"):
            await one.ask()
    assert rows(database, "SELECT id FROM backfills") == []
    assert rows(database, "SELECT backfill FROM backfill_partitions") == []


async def choices(one: Life, only: str) -> list[str]:
    asked = Asked(job="load", first=TEN[0], last=TEN[-1], only=only, run_config={})  # type: ignore[arg-type]
    return [day.key for day in (await one.backfills.plan(asked)).slices]


async def test_only_what_is_missing_or_failed_is_run_again(database: LedgerDatabase) -> None:
    async with life(database, Play()) as one:
        endings = iter(["succeeded", "failed", "cancelled", "lost"])
        await one.play_on(await one.ask(last=TEN[3], concurrency=1), lambda _token: next(endings))
        assert await choices(one, "failed") == TEN[1:4]
        assert await choices(one, "missing") == TEN[1:]
        second = await one.ask(only="failed")
        assert (await one.play_on(second))["total"] == 3
        assert await choices(one, "failed") == []
        assert await choices(one, "missing") == TEN[4:]


async def test_what_another_backfill_has_yet_to_come_to_is_not_missing(database: LedgerDatabase) -> None:
    async with life(database, Play()) as one:
        first = await one.ask(last=TEN[4], concurrency=1)
        await one.until_open(1)
        assert await choices(one, "missing") == TEN[5:]
        second = await one.ask(only="missing", concurrency=2)
        assert (await one.backfills.create(Asked(job="load", last=TEN[-1], only="missing", run_config={})))[1] is None
        await one.until_open(3)
        await one.play_on(first)
        await one.play_on(second)
    assert sorted(ran(database)) == TEN


async def test_what_was_cancelled_before_it_began_leaves_a_partition_as_it_was(database: LedgerDatabase) -> None:
    async with life(database, Play(), concurrency=1) as one:
        await one.play_on(await one.ask(last=TEN[2]))
        again = await one.ask(last=TEN[2], concurrency=3)
        await one.until_open(1)
        assert await one.backfilling.cancel(again)
        await one.ended(again)
        assert await choices(one, "failed") == TEN[:1]  # Only this one had begun.


def half_made(backfill: str) -> NewBackfill:
    return NewBackfill(
        id=backfill, job="load", first="a", last="b", only="all", order="oldest", concurrency=1, run_config="{}",
        total=6000, created_at=0,
    )  # fmt: skip


async def test_what_was_not_written_down_whole_never_begins(database: LedgerDatabase) -> None:
    backfill = SYSTEM.new_id()
    partitions = [
        NewPartition(backfill=backfill, position=place, key=str(place), starts_at=None, ends_at=None)
        for place in range(5500)
    ]
    await database.write(prepare_backfills, half_made(backfill))
    await database.write_many(add_partitions, partitions)
    async with life(database, Play()) as one:
        await one.play_on(await one.ask(last=TEN[0]))
    assert len(rows(database, "SELECT id FROM backfills")) == 1
    assert len(rows(database, "SELECT backfill FROM backfill_partitions")) == 1
    assert ran(database) == TEN[:1]


async def test_static_partitions_run_in_the_order_of_their_list_without_a_window(database: LedgerDatabase) -> None:
    names = PartitionsConfig.model_validate(["us", "eu", "jp"])
    async with life(database, Play(), of=sliced(own=names)) as one:
        await one.play_on(await one.ask(first=None, last="eu", concurrency=1))
    assert ran(database) == ["us", "eu"]
    tags = [json.loads(row["tags"]) for row in rows(database, "SELECT tags FROM runs")]
    assert all(PARTITION_START not in one and BACKFILL in one for one in tags)
