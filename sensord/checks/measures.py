"""What each kind of check counts in a file's rows, as polars' expressions."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from msgspec import Struct

from rules.checks import Check


class Measure(Struct, frozen=True):
    """What one check counts: rows for which `fails` holds, which are told to do `what`."""

    check: Check
    fails: pl.Expr
    what: str
    columns: tuple[str, ...] = ()
    count: pl.Expr | None = None  # Where the failing rows are not counted one by one.


class Columns:
    """A file's columns and their types."""

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self._schema = schema

    def number(self, name: str) -> pl.Expr:
        """The column as numbers; what is none is null."""
        column = pl.col(name)
        return column if self._schema[name].is_numeric() else column.cast(pl.Float64, strict=False)

    def text(self, name: str) -> pl.Expr:
        """The column as text."""
        return pl.col(name) if self._schema[name] == pl.String else pl.col(name).cast(pl.String)


def measure(columns: Columns, check: Check) -> Measure:
    """What is to be counted for a check whose columns are there."""
    return _MEASURES[check.kind](columns, check)


def _rows(_columns: Columns, check: Check) -> Measure:
    return Measure(check, pl.lit(value=False), "", count=pl.len())


def _nulls(_columns: Columns, check: Check) -> Measure:
    (name,) = check.columns
    return Measure(check, pl.col(name).is_null(), f"have no {name}", count=pl.col(name).null_count())


def _range(columns: Columns, check: Check) -> Measure:
    (name,) = check.columns
    low, high = check.args.get("min"), check.args.get("max")
    is_text = isinstance(low if low is not None else high, str)
    value = columns.text(name) if is_text else columns.number(name)
    # A comparison with a value that is no number, or with NaN, is not true: such a row fails as well.
    fits = [value >= low] if low is not None else []
    fits += [value <= high] if high is not None else []
    holds = fits[0] & fits[1] if len(fits) > 1 else fits[0]
    if not is_text:
        holds = holds & value.is_not_nan()
    bounds = f"{'' if low is None else f'{low} ≤ '}{name}{'' if high is None else f' ≤ {high}'}"
    return Measure(check, pl.col(name).is_not_null() & ~holds.fill_null(value=False), f"break {bounds}")


def _values(columns: Columns, check: Check) -> Measure:
    (name,) = check.columns
    value = columns.text(name)
    among = check.args["among"]
    return Measure(
        check, value.is_not_null() & ~value.is_in(among), f"hold in {name} none of the {len(among)} values allowed"
    )


def _pattern(columns: Columns, check: Check) -> Measure:
    (name,) = check.columns
    value = columns.text(name)
    fits = value.str.contains(f"^(?:{check.args['matches']})$")
    return Measure(check, value.is_not_null() & ~fits, f"hold in {name} what does not match")


def _unique(_columns: Columns, check: Check) -> Measure:
    names = list(check.columns)
    distinct = pl.col(names[0]).n_unique() if len(names) == 1 else pl.struct(names).n_unique()
    # Of an empty file nothing is repeated, and n_unique of nothing is nothing.
    repeated = pl.len().cast(pl.Int64) - distinct.cast(pl.Int64)
    return Measure(check, pl.lit(value=False), f"repeat {' and '.join(names)}", count=repeated)


def _fresh(columns: Columns, check: Check) -> Measure:
    (name,) = check.columns
    return Measure(check, pl.lit(value=False), "", count=columns.text(name).max())


_MEASURES = {
    "rows": _rows,
    "nulls": _nulls,
    "range": _range,
    "values": _values,
    "pattern": _pattern,
    "unique": _unique,
    "fresh": _fresh,
}


def type_name(type_: pl.DataType) -> str:
    """A type as configurations name it; empty where it says nothing."""
    if type_.is_integer():
        return "integer"
    if type_.is_numeric():
        return "number"
    known = {"String": "text", "Boolean": "boolean", "Date": "date", "Datetime": "datetime", "Null": ""}
    return known.get(str(type_.base_type()), str(type_.base_type()).lower())


def no_such(name: str, type_: str) -> pl.Expr:
    """Whether a text is there and does not read as a value of that type."""
    column = pl.col(name)
    if type_ == "boolean":
        fits = column.str.to_lowercase().is_in(["true", "false"])
    elif type_ == "integer":
        fits = column.str.contains(r"^\s*[+-]?\d+\s*$")
    elif type_ == "number":
        fits = column.cast(pl.Float64, strict=False).is_not_null()
    elif type_ == "date":
        fits = column.str.to_date("%Y-%m-%d", strict=False).is_not_null()
    else:
        fits = column.str.contains(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$")
    return column.is_not_null() & ~fits
