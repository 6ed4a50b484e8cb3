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
    sys.stdout.write(json.dumps(_fetched(request) if "fetch" in request else _examined(request)))
    sys.stdout.flush()
    os._exit(0)  # Threads of the library are not waited for.


def _examined(request: dict[str, Any]) -> Any:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # It has nothing (more) to write.
    from sensord.checks.frames import examine  # Loads the data-frame library, which is to be within the limits.

    return examine(request)


def _fetched(request: dict[str, Any]) -> Any:
    """The answer of what is fetched first; `delay` or `region` where it has to be asked for again."""
    from rules.checks import READABLE
    from sensord.checks.fetching import DelayedError, MovedError, UnfetchedError, fetch

    try:
        descriptor = fetch(request["fetch"])
    except DelayedError as error:
        return {"delay": str(error)}
    except MovedError as error:
        return {"region": str(error)}
    except UnfetchedError as error:
        wrong = {"check": READABLE, "passed": False, "severity": request["readable"], "detail": str(error)}
        return {"results": [wrong]}
    return _examined({**request, "path": f"/proc/self/fd/{descriptor}"})


def _limit(request: dict[str, Any]) -> None:
    seconds = int(request["timeout"]) + _SPARE_S
    signal.setitimer(signal.ITIMER_REAL, seconds)  # Its default is to end the process.
    _die_with(request["parent"])
    cores = os.cpu_count() or 1
    # Memory of its own, and not a file's that is mapped: a large file takes none of it.
    resource.setrlimit(resource.RLIMIT_DATA, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds * cores, seconds * cores))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = request["fetch"]["most"] if "fetch" in request else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def _die_with(parent: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_KILLED_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # It ended before it could be said.
        os._exit(1)


if __name__ == "__main__":
    main()
