"""The process of a Python job: started for one run, or before it is needed; it calls the function once, and ends.

One that waits has imported the function's module. When it is given its run it looks whether a file that it imported
has changed since (the job's own, and what is installed): then, and where the import failed, it starts over, as the
same process, so that a run never sees what was there yesterday.

It runs in the job's process: only the standard library is imported, and the file beside it, not as of our package,
whose import would take as long again.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from sensord.launchers import python_call
else:
    import python_call

SPEC, WAITS = "SENSORD_PYTHON", "SENSORD_PYTHON_WAITS"
FAILED, REFUSED = 1, 2
_LINK = 3
_LONGEST = 1 << 20
_GRAIN_NS = 20_000_000
"""By so much at most a file's time is behind the clock: the kernel takes the last tick's."""


def main() -> None:
    """Be the process of one run."""
    text = os.environ.pop(SPEC)
    waits = os.environ.pop(WAITS, "") == "1"
    spec: dict[str, Any] = json.loads(text)
    sys.argv = [spec["function"]]
    sys.path.insert(0, spec["path"])
    began = time.time_ns() - _GRAIN_NS
    found: python_call.Found | BaseException
    try:
        found = python_call.Found(spec)
    except BaseException as error:  # noqa: BLE001 - whatever a module does when it is imported
        found = error
    if waits:
        before = seen()
        gc.collect()
        gc.freeze()
        _become()
        os.environ.pop(SPEC, None)
        # What was written while it was imported may have been read before that.
        changed = any(one is not None and one[0] >= began for one in before.values()) or before != seen(before)
        if isinstance(found, BaseException) or changed:
            _start_over(text)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(_run(found))


def _become() -> None:
    """Wait for the run, and take its environment and its log."""
    with socket.socket(fileno=_LINK) as link:
        try:
            data, fds, _, _ = socket.recv_fds(link, _LONGEST, 1)
        except OSError:
            data, fds = b"", []
        if not data:
            os._exit(0)  # Nobody wants us any more.
    sys.stdout.flush()
    sys.stderr.flush()
    for number in (1, 2):
        os.dup2(fds[0], number)
    os.close(fds[0])
    os.environ.update(json.loads(data)["env"])


def seen(before: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the imported code was read from: the job's own files, and the folders of what is installed."""
    if before is None:
        homes = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]))
        files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        paths = [one for one in files if one and not one.startswith(homes)]
        paths += [one for one in sys.path if one.endswith("-packages")]
    else:
        paths = list(before)
    return {path: _version(path) for path in paths}


def _version(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - a third of the cost, and there may be many
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _start_over(spec: str) -> NoReturn:
    """The same process, with everything imported anew."""
    argv = sys.orig_argv
    os.execve(sys.executable, [sys.executable, *argv[1:]], {**os.environ, SPEC: spec})  # noqa: S606


def _run(found: python_call.Found | BaseException) -> int:
    try:
        result = _called(found)
    except python_call.NotCallableError as error:
        sys.stderr.write(f"{error}\n")
        _report({"refused": str(error)})
        return REFUSED
    except Exception as error:  # noqa: BLE001 - this is what tells of it
        traceback.print_exception(error.with_traceback(_own(error)))
        _report(python_call.told(error))
        return FAILED
    _report(python_call.metadata_of(result))
    return 0


def _called(found: python_call.Found | BaseException) -> Any:
    if isinstance(found, BaseException):
        raise found
    config = json.loads(Path(os.environ["SENSORD_RUN_CONFIG"]).read_bytes())
    arguments = found.arguments(config)
    signal.signal(signal.SIGTERM, _end)
    return found.call(arguments)


def _own(error: BaseException) -> Any:
    """The traceback from the first frame on that is not ours."""
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename in (__file__, python_call.__file__):
        step = step.tb_next
    return step


def _end(_number: int, _frame: Any) -> None:
    """Once: leave the function, and close what it had open."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + signal.SIGTERM)


def _report(metadata: dict[str, Any]) -> None:
    if metadata:
        with Path(os.environ["SENSORD_REPORT"]).open("a", encoding="utf-8") as report:
            report.write(json.dumps({"metadata": metadata}) + "\n")


if __name__ == "__main__":
    main()
