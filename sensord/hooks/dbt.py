"""What dbt's tests found: `run_results.json`, as dbt-core 1.10 writes it (its schema v6).

    from sensord.hooks.dbt import report
    report("target/run_results.json", job="houses")

or, after `dbt build` or `dbt test` in a shell: `sensord report dbt target/run_results.json --job houses`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rules.quality import CheckResult
from sensord.reporting import report_results

_TESTS = ("test.", "unit_test.")
_STATUSES = {"pass": (True, "error"), "warn": (False, "warn"), "fail": (False, "error"), "error": (False, "error")}


def report(
    path: str | Path = "target/run_results.json", *, job: str | None = None, mask: Sequence[str] = ()
) -> list[CheckResult]:
    """Report every test that ran, and return what was reported. ValueError where the file is no run_results.json."""
    try:
        document = json.loads(Path(path).read_bytes())
    except ValueError:
        raise ValueError(f"{path} is not JSON; give dbt's target/run_results.json") from None
    found = list(results_of(document, str(path)))
    report_results(found, job=job, mask=mask)
    return found


def results_of(document: Any, path: str = "the document") -> Iterator[CheckResult]:
    """The results of the tests in a `run_results.json`; what was skipped is none. ValueError where it is not one."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or "run-results" not in str(metadata.get("dbt_schema_version")):
        raise ValueError(f"{path} is not dbt's run_results.json: it has no dbt_schema_version of one")
    if not isinstance(results, list):
        raise ValueError(f"{path} has no list of results")  # noqa: TRY004 - one kind of error
    for one in results:
        if isinstance(one, dict) and str(one.get("unique_id")).startswith(_TESTS) and one.get("status") in _STATUSES:
            yield _result(one)


def _result(one: Mapping[str, Any]) -> CheckResult:
    kind, _, rest = str(one["unique_id"]).partition(".")
    parts = rest.split(".")
    # test.PROJECT.NAME.HASH; unit_test.PROJECT.MODEL.NAME
    name = ".".join(parts[1:]) if kind == "unit_test" or len(parts) < 3 else ".".join(parts[1:-1])  # noqa: PLR2004
    passed, severity = _STATUSES[one["status"]]
    failures = one.get("failures")
    said = str(one.get("message") or "").strip()
    return CheckResult(
        check=(name or rest)[:500],
        passed=passed,
        severity=severity,
        detail="" if passed else said[:2000],
        metrics={"failed": failures} if isinstance(failures, int) else {},
    )
