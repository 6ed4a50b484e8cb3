"""Checks before a run, in the whole daemon: what they tell, what they fail, what they hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from typer.testing import CliRunner

from notifiers.clock import SYSTEM
from rules.quality import CheckResult
from sensord.checks.launcher import CheckedLauncher, checking
from sensord.checks.settings import read_settings
from sensord.cli import app as commands
from sensord.launchers import LaunchDelayed, Launcher, Outcome, Run, Started
from sensord.ledger.database import LedgerDatabase
from sensord.run_events import About, Hooks, quality_event
from tests.conftest import rows
from tests.sources.app_kit import ended, launch, running
from tests.sources.directory_kit import until

JOBS = """
mask: ["*phone*"]
jobs:
  load:
    command: [sh, -c, 'echo ran >> ran; exit {{ run.config.code }}']
    cwd: .
    retry: {attempts: 3, backoff: 0s}
    hooks: {quality: bp.load.quality}
    checks:
      - {rows: {min: 1}, severity: block}
      - {nulls: name, severity: error}
      - {range: {column: traffic, min: 0}, severity: warn}
  sensed: {command: ["true"]}
  after: {command: ["true"]}
sensors:
  drop:
    directory: {path: in, pattern: "*.csv"}
    job: sensed
    run_config: {path: "{{ file.path }}"}
    checks:
      - {columns: last, severity: block}
  follow: {runs: {job: [load, sensed], status: [succeeded, failed]}, job: after}
"""


async def test_a_warning_tells_an_error_fails_and_a_block_starts_nothing_and_holds_what_follows(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    files = {"warn": "mill,-1,99\n", "error": ",1,99\n", "block": "", "good": "mill,1,99\n"}
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(f"name,traffic,home_phone\n{text}")
    async with running(tmp_path, "", jobs=JOBS) as app:
        for number, name in enumerate(files, 1):
            await launch(app, "load", path=f"{name}.csv")
            done = (await ended(app, "load", number))[-1]
            said = (done["status"], done["error"], done["attempt"])
            assert (
                said
                == {
                    "warn": ("succeeded", None, 1),
                    "error": ("failed", "quality check nulls(name) failed: 1 of 1 rows have no name", 1),
                    "block": ("failed", "not started: check rows failed: 0 rows, at least 1 are wanted", 1),
                    "good": ("succeeded", None, 1),
                }[name]
            )
        held = "SELECT reason FROM ticks WHERE sensor = 'follow' AND outcome = 'skipped'"
        await until(lambda: bool(rows(app.database, held)))
        assert rows(app.database, held)[0]["reason"] == "held: check rows of load failed, and blocks what follows"
        await ended(app, "after", 3)
        told = rows(
            app.database, "SELECT type, also, message, data FROM events WHERE type LIKE 'quality.%' ORDER BY seq"
        )
    assert (tmp_path / "ran").read_text() == "ran\n" * 3
    failed = [one for one in told if one["type"] == "quality.failed"]
    assert [(one["also"], one["message"]) for one in failed] == [
        ("bp.load.quality", "load: check range(traffic) failed: 1 of 1 rows break 0 ≤ traffic"),
        ("bp.load.quality", "load: check nulls(name) failed: 1 of 1 rows have no name"),
        ("bp.load.quality", "load: check rows failed: 0 rows, at least 1 are wanted"),
    ]
    assert orjson.loads(failed[0]["data"])["sample"] == [
        {"row": 1, "traffic": "-1", "name": "mill", "home_phone": "***"}
    ]
    recovered = [one for one in told if "recovered" in one["message"]]
    assert [(one["also"], one["message"]) for one in recovered] == [
        ("bp.load.quality", "load: check range(traffic) recovered after 1 failure"),
        ("bp.load.quality", "load: check nulls(name) recovered after 1 failure"),
        ("bp.load.quality", "load: check rows recovered after 1 failure"),
    ]


async def test_a_sensor_s_checks_are_of_the_runs_that_it_asks_for_and_drift_is_from_what_was_accepted(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    async with running(tmp_path, "", jobs=JOBS) as app:
        for number, header in enumerate(["a,b", "a,b", "a,c", "a,c", "a,b"], 1):
            (tmp_path / f"{number}.csv").write_text(f"{header}\n1,2\n")
            (tmp_path / f"{number}.csv").rename(tmp_path / "in" / f"{number}.csv")
            await ended(app, "sensed", number)
        done = await ended(app, "sensed", 5)
        await launch(app, "sensed", path="gone.csv")
        assert (await ended(app, "sensed", 6))[-1]["status"] == "succeeded"
        row = rows(app.database, "SELECT * FROM checks WHERE name = 'columns'")[0]
    assert [one["status"] for one in done] == ["succeeded", "succeeded", "failed", "failed", "succeeded"]
    assert done[2]["error"] == "not started: check columns failed: missing: b; new: c"
    assert (row["job"], row["series"], row["in_a_row"]) == ("sensed", "drop", 1)
    assert orjson.loads(row["trend"]) == [0, 0, 1, 1, 0]
    shown = sensord(tmp_path, "checks", "show", "sensed", "columns")
    assert "missing: b; new: c" in shown
    assert "▁▁██▁" in shown
    assert "accepted" in sensord(tmp_path, "checks", "accept", "sensed", "columns")


def sensord(folder: Path, *words: str) -> str:
    """What a command prints: in this process, as there is no daemon any more."""
    done = CliRunner().invoke(commands, ["--config", str(folder / "sensord.yaml"), *words])
    assert done.exit_code == 0, done.output
    return done.output


class Inner:
    """A launcher in this process that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def launch(self, run: Run, started: Started) -> Outcome:
        started(SYSTEM.now())
        self.asked.append(f"launch {run.token}")
        return Outcome(status="succeeded", ended_at=SYSTEM.now())

    async def adopt(self, run: Run, started: Started) -> Outcome | None:
        started(SYSTEM.now())
        self.asked.append(f"adopt {run.token}")
        return Outcome(status="succeeded", ended_at=SYSTEM.now())

    async def cancel(self, run: Run) -> None:
        self.asked.append(f"cancel {run.token}")

    async def forget(self, run: Run) -> None:
        self.asked.append(f"forget {run.token}")

    def log(self, _run: str, _attempt: int, _requested_at: Any) -> Path | None:
        return None


def a_run(path: Path) -> Run:
    return Run(
        id=SYSTEM.new_id(),
        job="load",
        attempt=1,
        run_key=None,
        run_config={"path": str(path)},
        tags={},
        sensor=None,
        partition_key=None,
        requested_at=SYSTEM.now(),
    )


def checked(database: LedgerDatabase, inner: Launcher, *checks: Any) -> CheckedLauncher:
    shared = checking(database, SYSTEM, lambda: None, {})
    return CheckedLauncher(inner, shared, read_settings(list(checks)), Hooks(), Path("/"))


async def told_before(database: LedgerDatabase, run: Run, severity: str) -> None:
    """What a daemon that was killed right after its checks left behind."""
    from sensord.checks.launcher import _publish

    about = About(run=run.id, job="load", sensor=None, run_key=None, subject=None, requested_at=run.requested_at)
    result = CheckResult(check="rows", passed=False, severity=severity, detail="0 rows")
    await database.write(_publish, [quality_event(SYSTEM, about, result, hooks=Hooks(), before_run=True)])


@pytest.mark.parametrize("severity", ["warn", "error", "block"])
async def test_what_was_found_before_a_daemon_was_killed_holds_for_the_next_one(
    database: LedgerDatabase, tmp_path: Path, severity: str
) -> None:
    inner, run = Inner(), a_run(tmp_path / "gone.csv")
    await told_before(database, run, severity)
    launcher = checked(database, inner, {"rows": {"min": 1}})
    adopted = await launcher.adopt(run, lambda _at: None)
    assert adopted is not None
    assert (adopted.status, adopted.final) == (("succeeded", False) if severity == "warn" else ("failed", True))
    launched = await launcher.launch(run, lambda _at: None)
    assert launched.status == adopted.status
    assert launched.blocked_by == ("rows" if severity == "block" else "")
    assert (f"launch {run.token}" in inner.asked) == (severity != "block")
    assert len(rows(database, "SELECT 1 FROM events")) == 1, "the file was checked again"


async def test_a_run_that_is_cancelled_while_its_file_is_checked_is_not_started(
    database: LedgerDatabase, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    inner, run = Inner(), a_run(path)
    launcher = checked(database, inner, {"rows": {"min": 1}})
    outcomes: list[Outcome] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def follow() -> None:
                outcomes.append(await launcher.launch(run, lambda _at: None))

            group.start_soon(follow)
            while not launcher._under_way:
                await database.read(lambda _conn: None)
            await launcher.cancel(run)
    assert (outcomes[0].status, inner.asked) == ("cancelled", [])


@pytest.mark.parametrize("late", [False, True], ids=["before its checks", "while what they found is written"])
async def test_no_moment_is_too_early_or_too_late_to_cancel_a_run_that_is_checked_first(
    database: LedgerDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    inner, run, write = Inner(), a_run(tmp_path / "a.csv"), database.write
    launcher = checked(database, inner, {"rows": {"min": 1}})
    outcomes: list[Outcome] = []

    async def and_cancel(op: Any, item: Any, **more: Any) -> Any:
        result = await write(op, item, **more)
        await launcher.cancel(run)
        return result

    async def follow() -> None:
        outcomes.append(await launcher.launch(run, lambda _at: None))

    if late:
        monkeypatch.setattr(database, "write", and_cancel)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            if not late:
                await anyio.lowlevel.checkpoint()
                await launcher.cancel(run)
    assert (outcomes[0].status, inner.asked) == ("cancelled", [])


async def test_a_file_for_which_no_process_can_be_had_waits(
    database: LedgerDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    launcher, run = checked(database, Inner(), {"rows": {"min": 1}}), a_run(tmp_path / "a.csv")
    with monkeypatch.context() as without:
        without.setattr(sys, "executable", str(tmp_path / "gone"))
        with pytest.raises(LaunchDelayed, match="cannot be checked for now"):
            await launcher.launch(run, lambda _at: None)
    assert rows(database, "SELECT 1 FROM events") == []
    assert (await launcher.launch(run, lambda _at: None)).status == "succeeded"


async def test_of_two_files_of_one_content_that_come_at_once_the_second_is_told(
    database: LedgerDatabase, tmp_path: Path
) -> None:
    launcher = checked(database, Inner(), {"new_content": True})
    outcomes: list[Outcome] = []

    async def follow(path: Path) -> None:
        outcomes.append(await launcher.launch(a_run(path), lambda _at: None))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for path in (tmp_path / "a.csv", tmp_path / "b.csv"):
                path.write_text("a\n1\n")
                group.start_soon(follow, path)
    assert sorted(one.status for one in outcomes) == ["failed", "succeeded"]
    assert "the same content as" in "".join(one.error for one in outcomes)


@pytest.mark.parametrize(
    ("checks", "path", "said"),
    [
        ([{"rows": {"min": 1}}], "a.xlsx", "say `format:`"),
        ([{"rows": {"min": 1}}], "s3://bucket/a.csv", "not the path of a file on this machine"),
        ({"file": "{{ run.config.gone }}", "of": [{"rows": {"min": 1}}]}, "a.csv", "gone"),
    ],
)
async def test_a_file_that_cannot_be_found_out_is_a_failed_check(
    database: LedgerDatabase, tmp_path: Path, checks: Any, path: str, said: str
) -> None:
    shared = checking(database, SYSTEM, lambda: None, {})
    launcher = CheckedLauncher(Inner(), shared, read_settings(checks), Hooks(), tmp_path)
    run = a_run(tmp_path)
    outcome = await launcher.launch(
        Run(**{**{name: getattr(run, name) for name in run.__struct_fields__}, "run_config": {"path": path}}),
        lambda _at: None,
    )
    assert outcome.status == "failed"
    assert said in outcome.error
