from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifiers.clock import SYSTEM, to_us
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.outcomes import Step, commit_steps, request_cancel
from sensord.ledger.requests import request_runs
from sensord.ledger.tables import TERMINAL
from sensord.ledger.wishes import NewRun
from sensord.run_events import About, Hooks, run_event
from tests.conftest import rows
from tests.ledger.test_requests import wish


def step(run: NewRun, status: str, attempt: int = 1, **fields: Any) -> Step:
    about = About(run=run.id, job=run.job, sensor=None, run_key=None, subject=None, requested_at=SYSTEM.now())
    what = {"running": "started", "queued": "retrying"}.get(status, status)
    event = run_event(SYSTEM, about, what, hooks=Hooks(), attempt=attempt)
    return Step(run=run.id, attempt=attempt, status=status, events=(event,), **fields)


@pytest.fixture
async def run(database: LedgerDatabase) -> NewRun:
    asked = wish(run_key=None)
    await database.write(request_runs, asked)
    return asked


def types(database: LedgerDatabase) -> list[str]:
    return [row["type"] for row in rows(database, "SELECT type FROM events ORDER BY seq")]


async def test_start_and_end_committed_together_keep_their_order(database: LedgerDatabase, run: NewRun) -> None:
    now = to_us(SYSTEM.now())
    steps = [step(run, "running", started_at=now), step(run, "succeeded", started_at=now, ended_at=now + 5)]
    assert await database.write_many(commit_steps, steps) == [True, True]
    (row,) = rows(database, "SELECT * FROM runs")
    assert (row["status"], row["started_at"], row["ended_at"]) == ("succeeded", now, now + 5)
    assert types(database) == ["run.queued", "run.started", "run.succeeded"]


async def test_the_first_end_stands_and_no_later_one_publishes(database: LedgerDatabase, run: NewRun) -> None:
    assert await database.write(commit_steps, step(run, "failed", error="exit code 3"))
    for late in ("succeeded", "running", "lost", "queued"):
        assert not await database.write(commit_steps, step(run, late))
    assert not await database.write(commit_steps, step(run, "succeeded", attempt=2))
    assert rows(database, "SELECT status, error FROM runs") == [{"status": "failed", "error": "exit code 3"}]
    assert types(database) == ["run.queued", "run.failed"]


async def test_a_retry_moves_to_the_next_attempt_and_leaves_the_old_one_behind(
    database: LedgerDatabase, run: NewRun
) -> None:
    assert await database.write(commit_steps, step(run, "queued", next_attempt_at=99, error="exit code 1"))
    assert not await database.write(commit_steps, step(run, "succeeded", attempt=1))
    assert await database.write(commit_steps, step(run, "succeeded", attempt=2))
    assert types(database) == ["run.queued", "run.retrying", "run.succeeded"]


async def test_cancelling_what_has_ended_or_never_was_is_refused(database: LedgerDatabase, run: NewRun) -> None:
    assert await database.write_many(request_cancel, [run.id, "nobody"]) == [True, False]
    await database.write(commit_steps, step(run, "cancelled"))
    assert await database.write(request_cancel, run.id) is False


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["running", "queued", "succeeded", "failed", "lost"]), st.integers(1, 3)),
        max_size=8,
    )
)
async def test_whatever_comes_in_whatever_order_there_is_at_most_one_terminal_event(
    database: LedgerDatabase, reports: list[tuple[str, int]]
) -> None:
    asked = wish(run_key=None)
    await database.write(request_runs, asked)
    before = len(types(database))
    steps = [step(asked, status, attempt) for status, attempt in reports]
    results = await database.write_many(commit_steps, steps)
    ended = [one for one, applied in zip(steps, results, strict=True) if applied and one.status in TERMINAL]
    (row,) = rows(database, "SELECT status, attempt FROM runs WHERE id = :id", id=asked.id)
    published = types(database)[before:]
    assert len(ended) == sum(kind.split(".")[1] in TERMINAL for kind in published) <= 1
    assert (row["status"] in TERMINAL) == bool(ended)
    if ended:
        assert row["status"] == ended[0].status
        assert published[-1] == f"run.{ended[0].status}"
