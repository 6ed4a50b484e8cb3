"""Backfills: each partition once, in order, so many at a time; through deaths, failures and a cancel."""

from __future__ import annotations

import json
from pathlib import Path

import anyio

from notifiers.clock import SYSTEM
from rules.request import BACKFILL, PARTITION_END, PARTITION_START, RunRequest
from sensord.backfill_plans import Asked
from sensord.launchers import Outcome, Run, Started
from sensord.ledger.backfills import (
    Claim,
    claim_partitions,
)
from sensord.ledger.database import LedgerDatabase, open_database
from sensord.run_events import Hooks
from sensord.sensing import new_run
from tests.backfill_kit import life, ran, sliced
from tests.conftest import rows
from tests.sources.app_kit import running, runs_of
from tests.test_running import Play

TEN = [f"2024-01-{day:02}" for day in range(1, 11)]


async def test_each_partition_runs_once_in_order_and_no_more_than_so_many_at_a_time(database: LedgerDatabase) -> None:
    most = 0
    async with life(database, Play()) as one:
        backfill = await one.ask(concurrency=3)

        def status(_token: str) -> str:
            nonlocal most
            open_ = rows(database, "SELECT id FROM runs WHERE status IN ('queued', 'running')")
            most = max(most, len(open_), len(one.going_on()))
            return "succeeded"

        found = await one.play_on(backfill, status)
    assert most == 3
    assert ran(database) == TEN
    assert (found["status"], found["counts"]["succeeded"], found["counts"]["not_started"]) == ("succeeded", 10, 0)
    assert found["ended_at"] is not None


async def test_the_newest_may_go_first(database: LedgerDatabase) -> None:
    async with life(database, Play()) as one:
        found = await one.play_on(await one.ask(order="newest", concurrency=1))
    assert ran(database) == TEN[::-1]
    assert (found["first"], found["last"]) == (TEN[0], TEN[-1])


async def test_what_fails_does_not_stop_it_and_is_counted(database: LedgerDatabase) -> None:
    async with life(database, Play()) as one:
        endings = iter(["failed", "succeeded", "lost", "cancelled"])
        found = await one.play_on(await one.ask(), lambda _token: next(endings, "succeeded"))
    assert found["status"] == "failed"
    assert {name: number for name, number in found["counts"].items() if number} == {
        "succeeded": 7,
        "failed": 1,
        "lost": 1,
        "cancelled": 1,
    }
    assert len(ran(database)) == 10
    (event,) = rows(database, "SELECT * FROM events WHERE topic LIKE 'backfills.%'")
    assert event["topic"] == f"backfills.{event['job']}.failed"
    assert event["message"].endswith("failed: of 10 partitions 1 cancelled, 1 failed, 1 lost, 7 succeeded")


async def test_a_run_has_its_partition_its_window_and_what_was_given(database: LedgerDatabase) -> None:
    async with life(database, Play()) as one:
        backfill = await one.ask(last="2024-01-01", run_config={"path": "x"})
        await one.play_on(backfill)
    (run,) = rows(database, "SELECT * FROM runs")
    assert (run["partition_key"], run["sensor"], run["run_key"], run["priority"]) == ("2024-01-01", None, None, 3)
    assert json.loads(run["run_config"]) == {"path": "x"}
    assert json.loads(run["tags"]) == {
        "team": "geo",
        BACKFILL: backfill,
        PARTITION_START: "2024-01-01T00:00:00Z",
        PARTITION_END: "2024-01-02T00:00:00Z",
    }


async def test_a_cancel_ends_what_is_open_and_runs_nothing_more(database: LedgerDatabase) -> None:
    async with life(database, Play(), concurrency=2) as one:
        backfill = await one.ask(concurrency=4)
        await one.until_open(2)
        assert await one.backfilling.cancel(backfill)
        found = await one.ended(backfill)
        assert (found["status"], found["counts"]["cancelled"], found["counts"]["not_started"]) == ("cancelled", 4, 6)
        assert not await one.backfilling.cancel(backfill)
        assert not await one.backfilling.cancel(SYSTEM.new_id())
    assert len(ran(database)) == 4


class Quick(Play):
    """A launcher whose runs end as soon as they have begun."""

    async def launch(self, run: Run, started: Started) -> Outcome:
        self.started.append(run.token)
        started(SYSTEM.now())
        self._change()
        return Outcome(status="succeeded", ended_at=SYSTEM.now())


async def test_a_cancel_comes_through_however_quickly_runs_end(database: LedgerDatabase) -> None:
    async with life(database, Quick()) as one:
        backfill = await one.ask(last="2026-09-21", concurrency=2)
        await one.play.until(50)
        assert await one.backfilling.cancel(backfill)
        found = await one.ended(backfill)
    assert found["status"] == "cancelled"
    assert found["counts"]["not_started"] > 0
    assert len(ran(database)) + found["counts"]["not_started"] == found["total"] == 995


async def test_another_life_goes_on_where_the_last_one_was(database_url: str) -> None:
    play = Play()
    async with open_database(database_url) as database, life(database, play) as one:
        backfill = await one.ask(concurrency=3)
        await one.until_open(3)
        one.play.end(one.going_on()[0])
        await one.until(backfill, lambda found: found["counts"]["succeeded"] == 1)
        await one.until_open(3)
    async with open_database(database_url) as database, life(database, play) as one:
        assert len(ran(database)) == 4
        found = await one.play_on(backfill)
        assert ran(database) == TEN
    assert (found["status"], found["counts"]["succeeded"]) == ("succeeded", 10)
    assert len(play.started) == len(set(play.started)) == 10


async def test_a_cancel_of_an_earlier_life_or_without_one_is_carried_out(database_url: str) -> None:
    play = Play()
    async with open_database(database_url) as database, life(database, play) as one:
        backfill = await one.ask(concurrency=2)
        await one.until_open(2)
    async with open_database(database_url) as database, life(database, play, working=False) as one:
        untouched = await one.ask()
        assert await one.backfilling.cancel(backfill)
        assert (await one.state(backfill))["ended_at"] is None
        assert await one.backfilling.cancel(untouched)
        assert (await one.state(untouched))["ended_at"] is not None
    async with open_database(database_url) as database, life(database, play) as one:
        found = await one.ended(backfill)
        assert (found["status"], found["counts"]["cancelled"], len(ran(database))) == ("cancelled", 2, 2)


async def test_one_that_was_asked_for_without_a_daemon_begins_with_it(database: LedgerDatabase) -> None:
    async with life(database, Play(), working=False) as one:
        backfill = await one.ask()
    assert ran(database) == []
    async with life(database, Play()) as one:
        assert (await one.play_on(backfill))["status"] == "succeeded"


async def test_one_whose_job_is_gone_waits_and_says_so(database: LedgerDatabase) -> None:
    async with life(database, Play(), working=False) as one:
        backfill = await one.ask()
    async with life(database, Play(), of=sliced(job="other")) as one:
        found = await one.until(backfill, lambda found: found["waits"] is not None)
        assert found["waits"].startswith("job load is no longer in the configuration; mend")
        assert found["status"] == "running"
    async with life(database, Play()) as one:
        assert (await one.play_on(backfill))["status"] == "succeeded"


async def test_a_claim_that_comes_again_is_one_and_a_second_one_is_none(database: LedgerDatabase) -> None:
    async with life(database, Play(), working=False) as one:
        backfill = await one.ask()
    first, second = (
        Claim(
            backfill=backfill,
            position=0,
            runs=[new_run(SYSTEM, RunRequest(job_name="load", partition_key=key), Hooks()) for key in TEN[:2]],
        )
        for _ in range(2)
    )
    assert await database.write(claim_partitions, first)
    assert await database.write(claim_partitions, first)
    assert not await database.write(claim_partitions, second)
    assert ran(database) == TEN[:2]
    found = rows(database, "SELECT run FROM backfill_partitions WHERE run IS NOT NULL ORDER BY position")
    assert [row["run"] for row in found] == [run.id for run in first.runs]


JOB = """
jobs:
  load:
    partitions: {every: daily, start: 2024-03-30, timezone: Europe/Lisbon}
    command: [sh, -c, 'echo "{\\"metadata\\": {\\"window\\": \\"$SENSORD_PARTITION_KEY $SENSORD_PARTITION_START $0\\"}}"
      > $SENSORD_REPORT', "{{ run.partition.end }}"]
"""


async def test_a_jobs_process_and_its_command_are_told_the_window(tmp_path: Path) -> None:
    async with running(tmp_path, "", jobs=JOB) as app:
        _, backfill = await app.backfills.create(Asked(job="load", last="2024-03-31", run_config={}))
        with anyio.fail_after(20):
            while backfill in app.backfilling.standing():
                await app.database.read(lambda _conn: None)
        assert [json.loads(run["metadata"])["window"] for run in await runs_of(app, "load")] == [
            "2024-03-30 2024-03-30T00:00:00Z 2024-03-31T00:00:00Z",
            "2024-03-31 2024-03-31T00:00:00Z 2024-03-31T23:00:00Z",
        ]
