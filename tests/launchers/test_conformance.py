"""What every launcher promises, whatever it launches: started once, followed to its true end, over restarts.

`pytest -m campaign -k conformance`: of the recipes as well what is the same for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.launchers.command_kit import new_run
from tests.launchers.conformance_entries import KINDS, Kind
from tests.launchers.conformance_kit import Outside, living, until


def those(*, breakable: bool, recipes: bool) -> list[Any]:
    """The kinds. A recipe is another way to say http: what is the same for both, campaigns alone ask of it."""
    return [
        pytest.param(kind, id=kind.name, marks=() if recipes or not kind.recipe else pytest.mark.campaign)
        for kind in KINDS
        if kind.breakable or not breakable
    ]


@pytest.fixture(params=those(breakable=False, recipes=False))
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def outside(kind: Kind, tmp_path: Path) -> Iterator[Outside]:
    with kind.outside(tmp_path, "1h") as one:
        yield one


@pytest.fixture(params=those(breakable=True, recipes=True))
def breakable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with request.param.outside(tmp_path, "1h") as one:
        yield one


@pytest.fixture(params=those(breakable=False, recipes=True))
def any_outside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outside]:
    with request.param.outside(tmp_path, "1h") as one:
        yield one


@pytest.mark.parametrize("how", ["succeeded", "failed"])
async def test_an_attempt_ends_as_it_did_there(tmp_path: Path, any_outside: Outside, how: str) -> None:
    outside, run = any_outside, new_run(path="/in/a.csv")
    async with living(tmp_path, outside.config, launch=run) as daemon:
        await daemon.has_begun()
        await until(lambda: outside.starts(run.token))
        assert not daemon.outcomes
        outside.finish(run.token, how)
        outcome = await daemon.outcome()
        assert outcome.status == how
        assert bool(outcome.error) == (how == "failed")
        assert outcome.started_at is not None
        assert outcome.started_at <= outcome.ended_at
        await daemon.launcher.forget(run)
    assert outside.starts(run.token) == 1


async def test_an_attempt_outlives_the_daemon_and_is_adopted_without_a_second_start(
    tmp_path: Path, outside: Outside
) -> None:
    run = new_run(path="a")
    async with living(tmp_path, outside.config, launch=run) as daemon:
        await daemon.has_begun()
        await until(lambda: outside.starts(run.token))
    async with living(tmp_path, outside.config, adopt=run) as daemon:
        await daemon.has_begun()
        assert outside.runs(run.token)
        outside.finish(run.token, "succeeded")
        assert (await daemon.outcome()).status == "succeeded"
    assert outside.starts(run.token) == 1


async def test_what_ended_while_the_daemon_was_away_is_found_with_its_true_end(
    tmp_path: Path, outside: Outside
) -> None:
    run = new_run(path="a")
    async with living(tmp_path, outside.config, launch=run) as daemon:
        await daemon.has_begun()
        await until(lambda: outside.starts(run.token))
    outside.finish(run.token, "failed")
    await until(lambda: not outside.runs(run.token))
    async with living(tmp_path, outside.config, adopt=run) as daemon:
        assert (await daemon.outcome()).status == "failed"
    assert outside.starts(run.token) == 1


async def test_what_was_never_launched_is_not_adopted(tmp_path: Path, outside: Outside) -> None:
    run = new_run(path="a")
    async with living(tmp_path, outside.config) as daemon:
        assert await daemon.launcher.adopt(run, lambda _at: None) is None
    assert outside.starts(run.token) == 0


async def test_what_is_forgotten_is_not_adopted(tmp_path: Path, outside: Outside) -> None:
    run = new_run(path="a")
    async with living(tmp_path, outside.config, launch=run) as daemon:
        await until(lambda: outside.starts(run.token))
        outside.finish(run.token, "succeeded")
        await daemon.outcome()
        await daemon.launcher.forget(run)
        assert await daemon.launcher.adopt(run, lambda _at: None) is None


async def test_each_attempt_of_a_run_is_one_of_its_own(tmp_path: Path, outside: Outside) -> None:
    first = new_run(path="a")
    async with living(tmp_path, outside.config, launch=first) as daemon:
        await until(lambda: outside.starts(first.token))
        outside.finish(first.token, "failed")
        await daemon.outcome()
        await daemon.launcher.forget(first)
    second = replace(first, attempt=2)
    async with living(tmp_path, outside.config, launch=second) as daemon:
        await until(lambda: outside.starts(second.token))
        outside.finish(second.token, "succeeded")
        assert (await daemon.outcome()).status == "succeeded"
    assert (outside.starts(first.token), outside.starts(second.token)) == (1, 1)


async def test_a_cancelled_attempt_ends_there_and_here(tmp_path: Path, any_outside: Outside) -> None:
    outside, run = any_outside, new_run(path="a")
    async with living(tmp_path, outside.config, launch=run) as daemon:
        await daemon.has_begun()
        await until(lambda: outside.runs(run.token))
        await daemon.launcher.cancel(run)
        assert (await daemon.outcome()).status == "cancelled"
        await until(lambda: not outside.runs(run.token))


async def test_one_that_is_to_be_cancelled_is_so_after_a_restart(tmp_path: Path, outside: Outside) -> None:
    run = new_run(path="a")
    async with living(tmp_path, outside.config, launch=run) as daemon:
        await daemon.has_begun()
        await until(lambda: outside.runs(run.token))
    async with living(tmp_path, outside.config) as daemon:
        await daemon.launcher.cancel(run)
        outcome = await daemon.launcher.adopt(run, lambda _at: None)
        assert outcome is not None
        assert outcome.status == "cancelled"
        await until(lambda: not outside.runs(run.token))


async def test_one_that_takes_too_long_is_ended_and_has_failed(tmp_path: Path, kind: Kind) -> None:
    run = new_run(path="a")
    outside: Callable[[Path, str], AbstractContextManager[Outside]] = kind.outside
    with outside(tmp_path, "500ms") as one:
        async with living(tmp_path, one.config, launch=run) as daemon:
            outcome = await daemon.outcome()
            assert (outcome.status, outcome.error[:15]) == ("failed", "timed out after")
            await until(lambda: not one.runs(run.token))


async def test_there_is_something_to_read_of_an_attempt(tmp_path: Path, outside: Outside) -> None:
    run = new_run(path="a")
    async with living(tmp_path, outside.config, launch=run) as daemon:
        await daemon.has_begun()
        await until(lambda: outside.starts(run.token))
        outside.finish(run.token, "succeeded")
        outcome = await daemon.outcome()
        log = daemon.launcher.log(run.id, run.attempt, run.requested_at)
        assert log is not None
        assert outcome.metadata.get("link", "") in log.read_text()
        for odd in ("../../etc/passwd", "x", f"{run.id}\0"):
            assert daemon.launcher.log(odd, 1, run.requested_at) is None


async def test_while_the_other_side_is_away_a_launch_waits_and_is_made_once(tmp_path: Path, breakable: Any) -> None:
    run = new_run(path="a")
    breakable.down()
    async with living(tmp_path, breakable.config, launch=run) as daemon:
        log = daemon.launcher.log
        await until(lambda: log(run.id, 1, run.requested_at))
    async with living(tmp_path, breakable.config, adopt=run) as daemon:
        assert not daemon.began.is_set()
        breakable.up()
        await daemon.has_begun()
        breakable.finish(run.token, "succeeded")
        assert (await daemon.outcome()).status == "succeeded"
    assert breakable.starts(run.token) == 1


async def test_one_that_ends_while_nobody_can_be_asked_is_found_ended_afterwards(
    tmp_path: Path, breakable: Any
) -> None:
    run = new_run(path="a")
    async with living(tmp_path, breakable.config, launch=run) as daemon:
        await daemon.has_begun()
        breakable.down()
        breakable.finish(run.token, "succeeded")
        log = daemon.launcher.log(run.id, 1, run.requested_at)
        assert log is not None
        await until(lambda: "asked again" in log.read_text())
        assert not daemon.outcomes
        breakable.up()
        assert (await daemon.outcome()).status == "succeeded"


@pytest.mark.parametrize("fault", ["429", "503"])
async def test_a_busy_side_is_asked_again_as_late_as_it_says(tmp_path: Path, breakable: Any, fault: str) -> None:
    run = new_run(path="a")
    breakable.faults += [fault]
    breakable.double.retry_after = "0"
    async with living(tmp_path, breakable.config, launch=run) as daemon:
        await daemon.has_begun()
        breakable.finish(run.token, "succeeded")
        assert (await daemon.outcome()).status == "succeeded"
    assert breakable.starts(run.token) == 1


async def test_an_attempt_whose_answer_was_lost_is_found_and_not_started_twice(tmp_path: Path, breakable: Any) -> None:
    run = new_run(path="a")
    breakable.faults += ["lose"]
    async with living(tmp_path, breakable.config, launch=run) as daemon:
        await daemon.has_begun()
        breakable.finish(run.token, "succeeded")
        assert (await daemon.outcome()).status == "succeeded"
    assert breakable.starts(run.token) == 1


async def test_one_whose_answer_was_lost_with_the_daemon_is_found_by_the_next(tmp_path: Path, breakable: Any) -> None:
    run = new_run(path="a")
    breakable.faults += ["lose", *["drop"] * 1000]
    async with living(tmp_path, breakable.config, launch=run):
        await until(lambda: len(breakable.double.requests) >= 2)
    breakable.faults.clear()
    async with living(tmp_path, breakable.config, adopt=run) as daemon:
        await daemon.has_begun()
        breakable.finish(run.token, "succeeded")
        assert (await daemon.outcome()).status == "succeeded"
    assert breakable.starts(run.token) == 1


async def test_one_that_nobody_knows_any_more_is_lost(tmp_path: Path, breakable: Any) -> None:
    run = new_run(path="a")
    async with living(tmp_path, breakable.config, launch=run) as daemon:
        await daemon.has_begun()
        double = breakable.double
        (double.runs if hasattr(double, "runs") else double.pipelines).clear()
        outcome = await daemon.outcome()
        assert (outcome.status, "no more" in outcome.error) == ("lost", True)
