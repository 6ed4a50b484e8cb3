"""Results of checks: bounded as they come in, masked, and what they amount to."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.quality import (
    MASK,
    MAX_CELL,
    MAX_COLUMNS,
    MAX_ROWS,
    CheckResult,
    apart,
    bounded_sample,
    failing,
    is_masked,
    masked,
    read_result,
    why_failed,
)
from rules.trend import TREND, counted, ordinal, sparkline

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=MAX_CELL + 50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.text(max_size=5), values, max_size=MAX_COLUMNS + 3) | values, max_size=MAX_ROWS + 3))
def test_a_sample_is_bounded_and_json_whatever_it_was(sample: list[Any]) -> None:
    rows = bounded_sample(sample)
    assert len(rows) <= MAX_ROWS
    for row in rows:
        assert len(row) <= MAX_COLUMNS
        assert all(not isinstance(value, str) or len(value) <= MAX_CELL for value in row.values())
        assert all(not isinstance(value, float) or math.isfinite(value) for value in row.values())
    orjson.dumps(orjson.loads(orjson.dumps([{str(number): row} for number, row in enumerate(rows)])))


@pytest.mark.parametrize("severity", ["fatal", None, [], {}])
def test_a_severity_that_is_none_is_refused(severity: Any) -> None:
    with pytest.raises(ValueError, match="none of warn, error, block"):
        read_result({"check": "c", "passed": True, "severity": severity})


def test_a_result_without_a_severity_only_tells() -> None:
    assert read_result({"check": "c", "passed": False}).severity == "warn"


def test_values_of_masked_columns_are_seen_nowhere() -> None:
    sample: list[dict[str, Any]] = [
        {"row": 3, "Email": "a@b", "home_phone": "123", "name": "mill", "phone": None},
        {"column": "email", "value": "a@b", "row": 4},
        {"column": "name", "value": "mill"},
    ]
    result = CheckResult(check="c", passed=False, sample=sample, metrics={"email": "a@b", "failed": 3})
    assert masked(result, ["email", "*phone*"]).sample == [
        {"row": 3, "Email": MASK, "home_phone": MASK, "name": "mill", "phone": None},
        {"column": "email", "value": MASK, "row": 4},
        {"column": "name", "value": "mill"},
    ]
    assert masked(result, ["email"]).metrics == {"email": MASK, "failed": 3}
    assert masked(result, []) is result


@given(st.text(max_size=20), st.lists(st.text(max_size=8), max_size=3))
def test_a_mask_is_a_glob_of_whatever_case_and_never_breaks(column: str, masks: list[str]) -> None:
    assert is_masked(column, masks) in (True, False)
    assert is_masked(column, ["*"])


def test_the_worst_of_the_results_fails_a_run_and_a_warning_does_not() -> None:
    warn, error, block = (CheckResult(check=name, passed=False, severity=name) for name in ("warn", "error", "block"))
    fine = CheckResult(check="fine", passed=True, severity="block")
    assert failing([warn, fine]) is None
    assert failing([warn, error, block, error]) is block
    assert failing([error, warn]) is error
    assert why_failed(CheckResult(check="c", passed=False, detail="3 rows\nof many")) == "check c failed: 3 rows"


def test_one_check_of_several_tables_in_one_run_is_told_apart_and_of_one_is_not() -> None:
    one = CheckResult(check="no_nulls", passed=True, subject="houses")
    other = CheckResult(check="no_nulls", passed=True, subject="streets")
    assert [result.series for result in apart([one, other])] == ["houses", "streets"]
    assert [result.series for result in apart([one, one])] == ["", ""]


@given(st.lists(st.integers(0, 1 << 53), max_size=2 * TREND))
def test_a_sparkline_has_a_bar_for_each_of_the_last_and_its_heights_are_in_their_order(counts: list[int]) -> None:
    line = sparkline(counts)
    shown = counts[-TREND:]
    assert len(line) == len(shown)
    for (bar, count), (next_bar, next_count) in zip(
        zip(line, shown, strict=True), list(zip(line, shown, strict=True))[1:], strict=False
    ):
        if count <= next_count:
            assert bar <= next_bar
    assert all((bar == "▁") == (count == 0) for bar, count in zip(line, shown, strict=True))


def test_counts_and_places_in_a_row() -> None:
    assert counted(False, {"failed": 12}) == 12
    assert counted(False, {"failed": math.inf}) == counted(False, None) == counted(False, {"failed": True}) == 1
    assert counted(True, {}) == 0
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 101, 111, 1002)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "101st", "111th", "1,002nd"),
    ]
