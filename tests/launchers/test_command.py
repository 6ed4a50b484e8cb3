"""Jobs that are commands: real processes under the real supervisor."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import anyio
import pytest

from sensord.launchers import Outcome
from sensord.launchers.command import Commands
from tests.launchers.command_kit import (
    NOTE,
    commands,
    ended,
    gone,
    job,
    log_of,
    new_run,
)


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
    environ = {"PATH": os.environ["PATH"], "HOME": "/h", "LC_TIME": "de_DE"}
    environ |= dict.fromkeys(("SENSORD_TOKEN", "AWS_SECRET", "PYTHONPATH", "LD_PRELOAD", "LC"), "planted")
    async with commands(tmp_path / "state", environ) as opened:
        launcher = job(
            opened, sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ)))", env={"REGION": "eu"}
        )
        run = new_run(path=b"caf\xe9".decode("utf-8", "surrogateescape"))
        assert (await ended(launcher, run)).status == "succeeded"
        env = json.loads(log_of(launcher, run))
        assert "planted" not in env.values()
        assert (env["REGION"], env["HOME"], env["LC_TIME"], env["SENSORD_JOB"]) == ("eu", "/h", "de_DE", "load")
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
        ("unique", True, "warn"),
    ]
    assert len(outcome.metadata["report_errors"]) == 1


async def test_a_check_that_blocks_fails_the_run(opened: Commands) -> None:
    line = '{"check": "no_nulls", "passed": false, "severity": "block"}'
    outcome = await ended(job(opened, "sh", "-c", f"echo '{line}' >> \"$SENSORD_REPORT\""), new_run())
    assert outcome.status == "failed"
    assert "no_nulls" in outcome.error


async def test_a_timeout_ends_the_whole_group_also_what_ignores_it(opened: Commands, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    script = f"trap '' TERM; sleep 60 & echo $$ $! > {note}; wait; sleep 60"
    outcome = await ended(job(opened, "sh", "-c", script, timeout=1.0), new_run())
    assert (outcome.status, outcome.error) == ("failed", "timed out after 1s")
    for pid in note.read_text().split():
        await gone(int(pid))


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
