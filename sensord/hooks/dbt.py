"""What dbt's tests found, and what it could not build: `run_results.json`, as dbt-core 1.10 writes it (schema v6).

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
_BUILT = ("model.", "seed.", "snapshot.")
_BUILDS = {"success": True, "error": False, "partial success": False}
BUILD = "build"
"""The check of each model, seed and snapshot; its subject and its series are the model's name."""


def report(
    path: str | Path = "target/run_results.json", *, job: str | None = None, mask: Sequence[str] = ()
) -> list[CheckResult]:
    """Report every test that ran and every model that was built, or was not; return what was reported.

    What failed comes first: where there are more results than are told, none of it is left out for what passed.
    ValueError where the file is no run_results.json.
    """
    try:
        document = json.loads(Path(path).read_bytes())
    except ValueError:
        raise ValueError(f"{path} is not JSON; give dbt's target/run_results.json") from None
    found = sorted(results_of(document, str(path)), key=lambda one: (one.passed, one.check == BUILD))
    report_results(found, job=job, mask=mask)
    return found


def results_of(document: Any, path: str = "the document") -> Iterator[CheckResult]:
    """The results of tests and builds in a `run_results.json`; what was skipped is none. ValueError: it is not one."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or "run-results" not in str(metadata.get("dbt_schema_version")):
        raise ValueError(f"{path} is not dbt's run_results.json: it has no dbt_schema_version of one")
    if not isinstance(results, list):
        raise ValueError(f"{path} has no list of results")  # noqa: TRY004 - one kind of error
    for one in results:
        if not isinstance(one, dict) or not isinstance(status := one.get("status"), str):
            continue
        if str(one.get("unique_id")).startswith(_TESTS) and status in _STATUSES:
            yield _result(one)
        elif str(one.get("unique_id")).startswith(_BUILT) and status in _BUILDS:
            yield _build(one, passed=_BUILDS[status])


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


def _build(one: Mapping[str, Any], *, passed: bool) -> CheckResult:
    _, _, rest = str(one["unique_id"]).partition(".")
    name = (rest.partition(".")[2] or rest)[:500]  # model.PROJECT.NAME, or NAME.v2
    said = "" if passed else str(one.get("message") or "").strip()[:2000]
    return CheckResult(check=BUILD, passed=passed, subject=name, series=name, severity="error", detail=said)
