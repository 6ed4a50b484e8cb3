"""Starts the process that checks a file, and makes an answer of whatever becomes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream

_ROOT = Path(__file__).parents[2]
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from sensord.checks.program import main; main()"
_LONGEST = 4 << 20  # Bytes of an answer: 200 checks with five rows each have less.
_COMPLAINT = 4096
_THREADS = 4


class CheckingError(Exception):
    """The process came to no answer; the text says why, for a person."""


async def ask(request: Mapping[str, Any]) -> Any:
    """The answer of a process of its own to this request; see `sensord.checks.frames.examine`.

    It is ended with everything that it started when its time is over, and where this call is cancelled. CheckingError
    says what became of one that gave no answer.
    """
    seconds: float = request["timeout"]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "POLARS_MAX_THREADS": str(min(_THREADS, os.cpu_count() or 1)),
        "RUST_BACKTRACE": "0",
    }
    argv = [sys.executable, "-I", "-c", _PROGRAM, str(_ROOT)]
    with anyio.CancelScope(shield=True):  # Cancelled half-way, it would be nobody's.
        process = await anyio.open_process(
            argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd="/", start_new_session=True
        )
    said, complained = bytearray(), bytearray()
    try:
        with anyio.move_on_after(seconds) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_gather, process.stdout, said, _LONGEST)
                group.start_soon(_gather, process.stderr, complained, _COMPLAINT)
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # It ended; its code says how.
                    assert process.stdin is not None  # noqa: S101 - it is a pipe, as was asked for
                    await process.stdin.send(json.dumps({**request, "parent": os.getpid()}).encode())
                    await process.stdin.aclose()
            await process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.aclose()
    if scope.cancelled_caught:
        raise CheckingError(f"checking it takes longer than {_seconds(seconds)}")
    return _answer(process.returncode, bytes(said), complained.decode(errors="replace"), request)


async def _gather(stream: ByteReceiveStream | None, into: bytearray, most: int) -> None:
    """All that comes, of which `most` bytes are kept."""
    assert stream is not None  # noqa: S101 - it is a pipe, as was asked for
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for piece in stream:
            into += piece[: max(0, most - len(into))]


def _answer(code: int | None, said: bytes, complained: str, request: Mapping[str, Any]) -> Any:
    out_of_memory = "memory allocation of" in complained or "MemoryError" in complained
    if code != 0 and out_of_memory:
        raise CheckingError(f"checking it takes more than {request['memory'] >> 20} MiB of memory")
    if code != 0 and "No module named 'polars'" in complained:
        raise CheckingError("checks need polars: pip install 'sensord[checks]'")
    if code is None or code < 0:
        name = "an unknown signal" if code is None else signal.Signals(-code).name
        raise CheckingError(f"the process that checked it was ended by {name}")
    try:
        return json.loads(said)
    except ValueError:
        raise CheckingError(f"the process that checked it ended with exit code {code}") from None


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.0f}m" if seconds >= 60 and seconds % 60 == 0 else f"{seconds:g}s"  # noqa: PLR2004
