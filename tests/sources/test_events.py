"""Sensors on events, in the whole app on a real database: chains of jobs, and other programs' topics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from notifiers.bus.embedded import append
from notifiers.clock import new_uuid7
from rules.event import Event
from sensord.config import ConfigError
from sensord.event_log import BATCH, read_events
from sensord.ledger.database import LedgerDatabase
from tests.conftest import rows
from tests.sources.app_kit import configured, ended, event, launch, running, runs_of
from tests.sources.directory_kit import until

CHAIN = """
sensors:
  next:
    runs: {job: extract}
    job: load
    run_config: {rows: "{{ run.metadata.rows }}", of: "{{ run.id }}"}
"""


async def test_a_run_that_succeeds_starts_the_next_and_hands_on_what_it_reported(tmp_path: Path) -> None:
    async with running(tmp_path, CHAIN) as app:
        first = await launch(app, "extract")
        (found,) = await ended(app, "load", 1)
    assert found["status"] == "succeeded"
    assert found["run_config"] == f'{{"rows":3,"of":"{first.id}"}}'
    assert (found["sensor"], found["run_key"], found["subject"]) == ("next", f"{first.id}@succeeded", first.id)


async def test_a_run_that_ends_otherwise_starts_only_what_asked_for_that(tmp_path: Path) -> None:
    text = CHAIN + "  mend: {runs: {job: [extract, load], status: [failed, lost]}, job: tell}\n"
    async with running(tmp_path, text) as app:
        failed = await launch(app, "extract", code=3)
        (found,) = await ended(app, "tell", 1)
        assert found["run_key"] == f"{failed.id}@failed"
        await launch(app, "extract")
        await ended(app, "load", 1)
        assert len(await runs_of(app, "tell")) == 1


async def test_what_happened_while_it_was_down_is_caught_up_with_and_nothing_twice(tmp_path: Path) -> None:
    async with running(tmp_path, CHAIN) as app:
        await launch(app, "extract")
        await ended(app, "load", 1)
    async with running(tmp_path, "") as app:  # Without the sensor, as while it is being changed.
        for _ in range(3):
            await launch(app, "extract")
        await ended(app, "extract", 4)
    for _ in range(2):
        async with running(tmp_path, CHAIN) as app:
            assert len(await ended(app, "load", 4)) == 4


async def test_a_new_sensor_begins_now(tmp_path: Path) -> None:
    async with running(tmp_path, "") as app:
        await launch(app, "extract")
        await ended(app, "extract", 1)
    async with running(tmp_path, CHAIN) as app:
        second = await launch(app, "extract")
        (found,) = await ended(app, "load", 1)
        assert found["subject"] == second.id


TOPIC = """
sensors:
  outside:
    topic: "bp.*.oks"
    job: tell
    when: event.data.rows > 1
    run_config: {message: "{{ event.message }}", rows: "{{ event.data.rows }}"}
"""


async def test_another_programs_event_starts_a_job_once(tmp_path: Path, database_url: str) -> None:
    async with running(tmp_path, TOPIC, database_url) as app:
        one = event("bp.dagster.oks", message="done", data={"rows": 7})
        for _ in range(2):
            await app.bus.publish([one, event("bp.dagster.fails"), event("bp.dagster.oks", data={"rows": 1})])
            app.published()
        (found,) = await ended(app, "tell", 1)
        assert found["run_config"] == '{"message":"done","rows":7}'
        assert found["run_key"] == one.id
        skipped = "SELECT reason FROM ticks WHERE outcome = 'skipped'"
        await until(lambda: len(rows(app.database, skipped)) == 2)
        assert rows(app.database, skipped)[0]["reason"] == "when: event.data.rows > 1 is false"
        assert len(await runs_of(app, "tell")) == 1


async def test_a_jobs_hook_topic_is_a_topic_like_any_other(tmp_path: Path) -> None:
    async with running(tmp_path, "sensors: {follow: {topic: bp.load.oks, job: tell}}") as app:
        await launch(app, "load")
        assert len(await ended(app, "tell", 1)) == 1


async def test_nobody_outside_can_pretend_that_a_run_ended(tmp_path: Path) -> None:
    async with running(tmp_path, CHAIN) as app:
        run = new_uuid7()
        data = {"status": "succeeded", "run": run}
        await app.bus.publish([event("runs.extract.succeeded", type="run.succeeded", run=run, data=data)])
        app.published()
        await launch(app, "extract")
        assert len(await ended(app, "load", 1)) == 1


async def test_a_long_log_is_read_in_batches_in_its_order(database: LedgerDatabase) -> None:
    wanted = [event("a.b", message=str(number)) for number in range(BATCH + 20)]
    others = [event("c") for _ in range(1500)]
    await database.write_many(append_all, [*wanted[:10], *others, *wanted[10:]])
    found: list[Event] = []
    place, steps = 0, 0
    while True:
        batch, upto = await database.read(lambda conn, after=place: read_events(conn, after, ("a.>",)))  # type: ignore[misc]
        found += batch
        steps += 1
        if upto == place:
            break
        place = upto
    assert [one.message for one in found] == [str(number) for number in range(BATCH + 20)]
    assert steps > 3


def append_all(conn: Any, batch: Sequence[Event]) -> list[None]:
    append(conn, batch)
    return [None] * len(batch)


@pytest.mark.parametrize(
    ("sensors", "words"),
    [
        ("a: {runs: {job: load}, job: load}", "sensors.a.runs: load → load is a circle"),
        ("a: {runs: {job: load}, job: tell}\n  b: {runs: {job: tell}, job: load}", "tell → load → tell is a circle"),
        ("a: {topic: bp.load.oks, job: load}", "sensors.a.topic: load → load is a circle"),
        ("a: {topic: '>', job: tell}", "is a circle"),
        ("a: {topic: runs.load.progress, job: load}", "sensors.a.topic: load → load is a circle"),
        ("a: {runs: {job: laod}, job: tell}", "sensors.a.runs.job: there is no job 'laod'; did you mean 'load'"),
        ("a: {runs: {job: [load, x]}, job: tell}", "sensors.a.runs.job[1]: there is no job 'x'"),
        ("a: {runs: {job: load, status: done}, job: tell}", "sensors.a.runs.status"),
        ("a: {topic: 'a..b', job: tell}", "empty token"),
        ("a: {topic: {patern: a}, job: tell}", "pattern"),
    ],
)
def test_chains_that_cannot_be_are_refused(tmp_path: Path, sensors: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, f"sensors:\n  {sensors}\n")
    assert words in str(caught.value)


def test_a_chain_without_a_circle_is_taken(tmp_path: Path) -> None:
    text = 'sensors:\n  a: {runs: {job: extract}, job: [load, tell]}\n  b: {topic: "runs.load.*", job: tell}\n'
    config = configured(tmp_path, text)
    assert [sensor.kind for sensor in config.sensors.values()] == ["runs", "topic"]
