"""Starting a supervisor, when there is none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

import anyio

LINGER = 5.0  # Seconds that a supervisor outlives its last daemon and its last run.
SOCKET = "supervisor.sock"
ENVIRONMENT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV",
)  # fmt: skip
_PROGRAM = Path(__file__).with_name("command_supervisor.py")
_BUSY = 75


class SupervisorUnavailableError(Exception):
    """No supervisor runs and none can be started; the text says why, for a person."""


def allowed(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the environment that a supervisor and its jobs get."""
    return {name: value for name, value in environ.items() if name in ENVIRONMENT or name.startswith("LC_")}


def supervisor_argv(state: Path, linger: float) -> list[str]:
    """The command that becomes the supervisor of this folder, unless there is one."""
    return [sys.executable, "-I", "-S", "-E", str(_PROGRAM), str(state), str(linger)]


async def start_supervisor(argv: Sequence[str], environment: Mapping[str, str]) -> bool:
    """True: it listens. False: another one was quicker, and will soon. SupervisorUnavailableError: neither."""
    try:
        done = await anyio.run_process(
            list(argv), stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, check=False, env=dict(environment)
        )
    except OSError as error:
        raise SupervisorUnavailableError(f"the supervisor cannot be started: {error}") from error
    if done.returncode not in {0, _BUSY}:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise SupervisorUnavailableError(f"the supervisor cannot be started: {said or done.returncode}")
    return done.returncode == 0


@contextmanager
def starting_beside(state: Path) -> Iterator[None]:
    """Have a supervisor come up while the body loads modules: on another core, an interpreter's start for nothing.

    Nothing here fails: whoever needs it asks again, and says why there is none.
    """
    process = None
    with suppress(OSError):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _listens(state):
            argv = supervisor_argv(state.resolve(), LINGER)
            environment = allowed(os.environ)
            process = subprocess.Popen(argv, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, env=environment)
    try:
        yield
    finally:
        if process is not None:
            process.wait()  # It leaves a child behind and ends as soon as that listens.


def _listens(state: Path) -> bool:
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            # By way of the open folder: a socket's path may have 107 bytes, and the folder's own may be longer.
            return probe.connect_ex(f"/proc/self/fd/{folder}/{SOCKET}") == 0
    finally:
        os.close(folder)
