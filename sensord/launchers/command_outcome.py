"""From what the supervisor knows of an ended attempt, and what the job reported, to its outcome."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import anyio.to_thread

from notifiers.clock import from_us
from sensord.launchers import Ending, Outcome, judged
from sensord.launchers.command_log import last_line
from sensord.launchers.command_report import Report, read_report, report_size

_INLINE = 16 * 1024  # Bytes of a report that are read at once; more goes to a thread, off the loop.


async def outcome_of(state: dict[str, Any], path: str, allowed: float | None) -> Outcome:
    """The outcome of an ended attempt whose files' paths begin with `path`. Whatever is unknown is `lost`.

    `allowed` is the job's timeout in seconds.
    """
    report = await _report(f"{path}.report.jsonl") if state["started"] is not None else Report()
    status, error = _ending(state, path, allowed)
    code = {} if state["code"] is None else {"exit_code": state["code"]}
    outcome = Outcome(
        status=status,
        ended_at=from_us(state["ended"]),
        started_at=None if state["started"] is None else from_us(state["started"]),
        error=error,
        metadata=report.as_metadata() | code,
        quality=tuple(report.quality),
    )
    return judged(outcome)


def _ending(state: dict[str, Any], path: str, timeout: float | None) -> tuple[Ending, str]:
    code: int | None = state["code"]
    match state["why"]:
        case "refused":
            return "failed", state["text"]
        case "cancelled":
            return "cancelled", "cancelled"
        case "timeout":
            return "failed", f"timed out after {_duration(timeout)}" if timeout else "timed out"
        case "" if code == 0:
            return "succeeded", ""
        case "" if code is not None:
            said = last_line(Path(f"{path}.log"))
            return "failed", f"{_exit(code)}: {said}" if said else _exit(code)
    return "lost", state["text"] or "the exit code is unknown"


def _exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _duration(seconds: float) -> str:
    """As it is written in the configuration: 1800.0 → 30m."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"


async def _report(path: str) -> Report:
    size = report_size(path)
    if size == 0:
        return Report()
    if size <= _INLINE:
        return read_report(Path(path))
    return await anyio.to_thread.run_sync(read_report, Path(path))
