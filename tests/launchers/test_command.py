"""Jobs that are commands: real processes under the real supervisor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from notifiers.clock import SYSTEM
from sensord.launchers import Outcome, Run
from sensord.launchers.command import CommandConfig, CommandLauncher, Commands, open_commands
from sensord.launchers.command_log import read_log

# Appends "token code" with one write, then ends with that code.
NOTE = 'printf "%s %s\\n" "$SENSORD_RUN_ID.$SENSORD_ATTEMPT" "$2" >> "$1"; exit "$2"'


def new_run(attempt: int = 1, **config: Any) -> Run:
    return Run(
        id=SYSTEM.new_id(),
        job="load",
        attempt=attempt,
        run_key="a.csv",
        run_config=config,
        tags={"team": "geo"},
        sensor="drop",
        partition_key=None,
        requested_at=SYSTEM.now(),
    )


@asynccontextmanager
async def commands(state: Path, environ: Mapping[str, str] | None = None) -> AsyncIterator[Commands]:
    async with open_commands(state, clock=SYSTEM, linger=0.2, environ=environ) as opened:
        yield opened


def job(opened: Commands, *argv: str, timeout: float | None = None, **config: Any) -> CommandLauncher:
    wanted = CommandConfig(command=list(argv), **config)
    return opened.launcher("load", wanted, timeout=timeout, log_limit=1 << 20, grace=0.3)


async def ended(launcher: CommandLauncher, run: Run) -> Outcome:
    with anyio.fail_after(20):
        return await launcher.launch(run, lambda _at: None)


def log_of(launcher: CommandLauncher, run: Run) -> str:
    path = launcher.log(run.id, run.attempt, run.requested_at)
    assert path is not None
    return b"".join(read_log(path)).decode(errors="surrogateescape")


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Commands]:
    async with commands(tmp_path / "state") as one:
        yield one


@pytest.mark.parametrize(
    ("script", "status", "error"),
    [
        ("exit 0", "succeeded", ""),
        ("exit 3", "failed", "exit code 3"),
        ("echo oh no; exit 1", "failed", "exit code 1: oh no"),
        ("kill -9 $$", "failed", "killed by SIGKILL"),
    ],
)
async def test_a_run_ends_as_its_process_did(opened: Commands, script: str, status: str, error: str) -> None:
    outcome = await ended(job(opened, "sh", "-c", script), new_run())
    assert (outcome.status, outcome.error) == (status, error)
    assert outcome.started_at is not None
    assert outcome.started_at <= outcome.ended_at


async def test_what_cannot_be_started_has_failed_with_the_reason(opened: Commands, tmp_path: Path) -> None:
    missing = await ended(job(opened, "/no/such/program"), new_run())
    assert missing.status == "failed"
    assert "/no/such/program" in missing.error
    nowhere = await ended(job(opened, "true", cwd=tmp_path / "nowhere"), new_run())
    assert nowhere.status == "failed"
    assert "nowhere" in nowhere.error
    nul = await ended(job(opened, "echo", "{{ run.config.x }}"), new_run(x="a\0b"))
    assert nul.status == "failed"
    assert "NUL" in nul.error


async def test_arguments_arrive_as_they_are_and_no_shell_sees_them(opened: Commands, tmp_path: Path) -> None:
    code = "import os,sys; os.write(1, b'|'.join(os.fsencode(one) for one in sys.argv[1:]))"
    values = [
        "$(touch PWN)",
        "; rm -rf x",
        "-rf",
        "a\nb",
        'it\'s "q"',
        "",
        b"caf\xe9".decode("utf-8", "surrogateescape"),
    ]
    templates = [f"{{{{ run.config.values[{number}] }}}}" for number in range(len(values))]
    launcher = job(opened, sys.executable, "-c", code, *templates, cwd=tmp_path)
    run = new_run(values=values)
    assert (await ended(launcher, run)).status == "succeeded"
    assert log_of(launcher, run) == "|".join(values)
    assert not await anyio.Path(tmp_path / "PWN").exists()


async def test_the_environment_is_an_allow_list_and_holds_the_runs_own(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": "/h", "SENSORD_TOKEN": "planted", "AWS_SECRET": "planted"}
    async with commands(tmp_path / "state", environ) as opened:
        launcher = job(
            opened, sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ)))", env={"REGION": "eu"}
        )
        run = new_run(path=b"caf\xe9".decode("utf-8", "surrogateescape"))
        assert (await ended(launcher, run)).status == "succeeded"
        env = json.loads(log_of(launcher, run))
        assert "planted" not in env.values()
        assert (env["REGION"], env["HOME"], env["SENSORD_JOB"]) == ("eu", "/h", "load")
        assert (env["SENSORD_RUN_ID"], env["SENSORD_ATTEMPT"], env["SENSORD_RUN_KEY"]) == (run.id, "1", "a.csv")
        config = json.loads(await anyio.Path(env["SENSORD_RUN_CONFIG"]).read_text())
        assert os.fsencode(config["path"]) == b"caf\xe9"


async def test_what_a_job_reports_is_part_of_its_outcome(opened: Commands) -> None:
    lines = [
        '{"metadata": {"rows": 12}}',
        '{"check": "no_nulls", "passed": false, "severity": "warn", "detail": "3 of 12 rows", "sample": [{"row": 3}]}',
        "this is no JSON",
        '{"quality": {"check": "unique", "passed": true}}',
    ]
    script = "\n".join(f"echo '{line}' >> \"$SENSORD_REPORT\"" for line in lines)
    outcome = await ended(job(opened, "sh", "-c", script), new_run())
    assert outcome.status == "succeeded"
    assert outcome.metadata["rows"] == 12
    assert [(one.check, one.passed, one.severity) for one in outcome.quality] == [
        ("no_nulls", False, "warn"),
        ("unique", True, "error"),
    ]
    assert len(outcome.metadata["report_errors"]) == 1


async def test_a_check_that_blocks_fails_the_run(opened: Commands) -> None:
    line = '{"check": "no_nulls", "passed": false, "severity": "block"}'
    outcome = await ended(job(opened, "sh", "-c", f"echo '{line}' >> \"$SENSORD_REPORT\""), new_run())
    assert outcome.status == "failed"
    assert "no_nulls" in outcome.error


async def test_a_timeout_ends_the_whole_group_also_what_ignores_it(opened: Commands) -> None:
    outcome = await ended(job(opened, "sh", "-c", "trap '' TERM; sleep 60 & wait; sleep 60", timeout=0.2), new_run())
    assert outcome.status == "failed"
    assert "timed out" in outcome.error


async def test_a_cancelled_run_ends_as_cancelled(opened: Commands) -> None:
    launcher, run = job(opened, "sleep", "60"), new_run()
    outcomes: list[Outcome] = []
    started = anyio.Event()

    async def follow() -> None:
        outcomes.append(await launcher.launch(run, lambda _at: started.set()))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await started.wait()
            await launcher.cancel(run)
    assert outcomes[0].status == "cancelled"


async def test_a_long_log_keeps_its_head_and_its_end(opened: Commands) -> None:
    code = "print('first'); [print('x' * 999) for _ in range(3000)]; print('last', flush=True)"
    launcher, run = job(opened, sys.executable, "-c", code), new_run()
    assert (await ended(launcher, run)).status == "succeeded"
    text = log_of(launcher, run)
    assert text.startswith("first\n")
    assert text.endswith("last\n")
    assert "bytes cut" in text
    assert len(text) < (1 << 20) + 100_000


async def test_an_attempt_is_started_once_however_often_it_is_asked_for(opened: Commands, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    launcher, run = job(opened, "sh", "-c", NOTE, "sh", str(effects), "5"), new_run()
    first = await ended(launcher, run)
    again = await ended(launcher, run)
    assert (first.status, again.error) == ("failed", first.error)
    assert effects.read_text().splitlines() == [f"{run.token} 5"]


async def leave_running(state: Path, argv: tuple[str, ...], run: Run) -> None:
    """Launch as a daemon that then ends; the job goes on."""
    async with commands(state) as opened, anyio.create_task_group() as group:
        started = anyio.Event()
        group.start_soon(job(opened, *argv).launch, run, lambda _at: started.set())
        with anyio.fail_after(20):
            await started.wait()
        group.cancel_scope.cancel()


async def test_a_job_outlives_its_daemon_and_is_adopted_with_its_true_end(tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    argv = ("sh", "-c", f"read x < {go}; exit 7")
    run = new_run()
    await leave_running(tmp_path / "state", argv, run)
    async with commands(tmp_path / "state") as opened:
        launcher = job(opened, *argv)
        assert await launcher.adopt(new_run(), lambda _at: None) is None
        await anyio.to_thread.run_sync(go.write_text, "x\n")
        with anyio.fail_after(20):
            outcome = await launcher.adopt(run, lambda _at: None)
        assert outcome is not None
        assert (outcome.status, outcome.error) == ("failed", "exit code 7")
        await launcher.forget(run)


async def test_a_killed_supervisor_costs_at_most_the_exit_code_which_is_then_lost(
    opened: Commands, tmp_path: Path
) -> None:
    launcher, run = job(opened, "sh", "-c", "sleep 1; exit 3"), new_run()
    outcomes: list[Outcome] = []
    started = anyio.Event()

    async def follow() -> None:
        outcomes.append(await launcher.launch(run, lambda _at: started.set()))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await started.wait()
            for pid in supervisors(tmp_path / "state"):
                os.kill(pid, signal.SIGKILL)
    # Its successor reads the code off the zombie where init leaves it long enough; else it says that it cannot know.
    assert (outcomes[0].status, outcomes[0].error) in {
        ("failed", "exit code 3"),
        ("lost", outcomes[0].error),
    }
    assert (await ended(job(opened, "true"), new_run())).status == "succeeded"


def supervisors(state: Path) -> list[int]:
    """The pids of this state folder's supervisor."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.endswith(b"command_supervisor.py") for word in words) and os.fsencode(state) in words:
                found.append(int(folder.name))
    return found


# A daemon that starts runs whose tokens it has noted, as the ledger does, until it is killed.
DRIVER = """
import sys, anyio
from pathlib import Path
from tests.launchers.test_command import NOTE, commands, job, new_run
state, noted, effects, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
async def main():
    async with commands(state) as opened, anyio.create_task_group() as group:
        with noted.open("a") as file:
            for number in range(count):
                run = new_run()
                print(run.id, number % 8, run.requested_at.isoformat(), file=file, flush=True)
                launcher = job(opened, "sh", "-c", NOTE, "sh", effects, str(number % 8))
                group.start_soon(launcher.launch, run, lambda at: None)
                if number % 16 == 0:
                    await anyio.sleep(0)
        print("all asked for", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


async def killed_and_adopted(folder: Path, count: int, when: Callable[[Path], bool]) -> None:
    """Kill a daemon while `count` runs start and end; a new one finds each with its true exit code, or unstarted."""
    state, noted, effects = folder / "state", folder / "noted", folder / "effects"
    effects.touch()
    noted.touch()
    words = [sys.executable, "-c", DRIVER, str(state), str(noted), str(effects), str(count)]
    driver = subprocess.Popen(  # noqa: ASYNC220 - it shall be killed, and nothing waits for it
        words, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2]
    )
    with anyio.fail_after(120):
        while not when(effects):
            await anyio.lowlevel.checkpoint()
    driver.kill()
    driver.wait()
    runs = []
    for line in noted.read_text().splitlines():
        run_id, code, at = line.split()
        runs.append((replace(new_run(), id=run_id, requested_at=datetime.fromisoformat(at)), int(code)))
    assert runs
    async with commands(state) as opened:
        for run, ending in runs:
            launcher = job(opened, "sh", "-c", NOTE, "sh", str(effects), str(ending))
            with anyio.fail_after(60):
                outcome = await launcher.adopt(run, lambda _at: None) or await launcher.launch(run, lambda _at: None)
            expected = ("succeeded", "") if ending == 0 else ("failed", f"exit code {ending}")
            assert (outcome.status, outcome.error) == expected, run.token
            await launcher.forget(run)
    done = sorted(effects.read_text().split("\n")[:-1])
    assert done == sorted(f"{run.token} {ending}" for run, ending in runs)


def has_grown(wanted: int, effects: Path) -> bool:
    return effects.stat().st_size >= wanted


async def test_a_daemon_killed_amid_a_hundred_runs_finds_all_again_and_starts_none_twice(tmp_path: Path) -> None:
    await killed_and_adopted(tmp_path, 100, partial(has_grown, 1000))


@pytest.mark.campaign
async def test_adopt_a_thousand(tmp_path: Path) -> None:
    """`pytest -m campaign -k adopt -s`: the same with 1,000 runs, killed at five places."""
    for number, share in enumerate((0.02, 0.2, 0.5, 0.8, 1.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        wanted = int(share * 39 * 1000)
        await killed_and_adopted(folder, 1000, partial(has_grown, wanted))
        print(f"killed after {share:.0%} of 1,000 runs: all adopted with their true exit codes, none twice", flush=True)
