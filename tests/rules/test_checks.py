"""What the configuration says of checks, and what measured figures make of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.checks import (
    MAX_CHECKS,
    CheckError,
    drift,
    of_rows,
    read_checks,
    rows_wrong,
    stale,
    within,
    worst_severity,
)

names = st.text(min_size=1, max_size=5)
types = st.sampled_from(["", "integer", "number", "text"])


def test_a_check_has_a_name_a_severity_and_its_columns() -> None:
    found = read_checks(
        [
            {"rows": {"min": 1}, "severity": "block"},
            {"nulls": ["name", "city"]},
            {"range": {"column": "traffic", "min": 0, "at_most": "1%"}, "name": "busy", "severity": "warn"},
            {"unique": ["name", "city"]},
            {"fresh": "1d"},
        ]
    )
    assert [(one.name, one.severity, one.columns) for one in found] == [
        ("rows", "block", ()),
        ("nulls(name)", "error", ("name",)),
        ("nulls(city)", "error", ("city",)),
        ("busy", "warn", ("traffic",)),
        ("unique(name, city)", "error", ("name", "city")),
        ("fresh", "error", ()),
    ]
    assert found[3].args == {"min": 0, "at_most": 0.01}
    assert found[5].args == {"within": "1d", "seconds": 86400.0}
    assert worst_severity(found) == "block"


@pytest.mark.parametrize(
    ("value", "place", "said"),
    [
        ([], (), "at least one"),
        ({"rows": {"min": 1}}, (), "a list of checks"),
        (["rows"], (0,), "a check is a mapping"),
        ([{}], (0,), "no kind of check"),
        ([{"rows": {"min": 1}, "unique": "a"}], (0,), "rows and unique together"),
        ([{"row": {"min": 1}}], (0, "row"), "unknown key"),
        ([{"rows": {"min": 1}, "severity": "fatal"}], (0, "severity"), "one of warn, error, block"),
        ([{"rows": {"min": 1}, "severity": []}], (0, "severity"), "one of warn, error, block"),
        ([{"rows": {"min": 1}, "name": ""}], (0, "name"), "1 to 100 characters"),
        ([{"rows": {"least": 1}}], (0, "rows", "least"), "unknown key"),
        ([{"rows": {"min": -1}}], (0, "rows", "min"), "whole number"),
        ([{"rows": {"min": 5, "max": 1}}], (0, "rows"), "the lesser first"),
        ([{"rows": {}}], (0, "rows"), "give `min`"),
        ([{"columns": {"a": "int"}}], (0, "columns", "a"), "one of integer, number"),
        ([{"columns": "first"}], (0, "columns"), "or `last`"),
        ([{"nulls": {"at_most": 1}}], (0, "nulls", "column"), "name of a column"),
        ([{"nulls": {"column": "a", "at_most": "200%"}}], (0, "nulls", "at_most"), "a share"),
        ([{"range": {"column": "a"}}], (0, "range"), "give `min`, `max` or both"),
        ([{"range": {"column": "a", "min": 1, "max": "z"}}], (0, "range"), "of one type"),
        ([{"range": {"column": "a", "min": True}}], (0, "range", "min"), "a number"),
        ([{"values": {"column": "a", "among": []}}], (0, "values", "among"), "a list of values"),
        ([{"pattern": {"column": "a", "matches": "("}}], (0, "pattern", "matches"), "no regular expression"),
        ([{"unique": []}], (0, "unique"), "names of columns"),
        ([{"unique": ["a", "a"]}], (0, "unique"), "named twice"),
        ([{"fresh": "soon"}], (0, "fresh"), "a duration"),
        ([{"new_content": False}], (0, "new_content"), "true"),
        ([{"rows": {"min": 1}}, {"rows": {"max": 9}}], (1,), "named 'rows' as well"),
        ([{"rows": {"min": 1}, "name": "readable"}], (0,), "named 'readable' as well"),
        ([{"rows": {"min": 1}, "name": str(number)} for number in range(MAX_CHECKS + 1)], (), "more than"),
    ],
)
def test_what_is_no_check_is_said_with_its_place(value: Any, place: tuple[str | int, ...], said: str) -> None:
    with pytest.raises(CheckError) as error:
        read_checks(value)
    assert said in str(error.value)
    assert error.value.place == place


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from(["rows", "columns", "nulls", "range", "values", "pattern", "unique", "fresh", "new_content"])


@settings(max_examples=50)
@given(st.lists(st.dictionaries(kinds | st.sampled_from(["name", "severity"]), json, max_size=3), max_size=3))
def test_whatever_stands_there_is_checks_or_is_refused(value: Any) -> None:
    try:
        found = read_checks(value)
    except CheckError:
        return
    assert len({check.name for check in found}) == len(found) > 0


@given(st.dictionaries(names, types, max_size=6))
def test_columns_do_not_drift_from_themselves_in_whatever_order(columns: dict[str, str]) -> None:
    assert drift(columns, dict(reversed(columns.items()))) == ""


@given(st.dictionaries(names, types, max_size=6), st.dictionaries(names, types, max_size=6))
def test_columns_drift_exactly_where_a_name_or_a_known_type_differs(
    wanted: dict[str, str], found: dict[str, str]
) -> None:
    def fits(name: str) -> bool:
        ours, theirs = wanted[name], found[name]
        return not ours or not theirs or ours == theirs or (theirs, ours) == ("integer", "number")

    same = wanted.keys() == found.keys() and all(map(fits, wanted))
    assert (drift(wanted, found) == "") == same


def test_drift_names_what_is_missing_what_is_new_and_what_has_another_type() -> None:
    wanted = {"name": "text", "traffic": "integer", "kind": ""}
    assert drift(wanted, {"name": "text", "trafic": "integer", "kind": "x"}) == "missing: traffic; new: trafic"
    assert drift(wanted, {"name": "text", "traffic": "text", "kind": "x"}) == "traffic is text, not integer"
    many = drift({}, {f"c{number}": "" for number in range(100_000)})
    assert many.endswith("c9 and 99,990 more")
    assert len(drift({}, {"x" * 5000: ""})) < 200


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000) | st.floats(0.001, 0.999))
def test_so_many_may_fail_as_is_said_and_fewer_always_may_too(failed: int, rows: int, at_most: float) -> None:
    if within(failed, rows, at_most) and failed:
        assert within(failed - 1, rows, at_most)
    assert within(0, rows, at_most)
    assert not within(int(max(at_most, at_most * rows)) + 1, rows, at_most)


def test_figures_in_words() -> None:
    assert of_rows(1234, 5_000_000, "have no name") == "1,234 of 5,000,000 rows have no name"
    assert of_rows(0, 5, "have no name") == ""
    assert rows_wrong(0, {"min": 1}) == "0 rows, at least 1 are wanted"
    assert rows_wrong(9, {"min": 1, "max": 8}) == "9 rows, at most 8 are wanted"
    assert rows_wrong(8, {"min": 1, "max": 8}) == ""
    assert stale(129_600, {"within": "1d", "seconds": 86400.0}) == "the newest is 1.5d old, at most 1d is wanted"
    assert stale(-5, {"within": "1d", "seconds": 86400.0}) == ""
