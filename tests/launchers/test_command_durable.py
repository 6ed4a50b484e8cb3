"""What is promised is on the disk first; a disk without room delays; a debugger does not bend the truth."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from sensord.launchers import LaunchDelayed
from sensord.launchers.command_journal import SLOT
from tests.launchers.command_kit import (
    commands,
    ended,
    fill,
    gate,
    job,
    launched,
    new_run,
    open_gate,
    pid_of,
    small_disk,
)

# PTRACE_SEIZE: the process runs on, but when it has ended it is this debugger's first.
DEBUGGER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(0x4206, int(sys.argv[1]), None, None):
    sys.exit(77)
print("seized", flush=True)
sys.stdin.read()
"""


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")


async def test_a_debugger_that_holds_the_ended_process_does_not_make_a_success_of_it(tmp_path: Path) -> None:
    through = gate(tmp_path)
    async with commands(tmp_path / "state") as opened:
        launcher, run = job(opened, "sh", "-c", f"read x < {through}; exit 4"), new_run()
        async with launched(launcher, run) as outcomes:
            pid = pid_of(run.token)
            words = [sys.executable, "-c", DEBUGGER, str(pid)]
            debugger = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: ASYNC220
            assert debugger.stdout is not None
            said = await anyio.to_thread.run_sync(debugger.stdout.readline)
            await open_gate(through)
            if said:
                while not is_zombie(pid):
                    await anyio.lowlevel.checkpoint()
                # The supervisor has looked at it by the time that it has answered this.
                assert (await ended(job(opened, "true"), new_run())).status == "succeeded"
                assert not outcomes
            await anyio.to_thread.run_sync(debugger.communicate)
    assert outcomes[0].error == "exit code 4"
    if not said:
        pytest.skip("this system lets nobody debug")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    with small_disk(tmp_path / "small", "2m") as place:
        yield place


async def test_a_full_disk_delays_launches_starts_nothing_and_keeps_exit_codes(small: Path, tmp_path: Path) -> None:
    state, through, effects = small / "state", gate(tmp_path), tmp_path / "effects"
    async with commands(state) as opened:
        launcher, run = job(opened, "sh", "-c", f"read x < {through}; exit 5"), new_run()
        async with launched(launcher, run) as outcomes:
            ballast = fill(small)
            other, late = job(opened, "touch", str(effects)), new_run(path="x" * 100)
            with pytest.raises(LaunchDelayed, match="disk full"):
                await ended(other, late)
            assert late.token not in opened.known
            await open_gate(through)
        assert outcomes[0].error == "exit code 5"
        assert not effects.exists()
        ballast.unlink()
        assert (await ended(other, late)).status == "succeeded", "the same token, once there is room"
        assert effects.exists()
    async with commands(state) as opened:
        assert {run.token, late.token} == opened.known


async def traced(pid: int, path: Path) -> subprocess.Popen[bytes]:
    """A strace that has begun to write the calls of all this process's threads to the file."""
    calls = "trace=pwrite64,fdatasync,clone,clone3,vfork"
    words = ["strace", "-f", "-s", "400", "-e", calls, "-o", str(path), "-p", str(pid)]
    strace = subprocess.Popen(words, stderr=subprocess.PIPE)  # noqa: ASYNC220
    assert strace.stderr is not None
    said = await anyio.to_thread.run_sync(strace.stderr.readline)
    if b"attached" not in said:
        strace.wait()
        pytest.skip(f"strace may not look: {said.decode()}")
    return strace


def durable_before_each_process(lines: list[str]) -> list[int]:
    """For each process that was made: how many starts were on the disk by then."""
    written = durable = 0
    asked: dict[str, int] = {}  # Of each thread: how many were written when it asked for its sync.
    found = []
    for line in lines:
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.startswith("pwrite64") and '\\"token\\"' in call:
            size = re.search(r", (\d+), \d+(?:\)| <unfinished)", call)
            assert size is not None, call
            written += int(size[1]) // SLOT  # One call writes the starts of a whole batch.
        elif call.startswith(("clone", "vfork")):
            found.append(durable)
        elif call.startswith("fdatasync"):
            asked[thread] = written
        if "fdatasync" in call and call.endswith("= 0"):
            durable = asked.pop(thread)
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
async def test_no_process_is_made_before_its_start_is_on_the_disk(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    async with commands(tmp_path / "state") as opened:
        launcher = job(opened, "true")
        await ended(launcher, new_run())
        strace = await traced(opened.supervisor_pid, trace)
        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(ended, launcher, new_run())
        strace.terminate()
        await anyio.to_thread.run_sync(strace.communicate)
    durable = durable_before_each_process(trace.read_text().splitlines())
    assert len(durable) == 30
    assert all(count >= made for made, count in enumerate(durable, 1))


def test_the_reading_of_a_trace_tells_when_a_process_came_too_early() -> None:
    start, sync = '9 pwrite64(7, "{\\"token\\":1}", 1024, 0) = 1024', "11 fdatasync(7 <unfinished ...>"
    late = [start, sync, start, "9 vfork() = 3", "11 <... fdatasync resumed>) = 0", "9 vfork() = 4"]
    assert durable_before_each_process(late) == [0, 1]
