"""Tells sensord what a pandera schema finds wrong with a data frame, of pandas or polars.

    from sensord.hooks.pandera import report
    houses = report(SomeDFWithGeo, houses, job="houses")

Every check of every column is told, those that passed too, so that one that recovers is seen to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from rules.quality import MAX_ROWS, CheckResult, bounded_sample
from sensord.reporting import report_results

Frame = TypeVar("Frame")

_COLUMNS = ("column_in_dataframe", "column_in_schema", "column_ordered")
_BESIDE = 4  # So many cells of a wrong row are shown beside the wrong one.


def report(
    schema: Any,
    frame: Frame,
    *,
    job: str | None = None,
    subject: str = "",
    severity: str = "error",
    mask: Sequence[str] = (),
    raises: bool = False,
) -> Frame:
    """Validate `frame` lazily, report what its checks found, and return it untouched.

    `schema` is a DataFrameModel or a DataFrameSchema. `severity` is that of every check: `warn`, `error` or `block`.
    With `raises`, pandera's SchemaErrors is raised once it is reported. See `sensord.reporting.report_results` for
    where it goes, and for `job` and `mask`.
    """
    from pandera.errors import SchemaErrors

    error: SchemaErrors | None = None
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as found:
        error = found
    results = list(_results(_schema_of(schema), frame, _cases(error), subject, severity))
    report_results(results, job=job, mask=mask)
    if error is not None and raises:
        raise error
    return frame


def _schema_of(schema: Any) -> Any:
    return schema.to_schema() if hasattr(schema, "to_schema") else schema


def _cases(error: Any) -> list[dict[str, Any]]:
    """The failure cases, of either library, as rows."""
    if error is None:
        return []
    cases = error.failure_cases
    rows = cases.to_dict("records") if hasattr(cases, "iloc") else cases.to_dicts()
    return [{str(name): value for name, value in row.items()} for row in rows]


def _results(
    schema: Any, frame: Any, cases: Sequence[Mapping[str, Any]], subject: str, severity: str
) -> Iterator[CheckResult]:
    failed: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        failed.setdefault(_name(schema, case), []).append(case)
    rows = _length(frame)
    for name in dict.fromkeys([*_checks(schema), *failed]):
        told = failed.get(name)
        about = subject or str(schema.name or "")
        if told is None:
            metrics = {} if rows is None else {"failed": 0, "rows": rows}
            yield CheckResult(check=name, passed=True, subject=about, severity=severity, metrics=metrics)
        else:
            yield _failed(name, told, frame, rows, about, severity)


def _checks(schema: Any) -> Iterator[str]:
    """The names of all that a schema checks."""
    yield "columns"
    for name, column in schema.columns.items():
        if column.dtype is not None:
            yield f"{name}: dtype"
        if not column.nullable:
            yield f"{name}: not_nullable"
        if column.unique:
            yield f"{name}: unique"
        yield from (f"{name}: {check.error or check.name}"[:500] for check in column.checks)
    if schema.unique:
        yield "unique together"
    yield from (str(check.error or check.name)[:500] for check in schema.checks)


def _name(schema: Any, case: Mapping[str, Any]) -> str:
    """The name of the check that a failure case is of."""
    check, column = str(case.get("check")), str(case.get("column"))
    if check in _COLUMNS:
        return "columns"
    if check == "multiple_fields_uniqueness":
        return "unique together"
    if check.startswith(("dtype(", "coerce_dtype(")):
        return f"{column}: dtype"
    if check == "field_uniqueness":
        return f"{column}: unique"
    return f"{column}: {check}"[:500] if column in schema.columns else check[:500]


def _failed(
    name: str, cases: Sequence[Mapping[str, Any]], frame: Any, rows: int | None, subject: str, severity: str
) -> CheckResult:
    places = {case["index"] for case in cases if _is_place(case.get("index"))}
    metrics: dict[str, Any] = {"failed": len(places)} if places else {}
    if places and rows is not None:
        metrics["rows"] = rows
    many = f"{len(places):,} of {rows:,} rows" if "rows" in metrics else ""
    said = "" if places else ", ".join(dict.fromkeys(_words(name, case) for case in cases[:5]))
    return CheckResult(
        check=name,
        passed=False,
        subject=subject,
        severity=severity,
        detail=(many or said)[:2000],
        metrics=metrics,
        sample=bounded_sample(list(_rows(cases, frame))),
    )


def _words(name: str, case: Mapping[str, Any]) -> str:
    """What a case says that is no row's: a column's name, a type, or the error of a check that could not be made."""
    said = str(case.get("failure_case")).partition("\n")[0]
    if name == "columns":
        return f"{'new' if case.get('check') == 'column_in_schema' else 'missing'}: {said}"
    if name.endswith(": dtype"):
        return f"it is {said}"
    error = said.partition("(")[0]
    # The error's own text may quote values.
    return f"it could not be made: {error}" if error.isidentifier() and error != said else "it does not hold"


def _rows(cases: Sequence[Mapping[str, Any]], frame: Any) -> Iterator[dict[str, Any]]:
    """The first wrong rows: their place, the wrong cells, and a few cells beside them."""
    rows: dict[Any, dict[str, Any]] = {}
    for case in cases:
        place = case.get("index")
        if _is_place(place) and (place in rows or len(rows) < MAX_ROWS):
            rows.setdefault(place, {"row": place})[str(case.get("column"))] = _plain(case.get("failure_case"))
    for place, row in rows.items():
        beside = _beside(frame, place)
        more = {name: value for name, value in beside.items() if name not in row}
        yield row | dict(list(more.items())[:_BESIDE])


def _is_place(index: Any) -> bool:
    return index is not None and index == index  # noqa: PLR0124 - NaN is how pandas says that there is none


def _beside(frame: Any, place: Any) -> dict[str, Any]:
    """The row at that place, where it is the only one there."""
    if hasattr(frame, "iloc"):
        if not frame.index.is_unique or place not in frame.index:
            return {}
        return {str(name): _plain(value) for name, value in frame.loc[place].to_dict().items()}
    if hasattr(frame, "row") and isinstance(place, int) and 0 <= place < frame.height:
        return dict(frame.row(place, named=True))
    return {}


def _plain(value: Any) -> Any:
    """A cell as JSON knows it: no NaN, and numbers of numpy as Python's."""
    value = value.item() if hasattr(value, "item") and not isinstance(value, list) else value
    return None if value != value else value  # noqa: PLR0124


def _length(frame: Any) -> int | None:
    try:
        return len(frame)
    except TypeError:  # A lazy frame does not know yet.
        return None
