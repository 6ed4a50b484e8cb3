"""Checks of files, as a configuration has them, and what measured figures make of them. Pure.

A check is a mapping with exactly one of KINDS, and with `severity` and `name` where they are not the default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from rules.quality import SEVERITIES

KINDS: Final = ("rows", "columns", "nulls", "range", "values", "pattern", "unique", "fresh", "new_content")
TYPES: Final = ("integer", "number", "text", "boolean", "date", "datetime")
LAST: Final = "last"
"""In place of the columns of `columns`: those of the last file that was accepted."""
READABLE: Final = "readable"
"""The check that every file undergoes that has others: it is there, whole, and of its format."""
MAX_CHECKS: Final = 200

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)%")
_NAMES: Final = 10  # So many columns are named in one detail.


class CheckError(ValueError):
    """A check that cannot be understood; `place` leads to what is wrong within it."""

    def __init__(self, text: str, *place: str | int) -> None:
        super().__init__(text)
        self.place = place


class Check(Struct, frozen=True, kw_only=True):
    """One check of a file. `columns` are those it is about, `args` what its kind takes."""

    kind: str
    name: str
    severity: str
    columns: tuple[str, ...] = ()
    args: Mapping[str, Any]


def read_checks(value: Any) -> tuple[Check, ...]:
    """The checks of a list of mappings; CheckError says what is wrong with the first that is none."""
    if not isinstance(value, list) or not value:
        raise CheckError("a list of checks, at least one: [{rows: {min: 1}}]")
    if len(value) > MAX_CHECKS:
        raise CheckError(f"more than {MAX_CHECKS} checks")
    found: list[Check] = []
    for index, one in enumerate(value):
        try:
            new = list(_read(one))
        except CheckError as error:
            raise CheckError(str(error), index, *error.place) from None
        for check in new:
            if check.name == READABLE or any(check.name == other.name for other in found):
                raise CheckError(f"another check is named {check.name!r} as well; give this one a `name`", index)
            found.append(check)
    return tuple(found)


def _read(one: Any) -> Iterator[Check]:
    if not isinstance(one, dict):
        raise CheckError("a check is a mapping, e.g. {rows: {min: 1}}")
    kinds = [kind for kind in KINDS if kind in one]
    for key in one:
        if key not in (*KINDS, "name", "severity"):
            raise CheckError(f"unknown key; a check has exactly one of {', '.join(KINDS)}, and `name`, `severity`", key)
    if len(kinds) != 1:
        found = " and ".join(kinds) + " together" if kinds else "no kind of check"
        raise CheckError(f"{found}; a check has exactly one of {', '.join(KINDS)}")
    severity, name = one.get("severity", "error"), one.get("name")
    if not isinstance(severity, str) or severity not in SEVERITIES:
        raise CheckError(f"a severity is one of {', '.join(SEVERITIES)}", "severity")
    if name is not None and (not isinstance(name, str) or not 0 < len(name) <= 100):  # noqa: PLR2004 - a name's length
        raise CheckError("a name is text of 1 to 100 characters", "name")
    kind = kinds[0]
    try:
        for columns, args in _READERS[kind](one[kind]):
            usual = f"{kind}({', '.join(columns)})" if columns else kind
            several = name is not None and kind == "nulls" and isinstance(one[kind], list)
            given = f"{name}({columns[0]})" if several else name
            yield Check(kind=kind, name=given or usual, severity=severity, columns=columns, args=args)
    except CheckError as error:
        raise CheckError(str(error), kind, *error.place) from None


_Found = Iterator[tuple[tuple[str, ...], dict[str, Any]]]


def _rows(value: Any) -> _Found:
    args = _mapping(value, ("min", "max"), "{min: 1, max: 1000000}")
    for key, number in args.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise CheckError("a whole number of rows", key)
    if not args or args.get("min", 0) > args.get("max", 1 << 62):
        raise CheckError("give `min`, `max` or both, the lesser first")
    yield (), args


def _columns(value: Any) -> _Found:
    if value == LAST:
        yield (), {"last": True}
        return
    if isinstance(value, list):
        yield (), {"types": dict.fromkeys(_names(value), "")}
        return
    if not isinstance(value, dict) or not value:
        raise CheckError("a list of columns, a mapping of column to type, or `last`")
    for name, type_ in value.items():
        if type_ not in TYPES:
            raise CheckError(f"a type is one of {', '.join(TYPES)}", name)
    yield (), {"types": dict(value)}


def _nulls(value: Any) -> _Found:
    if isinstance(value, dict):
        args = _mapping(value, ("column", "at_most"), "{column: name, at_most: 1%}")
        yield (_column(args),), {"at_most": _at_most(args)}
        return
    for name in [value] if isinstance(value, str) else _names(value):
        yield (name,), {"at_most": 0}


def _range(value: Any) -> _Found:
    args = _mapping(value, ("column", "min", "max", "at_most"), "{column: traffic, min: 0}")
    bounds = {key: args[key] for key in ("min", "max") if key in args}
    for key, bound in bounds.items():
        if isinstance(bound, datetime) or hasattr(bound, "isoformat"):
            bounds[key] = bound.isoformat()
        elif isinstance(bound, bool) or not isinstance(bound, int | float | str) or bound != bound:  # noqa: PLR0124 - not a number
            raise CheckError("a number, or text where the column holds text or times", key)
    kinds = {isinstance(bound, str) for bound in bounds.values()}
    if len(kinds) != 1:
        raise CheckError("give `min`, `max` or both, of one type")
    yield (_column(args),), bounds | {"at_most": _at_most(args)}


def _values(value: Any) -> _Found:
    args = _mapping(value, ("column", "among", "at_most"), "{column: kind, among: [mill, farm]}")
    among = args.get("among")
    if not isinstance(among, list) or not among or any(isinstance(one, dict | list) or one is None for one in among):
        raise CheckError("a list of values", "among")
    yield (_column(args),), {"among": [_text(one) for one in among], "at_most": _at_most(args)}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pattern(value: Any) -> _Found:
    args = _mapping(value, ("column", "matches", "at_most"), '{column: code, matches: "[A-Z]{2}[0-9]+"}')
    pattern = args.get("matches")
    try:
        if not isinstance(pattern, str) or len(pattern) > 1000:  # noqa: PLR2004 - longer is no pattern of a person
            raise CheckError("a regular expression", "matches")
        re.compile(pattern)
    except re.error as error:
        raise CheckError(f"no regular expression: {error}", "matches") from None
    yield (_column(args),), {"matches": pattern, "at_most": _at_most(args)}


def _unique(value: Any) -> _Found:
    if isinstance(value, dict):
        args = _mapping(value, ("columns", "at_most"), "{columns: [name, city], at_most: 1%}")
        yield _names(args.get("columns")), {"at_most": _at_most(args)}
        return
    yield (_names([value] if isinstance(value, str) else value)), {"at_most": 0}


def _fresh(value: Any) -> _Found:
    args = {"within": value} if isinstance(value, str) else _mapping(value, ("within", "column"), "{within: 1d}")
    match = _DURATION.fullmatch(args["within"]) if isinstance(args.get("within"), str) else None
    if match is None:
        raise CheckError("a duration: 1d, 2h, or {within: 1d, column: updated_at}")
    columns = (_column(args),) if "column" in args else ()
    yield columns, {"within": args["within"], "seconds": float(match[1]) * _UNITS[match[2]]}


def _new_content(value: Any) -> _Found:
    if value is not True:
        raise CheckError("true, or no such check at all")
    yield (), {}


_READERS = {
    "rows": _rows,
    "columns": _columns,
    "nulls": _nulls,
    "range": _range,
    "values": _values,
    "pattern": _pattern,
    "unique": _unique,
    "fresh": _fresh,
    "new_content": _new_content,
}


def _mapping(value: Any, keys: Sequence[str], example: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CheckError(f"a mapping, e.g. {example}")
    for key in value:
        if key not in keys:
            raise CheckError(f"unknown key; it takes {', '.join(keys)}", key)
    return dict(value)


def _column(args: Mapping[str, Any]) -> str:
    name = args.get("column")
    if not isinstance(name, str) or not name:
        raise CheckError("the name of a column", "column")
    return name


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(one, str) and one for one in value):
        raise CheckError("names of columns")
    if len(set(value)) < len(value):
        raise CheckError("a column is named twice")
    return tuple(value)


def _at_most(args: Mapping[str, Any]) -> int | float:
    """How many rows may fail: a number, or a share of them, below 1."""
    value = args.get("at_most", 0)
    if isinstance(value, str) and (match := _SHARE.fullmatch(value)) and float(match[1]) < 100:  # noqa: PLR2004
        return float(match[1]) / 100
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise CheckError("how many rows may fail: a whole number, or a share of them: 1%", "at_most")


def within(failed: int, rows: int, at_most: float) -> bool:
    """Whether so many failing rows of so many are still accepted."""
    return failed <= (at_most * rows if 0 < at_most < 1 else at_most)


def of_rows(failed: int, rows: int, what: str) -> str:
    """`3 of 12 rows have no name`; nothing where none fails."""
    return f"{failed:,} of {rows:,} rows {what}" if failed else ""


def rows_wrong(rows: int, args: Mapping[str, Any]) -> str:
    """What is wrong with a number of rows; nothing where it is as wanted."""
    if rows < args.get("min", 0):
        return f"{rows:,} rows, at least {args['min']:,} are wanted"
    if "max" in args and rows > args["max"]:
        return f"{rows:,} rows, at most {args['max']:,} are wanted"
    return ""


def drift(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """How columns and their types differ from those wanted; a type that is empty on either side is any.

    Whole numbers are numbers too. Nothing where they do not differ; the order of columns is nothing.
    """
    parts: list[str] = []
    if missing := [name for name in wanted if name not in found]:
        parts.append(f"missing: {_listed(missing)}")
    if new := [name for name in found if name not in wanted]:
        parts.append(f"new: {_listed(new)}")
    other = [
        f"{name} is {found[name]}, not {type_}"
        for name, type_ in wanted.items()
        if name in found and type_ and found[name] and not _fits(found[name], type_)
    ]
    parts += [_listed(other)] if other else []
    return "; ".join(parts)


def _fits(found: str, wanted: str) -> bool:
    return found == wanted or (found, wanted) == ("integer", "number")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name if len(name) <= 100 else f"{name[:99]}…" for name in names[:_NAMES])  # noqa: PLR2004
    return shown if len(names) <= _NAMES else f"{shown} and {len(names) - _NAMES:,} more"


def stale(age: float, args: Mapping[str, Any]) -> str:
    """What is wrong with data whose newest is so many seconds old; nothing where that is fresh enough."""
    if age <= args["seconds"]:
        return ""
    return f"the newest is {_age(age)} old, at most {args['within']} is wanted"


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.1f}".removesuffix(".0") + unit
    return f"{seconds:.0f}s"


def worst_severity(checks: Sequence[Check]) -> str:
    """What a file means that cannot be checked: as much as the most severe of the checks that it evades."""
    return max((check.severity for check in checks), key=lambda one: SEVERITIES[one])
