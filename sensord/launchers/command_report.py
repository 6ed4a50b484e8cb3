"""What a job said about itself: the JSON lines that it appended to the file named by SENSORD_REPORT.

Each line is an object with one or more of these keys:
`{"metadata": {…}}` is merged into the run's metadata, later lines winning;
`{"check": "no_nulls", "passed": false, "subject": "houses", "severity": "block", "detail": "3 nulls",
"metrics": {"failed": 3, "rows": 12}, "sample": [{…}]}` is a check's result; only `check` and `passed` are needed, and
without a severity it is `warn`;
`{"quality": …}` holds one such result or a list of them;
`{"progress": 0.4, "text": "houses"}` says how far it is, see `rules.living.read_progress`; told while it runs, and
kept nowhere;
`{"log": …, "level": "info"}` is kept in the metadata under `log`, the last 100 of them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct, field

from rules.living import Progress, read_progress
from rules.quality import CheckResult, read_result

MAX_BYTES = 1024 * 1024
MAX_LINES = 1000
PROGRESS = b'{"progress"'
TAIL_BYTES = 16 * 1024
_MAX_NOTES = 20
_MAX_LOGS = 100


class Report(Struct):
    """A report as far as it could be understood; `errors` says what could not."""

    metadata: dict[str, Any] = field(default_factory=dict)
    quality: list[CheckResult] = field(default_factory=list)
    logs: list[Any] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def note(self, error: str) -> None:
        """Keep the first few errors."""
        if len(self.errors) < _MAX_NOTES:
            self.errors.append(error)

    def as_metadata(self) -> dict[str, Any]:
        """The metadata, with the log events and the errors where there are any."""
        logs = {"log": self.logs[-_MAX_LOGS:]} if self.logs else {}
        errors = {"report_errors": self.errors} if self.errors else {}
        return self.metadata | logs | errors


def report_size(path: str | Path) -> int:
    """Bytes of the report; 0 where there is none."""
    try:
        return os.stat(path, follow_symlinks=False).st_size  # noqa: PTH116 - a third of the cost, once for each run
    except OSError:
        return 0


def read_report(path: Path) -> Report:
    """Read and bound a report: 1 MiB, 1,000 lines, samples of 20 rows, 50 columns, 500 characters. Never raises."""
    report = Report()
    try:
        data = _read(path)
    except FileNotFoundError:
        return report
    except OSError as error:
        report.note(f"the report cannot be read: {error.strerror}")
        return report
    if len(data) > MAX_BYTES:
        data = data[: data.rfind(b"\n", 0, MAX_BYTES) + 1]
        report.note(f"only the first {MAX_BYTES} bytes of the report were read")
    lines = data.splitlines()
    # However often a job says how far it is, there is room for what else it says.
    others = sum(not line.startswith(PROGRESS) for line in lines)
    if others > MAX_LINES:
        report.note(f"only the first {MAX_LINES} of {others} lines of the report were read")
    room = MAX_LINES
    for number, line in enumerate(lines, 1):
        room -= not line.startswith(PROGRESS)
        if room < 0:
            break
        if line.strip():
            try:
                _take(report, orjson.loads(line))
            except (ValueError, RecursionError) as error:
                report.note(f"line {number}: {error}")
    return report


def last_progress(path: Path) -> Progress | None:
    """How far the job says it is by now: the last whole line of its kind near the report's end. Never raises."""
    try:
        data = _read(path, tail=TAIL_BYTES)
    except OSError:
        return None
    for line in reversed(data[: data.rfind(b"\n") + 1].splitlines()):
        if b'"progress"' in line:
            try:
                return read_progress(orjson.loads(line))
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue  # Once the run has ended, its metadata says what was wrong.
    return None


def _read(path: Path, tail: int | None = None) -> bytes:
    # A job may put anything there: a pipe must not block us, nor a link lead us to another file.
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(file, "rb") as opened:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(0, "it is not a regular file")
        if tail is not None:
            opened.seek(max(0, os.fstat(file).st_size - tail))
            return opened.read(tail)
        return opened.read(MAX_BYTES + 1)


def _take(report: Report, line: Any) -> None:
    if isinstance(line, dict) and "check" in line:
        report.quality.append(read_result(line))
        return
    if isinstance(line, dict) and "progress" in line and line.keys() <= {"progress", "text"}:
        read_progress(line)
        return
    if not isinstance(line, dict) or not line.keys() <= {"metadata", "quality", "log", "level"} or not line:
        raise ValueError('it is not an object with the keys "metadata", "check", "quality", "progress" or "log"')
    metadata = line.get("metadata", {})
    if not isinstance(metadata, dict):
        raise ValueError("metadata is not an object")  # noqa: TRY004 - one kind of error, noted by the caller
    report.metadata.update(metadata)
    quality = line.get("quality", [])
    for result in quality if isinstance(quality, list) else [quality]:
        report.quality.append(read_result(result))
    if "log" in line:
        level = line.get("level")
        report.logs.append(line["log"] if level is None else {"level": level, "log": line["log"]})
