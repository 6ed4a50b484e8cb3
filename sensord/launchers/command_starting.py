"""Starting a supervisor, when there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from subprocess import DEVNULL, PIPE

import anyio

_BUSY = 75


class SupervisorUnavailableError(Exception):
    """No supervisor runs and none can be started; the text says why, for a person."""


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
