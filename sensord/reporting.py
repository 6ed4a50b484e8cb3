"""Tells sensord what checks found, from any program: inside a run by its report, elsewhere over HTTP.

Standard library only, but for what a result itself holds. Nothing here ever breaks the program that reports.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Sequence

from rules.quality import SEVERITIES, CheckResult, apart, masked
from sensord.submit import submit_event

log = logging.getLogger("sensord.reporting")

MAX_RESULTS = 500
_NO_TOKEN = re.compile(r"[^A-Za-z0-9_-]")


def report_results(results: Iterable[CheckResult], *, job: str | None = None, mask: Sequence[str] = ()) -> None:
    """Report results of checks: to the run's report where this program is one (`$SENSORD_REPORT`), else as events.

    Events are published on `quality.<job>.<passed|failed>`; without a `job` it is `$SENSORD_JOB`, else `checks`.
    Values of columns that fit a glob of `mask`, or of `$SENSORD_MASK` (globs with commas between them), are left out
    here already. At most 500 results are told.
    """
    masks = [*mask, *filter(None, os.environ.get("SENSORD_MASK", "").split(","))]
    told = [masked(one, masks) for one in apart(list(results)[:MAX_RESULTS])]
    if path := os.environ.get("SENSORD_REPORT"):
        _append(path, told)
        return
    name = _NO_TOKEN.sub("_", job or os.environ.get("SENSORD_JOB") or "checks")[:100]
    for one in told:
        what = "passed" if one.passed else "failed"
        detail = f": {one.detail}" if one.detail else ""
        severity = "info" if one.passed else SEVERITIES[one.severity].name
        message = f"{name}: check {one.check} {what}{detail}"
        topic = f"quality.{name}.{what}"
        submit_event(topic, message, severity=severity, data=as_json(one), event_type=f"quality.{what}")


def as_json(result: CheckResult) -> dict[str, object]:
    """A result as reports and events have it."""
    shown: dict[str, object] = {
        "check": result.check,
        "passed": result.passed,
        "subject": result.subject,
        "severity": result.severity,
        "detail": result.detail,
        "metrics": dict(result.metrics),
        "sample": [dict(row) for row in result.sample],
    }
    return shown | ({"series": result.series} if result.series else {})


def _append(path: str, results: Sequence[CheckResult]) -> None:
    lines = "".join(json.dumps(as_json(one), default=str) + "\n" for one in results)
    try:
        with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to import
            file.write(lines)
    except OSError as error:
        log.warning("sensord: the report %s cannot be written: %s", path, error.strerror)
