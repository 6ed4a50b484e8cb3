"""What tests of commands share: runs, gates that a job waits at, small disks."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from notifiers.clock import SYSTEM
from sensord.launchers import Outcome, Run
from sensord.launchers.command import CommandConfig, CommandLauncher, Commands, open_commands
from sensord.launchers.command_log import read_log
from tests.conftest import in_ci

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


@asynccontextmanager
async def launched(launcher: CommandLauncher, run: Run) -> AsyncIterator[list[Outcome]]:
    """The run has started when the body begins, and has ended, or is left running, when it is through."""
    outcomes: list[Outcome] = []
    started = anyio.Event()

    async def follow() -> None:
        outcomes.append(await launcher.launch(run, lambda _at: started.set()))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await started.wait()
            yield outcomes


async def left_running(state: Path, run: Run, *argv: str, limit: float | None = None) -> int:
    """Launch as a daemon that then ends; return the supervisor's pid."""
    async with commands(state) as opened, anyio.create_task_group() as group:
        started = anyio.Event()
        group.start_soon(job(opened, *argv, timeout=limit).launch, run, lambda _at: started.set())
        with anyio.fail_after(20):
            await started.wait()
        group.cancel_scope.cancel()
    return opened.supervisor_pid


async def adopted(opened: Commands, run: Run) -> Outcome:
    with anyio.fail_after(20):
        outcome = await job(opened, "true").adopt(run, lambda _at: None)
    assert outcome is not None
    return outcome


async def gone(pid: int) -> None:
    """Wait until that process has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with anyio.fail_after(20):
            await anyio.wait_readable(pidfd)
    finally:
        os.close(pidfd)


def gate(folder: Path) -> Path:
    path = folder / f"gate-{SYSTEM.new_id()}"
    os.mkfifo(path)
    return path


async def open_gate(path: Path) -> None:
    """Let through whoever reads it."""
    await anyio.to_thread.run_sync(path.write_text, "go\n")


def pid_of(token: str) -> int:
    """The process that leads the session of that attempt, which has been started.

    Its environment may be seen only a moment after its start: Linux lets the parent go on before it is in place.
    """
    run_id, _, attempt = token.partition(".")
    wanted = {f"SENSORD_RUN_ID={run_id}".encode(), f"SENSORD_ATTEMPT={attempt}".encode()}
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    held = set((entry / "environ").read_bytes().split(b"\0"))
                except OSError:
                    continue
                if wanted <= held and os.getsid(int(entry.name)) == int(entry.name):
                    return int(entry.name)
    raise AssertionError(f"no process of {token}")


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of that size, made at `place`."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        if in_ci() and os.getuid() == 0 and b"permission" not in done.stderr:
            pytest.fail(f"no small file system can be mounted: {done.stderr.decode()}")
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    """Leave not one free block."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            with contextlib.suppress(OSError):  # There is no room for so much; is there for less?
                while True:
                    file.write(bytes(size))
    assert shutil.disk_usage(place).free == 0
    return ballast


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
