"""What checks find in files: CSV, JSON lines and Parquet alike. In this process, where nothing is hostile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensord.checks.frames import examine
from tests.checks.kit import request

HOUSES: list[dict[str, Any]] = [
    {"name": "mill", "traffic": 120, "kind": "a"},
    {"name": None, "traffic": 5, "kind": "b"},
    {"name": "farm", "traffic": -3, "kind": "zz"},
    {"name": "mill", "traffic": None, "kind": "a"},
]
COLUMNS = {"name": "text", "traffic": "integer", "kind": "text"}


def found(path: Path, *checks: Any, **more: Any) -> dict[str, dict[str, Any]]:
    answer = examine(request(path, *checks, **more))
    return {one["check"]: one for one in answer["results"]}


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def houses(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"houses.{request.param}"
    frame = pl.DataFrame(HOUSES)
    write: dict[str, Any] = {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}
    write[request.param](path)
    return path


def test_every_format_is_checked_alike(houses: Path) -> None:
    told = found(
        houses,
        {"rows": {"min": 5}},
        {"columns": COLUMNS},
        {"nulls": ["name", "kind"]},
        {"nulls": {"column": "traffic", "at_most": "25%"}, "name": "some traffic"},
        {"range": {"column": "traffic", "min": 0, "max": 100}},
        {"values": {"column": "kind", "among": ["a", "b"]}},
        {"pattern": {"column": "name", "matches": "[a-m]+"}},
        {"unique": "name"},
        {"unique": ["name", "traffic"]},
        {"range": {"column": "kind", "max": "b"}},
        {"nulls": "city"},
    )
    wrong = {name: one["detail"] for name, one in told.items() if not one["passed"]}
    assert wrong == {
        "rows": "4 rows, at least 5 are wanted",
        "nulls(name)": "1 of 4 rows have no name",
        "range(traffic)": "2 of 4 rows break 0 ≤ traffic ≤ 100",
        "values(kind)": "1 of 4 rows hold in kind none of the 2 values allowed",
        "pattern(name)": "1 of 4 rows hold in name what does not match",
        "unique(name)": "1 of 4 rows repeat name",
        "range(kind)": "1 of 4 rows break kind ≤ b",
        "nulls(city)": "missing: city",
    }
    assert told["nulls(name)"]["metrics"] == {"failed": 1, "rows": 4}
    row = {name: str(value) if houses.suffix == ".csv" else value for name, value in HOUSES[1].items() if value}
    assert told["nulls(name)"]["sample"] == [{"row": 2, "name": None, **row}]
    assert told["unique(name)"]["sample"] == [{"name": "mill", "times": 2}]
    assert told["some traffic"]["metrics"] == {"failed": 1, "rows": 4}


def test_columns_that_are_missing_new_or_of_another_type_are_drift(houses: Path) -> None:
    told = found(houses, {"columns": ["name", "trafic", "kind"]})
    assert told["columns"]["detail"] == "missing: trafic; new: traffic"
    other = found(houses, {"columns": {**COLUMNS, "kind": "integer"}})["columns"]
    assert not other["passed"]
    assert "kind" in other["detail"]


def test_columns_are_compared_with_those_of_the_last_file_that_was_accepted(houses: Path) -> None:
    first = found(houses, {"columns": "last"})["columns"]
    assert first["passed"]
    assert set(first["found"]) == {"name", "traffic", "kind"}
    assert found(houses, {"columns": "last"}, accepted={"columns": first["found"]})["columns"]["passed"]
    before = {**first["found"], "city": ""}
    assert found(houses, {"columns": "last"}, accepted={"columns": before})["columns"]["detail"] == "missing: city"


def test_the_same_content_again_is_told_and_the_same_file_looked_at_again_is_not(tmp_path: Path) -> None:
    path, other = tmp_path / "a.csv", tmp_path / "b.csv"
    for one in (path, other):
        one.write_text("a,b\n1,2\n")
    first = found(path, {"new_content": True})["new_content"]
    assert first["passed"]
    accepted = {"new_content": first["found"]}
    assert found(path, {"new_content": True}, accepted=accepted)["new_content"]["passed"]
    again = found(other, {"new_content": True}, accepted=accepted)["new_content"]
    assert (again["passed"], again["detail"]) == (False, f"the same content as {path}")
    other.write_text("a,b\n1,3\n")
    assert found(other, {"new_content": True}, accepted=accepted)["new_content"]["passed"]


def test_a_file_and_a_column_of_times_can_be_stale(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("at\n2026-11-20T10:00:00+00:00\n2026-11-21T10:00:00Z\n")
    noon = 1_795_262_400.0  # 2026-11-21T12:00:00Z
    os.utime(path, (noon - 7200, noon - 7200))
    checks: list[dict[str, Any]] = [
        {"fresh": "1h"},
        {"fresh": {"within": "3h", "column": "at"}},
        {"fresh": {"within": "1h", "column": "at"}},
    ]
    checks[2]["name"] = "late"
    told = found(path, *checks, now=noon)
    assert [one["passed"] for one in told.values()] == [True, False, True, False]
    assert told["late"]["detail"] == "the newest is 2h old, at most 1h is wanted"
    path.write_text("at\nyesterday\n")
    assert found(path, checks[1], now=noon)["fresh(at)"]["detail"] == "at holds no time as in ISO 8601"


def test_what_is_no_number_breaks_a_range_and_an_empty_cell_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\nx,\n1,1\nNaN,2\ninf,3\n,4\n")
    told = found(path, {"range": {"column": "a", "min": 0, "max": 5}})["range(a)"]
    assert told["metrics"] == {"failed": 3, "rows": 5}
    assert [row["row"] for row in told["sample"]] == [1, 3, 4]


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("integer", ["1", "-20", "+3"], ["1.5", "x", "1e3"]),
        ("number", ["1", "-2.5", "1e3"], ["x", "1,5"]),
        ("boolean", ["true", "FALSE"], ["yes", "1"]),
        ("date", ["2026-11-21"], ["21.11.2026", "2026-13-01", "x"]),
        ("datetime", ["2026-11-21T01:02:03Z", "2026-11-21 01:02"], ["2026-11-21", "x"]),
        ("text", ["x", "1"], []),
    ],
)
def test_texts_of_a_csv_are_told_from_values_of_a_type(
    tmp_path: Path, type_: str, good: list[str], bad: list[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n" + "".join(f"{value};x\n" for value in [*good, *bad, ""]))
    told = found(path, {"columns": {"a": type_, "b": "text"}}, separator=";")["columns"]
    assert told["passed"] == (not bad)
    if bad:
        assert told["detail"] == f"{len(bad)} of {len(good) + len(bad) + 1} rows hold no {type_} in a"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.csv", None, "No such file"),
        ("empty.csv", b"", "it is empty"),
        ("bytes.csv", b"a,b\n1,\xff\xfe\n", "not UTF-8"),
        ("ragged.csv", b"a,b\n1,2\n3,4,5\n", "more cells than the header"),
        ("quote.csv", b'a,b\n1,"x\n2,y\n', "cannot be read"),
        ("nul.csv", b"a\0b\n1\n", "NUL bytes"),
        ("half.jsonl", b'{"a":1}\n{"a":', "cannot be read as jsonl"),
        ("list.jsonl", b"1\n2\n", "cannot be read as jsonl"),
        ("text.parquet", b"a,b\n1,2\n", "does not begin with PAR1"),
        ("half.parquet", b"PAR1" + bytes(100), "it is not whole"),
        ("liar.parquet", b"PAR1" + bytes(100) + b"\xff\xff\xff\x7fPAR1", "its footer"),
        ("wide.csv", b"a," * 20_000 + b"b\n", "20,001 columns"),
        ("line.csv", b"a" * (1 << 20) + b"\n", "longer than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_fails_with_its_reason(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    told = found(path, {"rows": {"min": 1}}, {"nulls": "a"})
    assert not told["readable"]["passed"]
    assert said in told["readable"]["detail"]


def test_a_reason_quotes_nothing_of_what_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"secret@example.com\n2,y\n')
    assert "secret" not in str(found(path, {"rows": {"min": 1}})["readable"])


def test_a_pipe_and_a_folder_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    for path in (tmp_path / "a.csv", tmp_path):
        assert found(path, {"rows": {"min": 1}})["readable"]["detail"] == "it is not a regular file"


def test_a_file_of_no_rows_is_checked_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n")
    told = found(
        path, {"rows": {"max": 0}}, {"nulls": "a"}, {"unique": ["a", "b"]}, {"range": {"column": "a", "min": 1}}
    )
    assert all(one["passed"] for one in told.values())
    assert not found(path, {"rows": {"min": 1}})["rows"]["passed"]


cells = st.none() | st.sampled_from(["", "x", "1", "-7", "2.5", "é", '"', ",", "\n", "NaN", "true"])


@settings(max_examples=25)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_counts_are_those_of_counting_by_hand(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("f") / "a.parquet"
    pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row").write_parquet(path)
    told = found(path, {"nulls": "a"}, {"unique": ["a", "b"]}, {"values": {"column": "b", "among": ["x", "1", ""]}})
    failed = {name: one["metrics"]["failed"] for name, one in told.items() if name != "readable"}
    assert failed == {
        "nulls(a)": sum(a is None for a, _ in rows),
        "unique(a, b)": len(rows) - len(set(rows)),
        "values(b)": sum(b not in (None, "x", "1", "") for _, b in rows),
    }
