"""What pandera, dbt and Great Expectations find, as results of ours. The documents are real ones.

`dbt_run_results.json` is of dbt-core 1.10.23 on DuckDB, the `gx_…` ones of Great Expectations 1.24.1; tracebacks and
compiled SQL were left out of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pandera.polars as pap
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors
from pandera.typing import Series

from rules.quality import CheckResult
from sensord.hooks import dbt, gx
from sensord.hooks.pandera import report
from sensord.launchers.command_report import read_report

FILES = Path(__file__).parents[1] / "quality_files"


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The report of the run that this process is for now."""
    path = tmp_path / "report.jsonl"
    monkeypatch.setenv("SENSORD_REPORT", str(path))
    return path


def told(path: Path) -> dict[str, CheckResult]:
    report = read_report(path)
    assert not report.errors
    return {one.check: one for one in report.quality}


def test_every_test_of_dbt_is_a_check(reported: Path) -> None:
    dbt.report(FILES / "dbt_run_results.json")
    tests = {name: one for name, one in told(reported).items() if name != dbt.BUILD}
    assert {name: (one.passed, one.severity, one.detail, one.metrics) for name, one in tests.items()} == {
        "accepted_values_houses_kind__a__b": (
            False,
            "error",
            "Got 1 result, configured to fail if != 0",
            {"failed": 1},
        ),
        "not_null_houses_name": (False, "error", "Got 1 result, configured to fail if != 0", {"failed": 1}),
        "not_null_houses_traffic": (True, "error", "", {"failed": 0}),
        "unique_houses_name": (False, "warn", "Got 1 result, configured to warn if != 0", {"failed": 1}),
    }


def test_every_model_of_dbt_is_a_check_of_its_own_and_what_failed_comes_first(tmp_path: Path, reported: Path) -> None:
    document = json.loads((FILES / "dbt_run_results.json").read_text())
    broken = "Runtime Error in model broken (models/broken.sql)\n  Binder Error: no column named x"
    of_the_other_run = {"model.houses.broken": ("error", broken), "model.houses.houses": ("partial success", None)}
    for one in document["results"]:
        one["status"], one["message"] = of_the_other_run.get(one["unique_id"], (one["status"], one["message"]))
    document["results"] += [{"unique_id": "model.houses.wide.v2", "status": "success"}]
    document["results"] += [{"unique_id": "operation.houses.hook", "status": "error"}]
    (tmp_path / "run_results.json").write_text(json.dumps(document))
    found = dbt.report(tmp_path / "run_results.json")
    builds = [(one.subject, one.series, one.passed, one.severity, one.detail) for one in found if one.check == "build"]
    assert builds == [
        ("houses", "houses", False, "error", ""),
        ("broken", "broken", False, "error", broken),
        ("raw", "raw", True, "error", ""),
        ("wide.v2", "wide.v2", True, "error", ""),
    ]
    assert [one.passed for one in found] == sorted(one.passed for one in found)
    assert [(one.subject, one.passed) for one in read_report(reported).quality if one.check == "build"] == [
        (subject, passed) for subject, _, passed, _, _ in builds
    ]


def test_a_model_that_was_skipped_says_nothing() -> None:
    found = list(dbt.results_of(json.loads((FILES / "dbt_run_results.json").read_text())))
    assert [(one.subject, one.passed) for one in found if one.check == "build"] == [("raw", True), ("houses", True)]


@pytest.mark.parametrize("document", ["gx_validation.json", "gx_checkpoint.json"])
def test_every_expectation_is_a_check_with_its_rows(reported: Path, document: str) -> None:
    gx.report(FILES / document, mask=["kind"])
    found = told(reported)
    assert {name for name, one in found.items() if one.passed} == {"table_row_count_to_be_between"}
    nulls = found["column_values_to_not_be_null(name)"]
    assert (nulls.metrics["failed"], nulls.metrics["rows"]) == (1, 4)
    between = found["column_values_to_be_between(traffic)"]
    assert between.detail == "1 of 4 rows are otherwise; expected min_value 0.0"
    assert between.sample[0]["row"] == 2
    assert between.sample[0]["traffic"] == -3
    in_set = found["column_values_to_be_in_set(kind)"]
    assert in_set.sample[0]["kind"] == "***"
    assert "zz" not in reported.read_text()
    if document == "gx_validation.json":
        assert (in_set.severity, between.severity, between.subject) == ("warn", "error", "houses")
        assert "could not be evaluated" in found["column_values_to_not_be_null(missing)"].detail


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": []}', '{"metadata": {}, "results": []}', "7"])
def test_a_document_of_another_kind_is_refused_with_what_to_give(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"run_results\.json"):
        dbt.report(path)
    with pytest.raises(ValueError, match="validation result"):
        gx.report(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=40)
@given(st.data())
def test_documents_that_are_damaged_anywhere_are_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["gx_validation.json", "gx_checkpoint.json", "dbt_run_results.json"]))
    document = json.loads((FILES / name).read_text())
    holder: Any = document
    for _ in range(data.draw(st.integers(0, 6))):
        keys = (
            list(holder) if isinstance(holder, dict) else list(range(len(holder))) if isinstance(holder, list) else []
        )
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(holder[key], dict | list):
            holder[key] = data.draw(json_values)
            break
        holder = holder[key]
    try:
        found = list((dbt if name.startswith("dbt") else gx).results_of(document))
    except ValueError:
        return
    assert all(one.check for one in found)


HOUSES = {"name": ["mill", None, "farm", "mill"], "traffic": [120, -5, -3, 120], "kind": ["a", "b", "zz", "a"]}


class OfPandas(pa.DataFrameModel):
    name: Series[str] = pa.Field(description="POI name")
    traffic: Series[int] = pa.Field(ge=0, nullable=False, unique=True, description="Traffic nearby")
    kind: Series[str] = pa.Field(isin=["a", "b"])

    class Config:
        strict = True


class OfPolars(pap.DataFrameModel):
    name: str
    traffic: int = pap.Field(ge=0, unique=True)
    kind: str = pap.Field(isin=["a", "b"])

    class Config:
        strict = True


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_s_wrong_rows_are_told_by_column_and_check_and_it_comes_back_untouched(
    reported: Path, library: str
) -> None:
    frame: Any = pd.DataFrame(HOUSES) if library == "pandas" else pl.DataFrame(HOUSES)
    model: Any = OfPandas if library == "pandas" else OfPolars
    assert report(model, frame, mask=["name"]) is frame
    found = told(reported)
    failed = {name: one.metrics for name, one in found.items() if not one.passed}
    isin = next(name for name in found if name.startswith("kind: isin"))
    assert failed == {
        "name: not_nullable": {"failed": 1, "rows": 4},
        "traffic: unique": {"failed": 2, "rows": 4},
        "traffic: greater_than_or_equal_to(0)": {"failed": 2, "rows": 4},
        isin: {"failed": 1, "rows": 4},
    }
    assert found["columns"].passed
    assert found["traffic: dtype"].passed
    assert all(one.subject == model.__name__ and one.severity == "error" for one in found.values())
    rows = found["traffic: greater_than_or_equal_to(0)"].sample
    assert [(row["row"], row["kind"]) for row in rows] == [(1, "b"), (2, "zz")]
    assert [str(row["traffic"]) for row in rows] == ["-5", "-3"]
    assert "mill" not in reported.read_text()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_and_types_that_are_wrong_are_told_without_rows(reported: Path, library: str) -> None:
    columns = {"name": ["mill"], "traffic": ["secret"], "more": [1]}
    frame: Any = pd.DataFrame(columns) if library == "pandas" else pl.DataFrame(columns)
    report(OfPandas if library == "pandas" else OfPolars, frame, severity="block")
    found = told(reported)
    assert sorted(found["columns"].detail.split(", ")) == ["missing: kind", "new: more"]
    assert (found["traffic: dtype"].passed, found["traffic: dtype"].severity) == (False, "block")
    assert "secret" not in found["traffic: greater_than_or_equal_to(0)"].detail
    assert found["name: not_nullable"].passed


def test_the_errors_are_raised_where_they_are_asked_for_once_they_are_told(reported: Path) -> None:
    with pytest.raises(SchemaErrors):
        report(OfPandas, pd.DataFrame(HOUSES), raises=True)
    assert not told(reported)["traffic: unique"].passed


def test_a_lazy_frame_and_rows_that_share_a_label_are_told_too(reported: Path) -> None:
    report(OfPolars, pl.LazyFrame(HOUSES))
    assert told(reported)["columns"].passed
    reported.unlink()
    report(OfPandas, pd.DataFrame(HOUSES, index=[7, 7, 7, 7]))
    assert told(reported)["traffic: greater_than_or_equal_to(0)"].sample == [{"row": 7, "traffic": -3}]


def test_a_report_that_cannot_be_written_breaks_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENSORD_REPORT", str(tmp_path / "gone" / "report.jsonl"))
    frame = pd.DataFrame(HOUSES)
    assert report(OfPandas, frame) is frame
