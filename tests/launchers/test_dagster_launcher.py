"""Jobs that are Dagster's, launched at a real web server.

`pytest -m campaign -k dagster_launcher`: all that is promised of launchers (`test_conformance`), of Dagster.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from msgspec.structs import replace

from notifiers.clock import SYSTEM
from sensord.app import App
from sensord.backfill_plans import Asked
from sensord.config import Config
from sensord.doctor_launchers import look_at_launchers
from sensord.job_schemas import job_schemas
from sensord.launchers import Outcome, Run
from sensord.parameters import parameters_of
from sensord.schema_reading import AGAIN_SECONDS, FRESH_SECONDS
from tests.conftest import rows
from tests.launchers import test_conformance as promises
from tests.launchers.command_kit import new_run
from tests.launchers.conformance_kit import living, until
from tests.launchers.dagster_server import Front, Waiting, web_server
from tests.sources.app_kit import launch, running

SLOW = 120.0
"""Seconds that Dagster may take on a busy machine: it starts a process for each run, which loads all of it."""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Path]]:
    with web_server() as one:
        yield one


@pytest.fixture
def outside(server: tuple[str, Path]) -> Iterator[Waiting]:
    url, home = server
    front = Front(real=url)
    with front.served():
        yield Waiting(home, front, "1h")


async def test_runs_are_launched_once_and_followed_to_their_end(tmp_path: Path, outside: Waiting) -> None:
    """A failure, and one whose answer is lost along with the daemon, at the same time."""
    lost, failed = new_run(path="/in/a.csv"), new_run(path="/in/b.csv")
    outcomes: dict[str, Outcome] = {}
    outside.config = outside.config.replace(
        "job: houses", "job: houses, repository: __repository__, location: LOCATION"
    )
    outside.config = outside.config.replace("LOCATION", "dagster_program.py")
    outside.faults += ["lose", *["drop"] * 1000]
    async with living(tmp_path, outside.config, launch=lost):
        await until(lambda: len(outside.double.requests) >= 2)
    outside.faults.clear()
    async with living(tmp_path, outside.config) as daemon:

        async def follow(run: Run, how: Callable[..., Any]) -> None:
            outcomes[run.token] = await how(run, lambda _at: None)

        async with anyio.create_task_group() as group:
            group.start_soon(follow, lost, daemon.launcher.adopt)
            group.start_soon(follow, failed, daemon.launcher.launch)
            await until(lambda: all(outside.starts(run.token) for run in (lost, failed)), SLOW)
            outside.finish(lost.token, "succeeded")
            outside.finish(failed.token, "failed")
    assert [outside.starts(run.token) for run in (lost, failed)] == [1, 1]
    assert [outcomes[run.token].status for run in (lost, failed)] == ["succeeded", "failed"]
    assert outcomes[failed.token].error == "read: dagster._core.definitions.events.Failure: it was told to"
    link = outcomes[lost.token].metadata["link"]
    assert link == f"{outside.double.url}/runs/{outcomes[lost.token].metadata['dagster_run_id']}"


JOBS = """
jobs:
  report:
    partitions: ["2026-01-01", "2026-01-02", "2026-01-03"]
    dagster: {{url: "{url}", job: report, every: 200ms}}
  wrong:
    dagster: {{url: "{url}", job: houses, every: 200ms}}
  nowhere:
    dagster: {{url: "{url}", job: no_such_job}}
"""


@asynccontextmanager
async def daemon(folder: Path, url: str) -> AsyncIterator[App]:
    async with running(folder, "", jobs=JOBS.format(url=url)) as app:
        yield app


@pytest.mark.campaign
async def test_dagster_launcher_runs_a_backfill_of_ours_with_the_partitions_own_config(
    tmp_path: Path, server: tuple[str, Path]
) -> None:
    url, home = server
    async with daemon(tmp_path, url) as app:
        asked = Asked(job="report", first="2026-01-01", last="2026-01-02", run_config={}, concurrency=2)
        _, backfill = await app.backfills.create(asked)
        await launch(app, "wrong", ops=3)
        await launch(app, "nowhere")
        query = "SELECT status FROM runs WHERE status IN ('succeeded', 'failed', 'lost', 'cancelled')"
        await until(lambda: len(rows(app.database, query)) == 4, SLOW)
        ended = {row["job"]: row for row in rows(app.database, "SELECT job, status, error FROM runs")}
        assert ended["report"]["status"] == "succeeded"
        assert (ended["wrong"]["status"], ended["wrong"]["error"][:12]) == ("failed", "run_config: ")
        assert "check job" in ended["nowhere"]["error"]
        state = "SELECT status FROM backfills WHERE id = :id"
        await until(lambda: rows(app.database, state, id=backfill)[0]["status"] == "succeeded")
    days = (home / "days").read_text().split("\n")
    assert sorted(days) == ["", "2026-01-01 2026-01-01", "2026-01-02 2026-01-02"]


@pytest.mark.campaign
@pytest.mark.parametrize(
    "promise",
    [
        promises.test_an_attempt_outlives_the_daemon_and_is_adopted_without_a_second_start,
        promises.test_what_ended_while_the_daemon_was_away_is_found_with_its_true_end,
        promises.test_what_was_never_launched_is_not_adopted,
        promises.test_each_attempt_of_a_run_is_one_of_its_own,
        promises.test_a_cancelled_attempt_ends_there_and_here,
        promises.test_one_that_is_to_be_cancelled_is_so_after_a_restart,
        promises.test_while_the_other_side_is_away_a_launch_waits_and_is_made_once,
        promises.test_one_that_ends_while_nobody_can_be_asked_is_found_ended_afterwards,
        promises.test_an_attempt_whose_answer_was_lost_is_found_and_not_started_twice,
        promises.test_one_whose_answer_was_lost_with_the_daemon_is_found_by_the_next,
    ],
)
async def test_dagster_launcher(tmp_path: Path, outside: Waiting, promise: Callable[..., Any]) -> None:
    await promise(tmp_path, outside)


@pytest.mark.campaign
async def test_dagster_launcher_ends_what_takes_too_long(tmp_path: Path, outside: Waiting) -> None:
    run = replace(new_run(path="a"))
    async with living(tmp_path, outside.config.replace("1h", "500ms"), launch=run) as one:
        assert (await one.outcome()).error == "timed out after 0.5 s"
        await until(lambda: not outside.runs(run.token))


async def test_what_its_ops_want_is_asked_of_the_instance(tmp_path: Path, outside: Waiting) -> None:
    written = {name: {"dagster": {"url": outside.double.url, "job": name}} for name in ("houses", "trivial", "absent")}
    config = Config.model_validate({"jobs": written, "state": tmp_path})
    at = 0.0
    found = job_schemas(config, clock=replace(SYSTEM, monotonic=lambda: at))
    outside.double.down()
    assert await found["houses"].now() is None
    assert await found["houses"].refusal({"ops": 1}) is None, "while nothing is known, Dagster is asked"
    outside.double.up()
    at = AGAIN_SECONDS
    folder, path = parameters_of(await found["houses"].now())
    assert (folder.name, folder.kinds, folder.required) == ("ops.read.folder", frozenset({"string"}), True)
    assert (path.name, path.required, path.has_default, path.default) == ("ops.read.path", False, True, "")
    assert await found["houses"].refusal({}) is None, "a partition may have a config of its own"
    right: dict[str, Any] = {"ops": {"read": {"config": {"folder": "a"}}}, "execution": {"config": {}}}
    assert await found["houses"].refusal(right) is None
    right["ops"]["read"]["config"]["path"] = 5
    assert await found["houses"].refusal(right) == "$.ops.read.config.path: 5 is not of type 'string'"
    assert await found["houses"].refusal({"ops.read.folder": "a"}) is None
    refused = await found["houses"].refusal({"ops.read.folder": 5})
    assert refused == "$.ops.read.config.folder: 5 is not of type 'string'"
    async with living(
        tmp_path,
        f'{{dagster: {{url: "{outside.double.url}", job: houses}}}}',
        launch=replace(new_run(), run_config={"ops.read.folder": 5, "ops.read.path": "b"}),
    ) as daemon:
        error = (await daemon.outcome()).error
    assert ("root:ops:read:config:folder" in error, "path" in error.replace("at path", "")) == (True, False), error
    assert await found["houses"].at_launch(right) is None, "what a sensor asks for is Dagster's to judge"
    assert await found["trivial"].now() is None
    assert await found["absent"].now() is None
    outside.double.down()
    at += FRESH_SECONDS
    assert await found["houses"].now() is not None, "what it said last is kept"
    outside.double.up()


async def test_the_doctor_says_which_dagster_it_is_and_whether_it_has_the_job(tmp_path: Path, outside: Waiting) -> None:
    url = outside.double.url
    place = {"repository": "__repository__", "location": "dagster_program.py"}
    written = {
        "there": {"dagster": {"url": url, "job": "trivial"}},
        "absent": {"dagster": {"url": url, "job": "absent"}},
        "misplaced": {"dagster": {"url": url, "job": "trivial", **place, "repository": "other"}},
        "nowhere": {"dagster": {"url": url, "job": "absent", **place}},
    }
    config = Config.model_validate({"jobs": written, "state": tmp_path})
    found = {what: (well, text) for what, well, text in await to_thread.run_sync(look_at_launchers, config)}
    assert found["job there"][0]
    assert re.search(r" \(1\.\d+\.\d+\) has the job trivial in __repository__ in ", found["job there"][1])
    assert found["job absent"] == (False, f"Dagster at {url[7:]} has the job absent in none; check job")
    for name in ("misplaced", "nowhere"):
        assert (found[f"job {name}"][0], "check job" in found[f"job {name}"][1]) == (False, True), found
    outside.double.down()
    gone = {what: (well, text) for what, well, text in await to_thread.run_sync(look_at_launchers, config)}
    assert gone["job there"][1].endswith("cannot be reached: start dagster-webserver there, or check url")
    outside.double.up()
