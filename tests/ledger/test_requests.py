from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifiers.clock import SYSTEM
from rules.request import RunRequest
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.requests import commit_ticks, dump, request_runs, storable
from sensord.ledger.wishes import NewRun, Tick
from sensord.run_events import Hooks
from sensord.sensing import new_run, open_sensor
from sensord.work import work_of
from tests.conftest import rows


def wish(run_key: str | None = "a.csv", job: str = "load", sensor: str | None = "drop") -> NewRun:
    request = RunRequest(run_key=run_key, job_name=job, run_config={"path": "/in/a.csv"}, tags={"team": "geo"})
    return new_run(SYSTEM, request, Hooks(), sensor=sensor, subject="a.csv")


def tick(*wishes: NewRun, mark: int | None = None, cursor: str | None = None) -> Tick:
    return Tick(sensor="drop", subject="a.csv", at=1, mark=mark, cursor=cursor, runs=wishes)


@pytest.fixture
async def ledger(database: LedgerDatabase) -> LedgerDatabase:
    await database.write(open_sensor, ("drop", 0))
    return database


async def test_a_tick_claims_its_key_and_queues_its_run(ledger: LedgerDatabase) -> None:
    asked = wish()
    held = await ledger.write(commit_ticks, tick(asked, mark=7, cursor="c1"))
    assert held == {asked.id: asked.id}
    (run,) = rows(ledger, "SELECT * FROM runs")
    assert (run["id"], run["status"], run["attempt"], run["run_key"]) == (asked.id, "queued", 1, "a.csv")
    assert [row["type"] for row in rows(ledger, "SELECT type FROM events")] == ["run.queued"]
    assert [row["mark"] for row in rows(ledger, "SELECT mark FROM seen")] == [7]
    assert rows(ledger, "SELECT cursor FROM sensors") == [{"cursor": "c1"}]


async def test_a_key_that_comes_again_is_no_second_run_within_a_tick_across_ticks_and_across_sensors_it_is(
    ledger: LedgerDatabase,
) -> None:
    first, same_tick, later, other_job = wish(), wish(), wish(), wish(job="other")
    other_sensor = wish(sensor="mirror")
    await ledger.write_many(commit_ticks, [tick(first), tick(same_tick, other_job)])
    held = await ledger.write_many(commit_ticks, [tick(later), tick(other_sensor)])
    assert held == [{later.id: first.id}, {other_sensor.id: other_sensor.id}]
    assert {row["id"] for row in rows(ledger, "SELECT id FROM runs")} == {first.id, other_job.id, other_sensor.id}
    reasons = [row["reason"] for row in rows(ledger, "SELECT reason FROM ticks WHERE outcome = 'duplicate'")]
    assert reasons == [f"run {first.id} holds this run_key"] * 2


async def test_requests_that_race_are_one_run(ledger: LedgerDatabase) -> None:
    wishes = [wish() for _ in range(200)]

    async def ask(one: NewRun) -> None:
        await ledger.write(commit_ticks, tick(one))

    async with anyio.create_task_group() as group:
        for one in wishes:
            group.start_soon(ask, one)
    assert len(rows(ledger, "SELECT id FROM runs")) == 1
    assert len(rows(ledger, "SELECT seq FROM ticks WHERE outcome = 'duplicate'")) == 199


async def test_a_batch_whose_answer_was_lost_can_come_again(ledger: LedgerDatabase) -> None:
    asked = tick(wish(), mark=3)
    once = await ledger.write(commit_ticks, asked)
    again = await ledger.write(commit_ticks, asked)
    assert once == again
    assert len(rows(ledger, "SELECT id FROM runs")) == len(rows(ledger, "SELECT id FROM events")) == 1


async def test_a_cursor_moves_with_what_it_covers_or_not_at_all(ledger: LedgerDatabase) -> None:
    def spoilt(conn: object, batch: Sequence[Tick]) -> Sequence[object]:
        commit_ticks(conn, batch)  # type: ignore[arg-type]
        raise ArithmeticError("the process dies here")

    with pytest.raises(ArithmeticError):
        await ledger.write(spoilt, tick(wish(), cursor="c9"))
    assert rows(ledger, "SELECT cursor FROM sensors") == [{"cursor": None}]
    assert rows(ledger, "SELECT id FROM runs") == rows(ledger, "SELECT run FROM run_keys") == []


async def test_runs_without_a_key_always_run_and_a_repeat_takes_no_key(ledger: LedgerDatabase) -> None:
    first, second = wish(run_key=None, sensor=None), wish(run_key=None, sensor=None)
    assert await ledger.write_many(request_runs, [first, second]) == [first.id, second.id]


async def test_five_hundred_keys_in_one_tick_and_again(ledger: LedgerDatabase) -> None:
    def batch() -> list[Tick]:
        return [tick(wish(f"{number}.csv")) for number in range(1500)]

    await ledger.write_many(commit_ticks, batch())
    again = await ledger.write_many(commit_ticks, batch())
    assert all(run != holder for held in again for run, holder in held.items())
    assert len(rows(ledger, "SELECT id FROM runs")) == 1500


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_can_be_stored_and_no_two_become_one(text: str) -> None:
    stored = storable(text)
    stored.encode()
    assert "\0" not in stored
    assert (stored == text) or stored.endswith("\ufffd")


async def test_a_name_that_is_not_utf8_survives_the_ledger(ledger: LedgerDatabase) -> None:
    name = b"caf\xe9.csv".decode("utf-8", "surrogateescape")
    request = RunRequest(run_key=name, job_name="load", run_config={"path": name})
    asked = new_run(SYSTEM, request, Hooks(), sensor="drop", subject="caf\\xe9.csv")
    await ledger.write(commit_ticks, tick(asked))
    assert work_of(asked).run.run_config == {"path": name}
    assert dump({"path": name}) == '{"path": "caf\\udce9.csv"}'
    assert asked.requested_at <= int(datetime.now(UTC).timestamp() * 1e6)
