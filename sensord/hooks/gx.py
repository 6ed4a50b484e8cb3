"""What Great Expectations found: a validation result, or a checkpoint's, as version 1.24 writes them in JSON.

    from sensord.hooks.gx import report
    report(validation_definition.run().to_json_dict(), job="houses")
    report("checkpoint.json")                      # what `checkpoint.run().describe()` gave

or in a shell: `sensord report gx validation.json --job houses`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rules.quality import MAX_ROWS, CheckResult, bounded_sample
from sensord.reporting import report_results

_SEVERITIES = {"info": "warn", "warning": "warn"}
_UNTOLD = ("column", "batch_id", "value_set", "column_list", "column_A", "column_B")
_FIGURES = ("unexpected_percent", "missing_count", "observed_value")


def report(
    result: str | Path | Mapping[str, Any], *, job: str | None = None, mask: Sequence[str] = ()
) -> list[CheckResult]:
    """Report every expectation of a file or a result, and return what was reported. ValueError where it is neither."""
    document: Any = result
    if isinstance(result, str | Path):
        try:
            document = json.loads(Path(result).read_bytes())
        except ValueError:
            raise ValueError(f"{result} is not JSON; give a validation result of Great Expectations") from None
    found = list(results_of(document))
    report_results(found, job=job, mask=mask)
    return found


def results_of(document: Any) -> Iterator[CheckResult]:
    """The results of the expectations of a validation, or of all validations of a checkpoint. ValueError: neither."""
    if not isinstance(document, dict):
        raise ValueError("it is no validation result of Great Expectations: not an object")  # noqa: TRY004
    validations = document.get("validation_results")
    if isinstance(validations, list):
        for one in validations:
            yield from results_of(one)
        return
    results = document.get("results", document.get("expectations"))
    if not isinstance(results, list) or not isinstance(document.get("statistics"), dict):
        raise ValueError("it is no validation result of Great Expectations: it has no results and statistics")  # noqa: TRY004
    subject = _subject(document)
    yield from (
        _result(one, subject) for one in results if isinstance(one, dict) and isinstance(one.get("success"), bool)
    )


def _subject(document: Mapping[str, Any]) -> str:
    meta = _mapping(document.get("meta"))
    asset = _mapping(meta.get("active_batch_definition")).get("data_asset_name")
    return str(document.get("asset_name") or asset or document.get("suite_name") or "")[:500]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _result(one: Mapping[str, Any], subject: str) -> CheckResult:
    config, result = _mapping(one.get("expectation_config")), _mapping(one.get("result"))
    kwargs = _mapping(config.get("kwargs") or one.get("kwargs"))
    kind = str(config.get("type") or one.get("expectation_type") or "expectation").removeprefix("expect_")
    column = kwargs.get("column")
    figures = {name: result[name] for name in _FIGURES if isinstance(result.get(name), int | float)}
    rows, failed = result.get("element_count"), result.get("unexpected_count")
    counted = {"failed": failed, "rows": rows} if isinstance(failed, int) and isinstance(rows, int) else {}
    passed = bool(one["success"])
    return CheckResult(
        check=(f"{kind}({column})" if column else kind)[:500],
        passed=passed,
        subject=subject,
        severity=_SEVERITIES.get(str(config.get("severity")), "error"),
        detail="" if passed else _detail(one, kwargs, counted),
        metrics={**counted, **figures},
        sample=() if passed else _sample(result, str(column or "value")),
    )


def _detail(one: Mapping[str, Any], kwargs: Mapping[str, Any], counted: Mapping[str, int]) -> str:
    """What was expected, and how many rows are otherwise; the values themselves are in the sample."""
    wanted = ", ".join(f"{name} {value}" for name, value in kwargs.items() if name not in _UNTOLD)
    raised = _raised(one.get("exception_info"))
    many = f"{counted['failed']:,} of {counted['rows']:,} rows are otherwise" if counted else ""
    said = [many, f"expected {wanted}" if wanted else "", raised]
    return "; ".join(filter(None, said))[:2000] or "it does not hold"


def _raised(info: Any) -> str:
    """The message of an expectation that could not be evaluated: of one, or of the first of several metrics."""
    for one in map(_mapping, (info, *_mapping(info).values())):
        message = one.get("exception_message")
        if one.get("raised_exception") and isinstance(message, str):
            return f"it could not be evaluated: {message}".partition("\n")[0]
    return ""


def _sample(result: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    values, places = result.get("partial_unexpected_list"), result.get("partial_unexpected_index_list")
    values = values[:MAX_ROWS] if isinstance(values, list) else []
    rows = [value if isinstance(value, dict) else {column: value} for value in values]
    if isinstance(places, list) and len(places) >= len(rows):
        rows = [{"row": place} | row for place, row in zip(places, rows, strict=False)]
    return bounded_sample(rows)
