"""Check results of data, and what they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from rules.event import Severity

MAX_ROWS, MAX_COLUMNS, MAX_CELL = 20, 50, 500
MAX_DETAIL = 2000
MASK: Final = "***"

SEVERITIES = {"warn": Severity.warning, "error": Severity.error, "block": Severity.critical}
_VALUES = frozenset({"value", "failure_case", "unexpected"})
"""In a row that names a `column`, the cells that hold a value of that column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check of one subject (a file, a table, a column).

    `severity` says what a failure means: `warn` tells, `error` fails the run as well, `block` also holds the sensors
    that follow the run. `metrics` counts: `failed` of `rows`, where rows were counted. `sample` is a few of the
    offending rows, bounded as `read_result` bounds them. `series` tells results of one check apart that are of
    several things at the same time (two tables), so that each has a history of its own.
    """

    check: str
    passed: bool
    subject: str = ""
    severity: str = "warn"
    detail: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sample: Sequence[Mapping[str, Any]] = ()
    series: str = ""


def read_result(value: Any) -> CheckResult:
    """A result as JSON has it: only `check` and `passed` are needed. ValueError says what is wrong with it.

    It is bounded: 20 rows of a sample, 50 columns, 500 characters a cell or name, 2,000 of the detail.
    """
    if not isinstance(value, dict):
        raise ValueError("a quality result is not an object")  # noqa: TRY004 - one kind of error, noted by the caller
    check, passed = value.get("check"), value.get("passed")
    if not isinstance(check, str) or not check or not isinstance(passed, bool):
        raise ValueError('a quality result needs "check" (its name) and "passed" (true or false)')
    severity = value.get("severity", "warn")
    if not isinstance(severity, str) or severity not in SEVERITIES:
        raise ValueError(f"the severity of check {check[:MAX_CELL]!r} is none of {', '.join(SEVERITIES)}")
    sample, metrics = value.get("sample", []), value.get("metrics", {})
    if not isinstance(metrics, dict) or not isinstance(sample, list):
        raise ValueError(f"check {check[:MAX_CELL]!r}: metrics is an object, and sample a list of rows")  # noqa: TRY004
    return CheckResult(
        check=check[:MAX_CELL],
        passed=passed,
        subject=str(value.get("subject", ""))[:MAX_CELL],
        severity=severity,
        detail=str(value.get("detail", ""))[:MAX_DETAIL],
        metrics=bounded_row(metrics),
        sample=bounded_sample(sample),
        series=str(value.get("series", ""))[:MAX_CELL],
    )


def bounded_sample(sample: Sequence[Any]) -> list[dict[str, Any]]:
    """The first rows, each bounded; what is no row becomes one with a `value`."""
    return [bounded_row(row if isinstance(row, dict) else {"value": row}) for row in sample[:MAX_ROWS]]


def bounded_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The first cells of a row, each at most so long. What is neither text nor a number becomes text."""
    return {str(name)[:MAX_CELL]: _cell(value) for name, value in list(row.items())[:MAX_COLUMNS]}


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 1 << 63:  # Neither what is not finite nor what JSON cannot hold.
        return value
    text = value if isinstance(value, str) else _json(value)
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def _json(value: Any) -> str:
    import orjson  # Hooks and the process that checks read this file too, and most cells are text or numbers.

    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError, RecursionError):
        return f"({type(value).__name__})"


def is_masked(column: str, masks: Iterable[str]) -> bool:
    """Whether a column's values are not to be shown: its name fits one of the globs, whatever its case."""
    return any(fnmatchcase(column.lower(), mask.lower()) for mask in masks)


def masked(result: CheckResult, masks: Sequence[str]) -> CheckResult:
    """The result without the values of masked columns."""
    if not masks or not (result.sample or result.metrics):
        return result
    sample = masked_sample(result.sample, masks)
    return replace(result, sample=sample, metrics=masked_row(result.metrics, masks))


def masked_sample(sample: Iterable[Mapping[str, Any]], masks: Sequence[str]) -> list[dict[str, Any]]:
    """Rows without the values of masked columns."""
    return [masked_row(row, masks) for row in sample]


def masked_row(row: Mapping[str, Any], masks: Sequence[str]) -> dict[str, Any]:
    """One row without the values of masked columns."""
    named = row.get("column")
    hides = isinstance(named, str) and is_masked(named, masks)
    return {
        name: MASK if value is not None and (is_masked(name, masks) or (hides and name in _VALUES)) else value
        for name, value in row.items()
    }


def apart(results: Sequence[CheckResult]) -> list[CheckResult]:
    """The results of one run, where each has a history of its own: one check of several subjects is several."""
    subjects: dict[str, set[str]] = {}
    for result in results:
        subjects.setdefault(result.check, set()).add(result.subject)
    several = {check for check, named in subjects.items() if len(named) > 1}
    return [replace(one, series=one.subject) if one.check in several and not one.series else one for one in results]


def failing(results: Iterable[CheckResult]) -> CheckResult | None:
    """The first of the worst results that fail a run that else succeeded; None where it may succeed."""
    bad = [one for one in results if not one.passed and one.severity != "warn"]
    return max(bad, key=lambda one: SEVERITIES[one.severity], default=None)


def why_failed(result: CheckResult) -> str:
    """One line: what is wrong with the data."""
    return f"check {result.check} failed" + (f": {result.detail.partition(chr(10))[0]}" if result.detail else "")
