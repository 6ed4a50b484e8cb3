"""The process that checks one file: reads a request from its standard input, limits itself, answers, ends.

Nothing of the daemon is in it. It ends with the daemon, at its time limit, or where it wants more memory than it may.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any

_SPARE_S = 2  # By which the daemon, whose limit it is, ends it first.
_KILLED_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Answer the one request."""
    request = json.loads(sys.stdin.buffer.read())
    _limit(request)
    from sensord.checks.frames import examine  # Loads the data-frame library, which is to be within the limits.

    sys.stdout.write(json.dumps(examine(request)))
    sys.stdout.flush()
    os._exit(0)  # Threads of the library are not waited for.


def _limit(request: dict[str, Any]) -> None:
    seconds = int(request["timeout"]) + _SPARE_S
    signal.setitimer(signal.ITIMER_REAL, seconds)  # Its default is to end the process.
    _die_with(request["parent"])
    cores = os.cpu_count() or 1
    # Memory of its own, and not a file's that is mapped: a large file takes none of it.
    resource.setrlimit(resource.RLIMIT_DATA, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds * cores, seconds * cores))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # It has nothing to write.


def _die_with(parent: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_KILLED_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # It ended before it could be said.
        os._exit(1)


if __name__ == "__main__":
    main()
