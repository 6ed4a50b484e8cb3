"""A disk that has room, but none for us: a quota that is used up is a full disk, and not the supervisor's end.

The kernel's answer is changed on its way by strace: few file systems have quotas, and root is above them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from sensord.launchers import LaunchDelayed, Run
from sensord.launchers.command import CommandLauncher
from sensord.launchers.command_journal import Journal
from tests.launchers.command_kit import commands, ended, gate, job, launched, new_run, open_gate

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@asynccontextmanager
async def used_up(pid: int) -> AsyncIterator[None]:
    """Nothing more is reserved for that process: its quota is used up."""
    words = ["strace", "-f", "-e", "trace=fallocate", "-e", "inject=fallocate:error=EDQUOT", "-p", str(pid)]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as strace:  # noqa: ASYNC220
        assert strace.stderr is not None
        said = await anyio.to_thread.run_sync(strace.stderr.readline)
        if b"attached" not in said:
            pytest.skip(f"strace may not look: {said.decode()}")
        try:
            yield
        finally:
            strace.terminate()
            await anyio.to_thread.run_sync(strace.communicate)


async def delayed(launcher: CommandLauncher, runs: list[Run]) -> list[Run]:
    """Launch all of these; those that were not started for now."""
    found = []

    async def one(run: Run) -> None:
        try:
            assert (await ended(launcher, run)).status == "succeeded"
        except LaunchDelayed as error:
            assert str(error) == "disk full"  # noqa: PT017 - one for each of many
            found.append(run)

    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(one, run)
    return found


async def test_a_used_up_quota_delays_launches_and_costs_no_exit_code(tmp_path: Path) -> None:
    through, effects = gate(tmp_path), tmp_path / "effects"
    async with commands(tmp_path / "state") as opened:
        supervisor = opened.supervisor_pid
        launcher, run = job(opened, "sh", "-c", f"read x < {through}; exit 5"), new_run()
        note = job(opened, "sh", "-c", 'echo "$SENSORD_RUN_ID" >> "$0"', str(effects))
        async with launched(launcher, run) as outcomes:
            async with used_up(supervisor):
                waiting = await delayed(note, runs := [new_run() for _ in range(100)])
                assert waiting, "more than there was room for"
            assert opened.supervisor_pid == supervisor
            assert opened.known.isdisjoint(run.token for run in waiting)
            assert await delayed(note, waiting) == []
            await open_gate(through)
        assert outcomes[0].error == "exit code 5"
    assert sorted(effects.read_text().split()) == sorted(run.id for run in runs), "each once"


# What a supervisor that starts anew finds.
OPENING = """
import os, sys
sys.path.insert(0, sys.argv[1])
from command_journal import Journal
print(*Journal(os.open(sys.argv[2], os.O_RDONLY), sys.argv[3]).records)
"""


async def test_a_new_supervisor_goes_on_with_the_journal_as_it_is(tmp_path: Path) -> None:
    async with commands(tmp_path) as opened:
        run = new_run()
        await ended(job(opened, "true"), run)
        source = sys.modules[Journal.__module__].__file__
        assert source is not None
        python = [sys.executable, "-I", "-c", OPENING, os.path.dirname(source), str(tmp_path), "boot"]  # noqa: PTH120
        words = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EDQUOT", *python]
        done = await anyio.run_process(words, check=False)
    if b"ptrace" in done.stderr:
        pytest.skip(f"strace may not look: {done.stderr.decode()}")
    assert (done.stdout.decode().split(), done.stderr.decode()) == ([run.token], "")
