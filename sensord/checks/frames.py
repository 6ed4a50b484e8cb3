"""Measures one file with polars and says what its checks make of that. Only the process of `program` loads this."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from rules import checks as rules
from rules.checks import Check
from rules.quality import bounded_sample
from sensord.checks.measures import Columns, Measure, measure, no_such, type_name

MAX_COLUMNS = 10_000
MAX_HEAD = 1 << 20
"""Bytes of a first line, or of a Parquet file's footer times 64, beyond which a file is taken for none of its kind."""
_SAMPLE, _BESIDE = 5, 5
_QUOTED = re.compile(r"`[^`]*`|'[^']*'|\"[^\"]*\"")
_ROW = "row"

Answer = dict[str, Any]


class UnreadableError(Exception):
    """Why a file cannot be checked, in words that quote nothing of what it holds."""


def examine(request: Mapping[str, Any]) -> Answer:
    """The results of every check that could be made, as JSON; `found` beside those that compare with earlier files."""
    checks = [Check(**{**one, "columns": tuple(one["columns"])}) for one in request["checks"]]
    file = File(request)
    results: list[Answer] = []
    try:
        file.open()
        results += [file.of_the_file(check) for check in checks if _is_of_the_file(check)]
        results += file.of_the_rows([check for check in checks if not _is_of_the_file(check)])
        readable = _result(rules.READABLE, "", request["readable"])
    except UnreadableError as error:
        readable = _result(rules.READABLE, str(error), request["readable"])
    finally:
        file.close()
    return {"results": [readable, *results]}


def _is_of_the_file(check: Check) -> bool:
    return check.kind == "new_content" or (check.kind == "fresh" and not check.columns)


def _result(name: str, wrong: str, severity: str, **more: Any) -> Answer:
    return {"check": name, "passed": not wrong, "severity": severity, "detail": wrong, **more}


class File:
    """One file under its checks."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._path: str = request["path"]
        self._accepted: Mapping[str, Any] = request["accepted"]
        self._state: os.stat_result
        self._opened: str
        self._descriptor = -1
        self._frame: pl.LazyFrame
        self._schema: dict[str, pl.DataType] = {}

    def open(self) -> None:
        """UnreadableError where it is no file, or begins like none of its format."""
        try:
            # Opened once: whatever is renamed meanwhile, and however it is named, all of it is of one file.
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise UnreadableError(f"it cannot be opened: {error.strerror}") from None
        except ValueError:
            raise UnreadableError("its path is none: it holds a NUL") from None
        self._state = os.fstat(self._descriptor)
        if not stat.S_ISREG(self._state.st_mode):
            raise UnreadableError("it is not a regular file")
        self._opened = f"/proc/self/fd/{self._descriptor}"
        try:
            self._begins(os.pread(self._descriptor, MAX_HEAD, 0))
            if self._format == "parquet":
                self._ends(os.pread(self._descriptor, 8, max(0, self._state.st_size - 8)))
        except OSError as error:
            raise UnreadableError(f"it cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @property
    def _format(self) -> str:
        return str(self._request["format"])

    def _begins(self, head: bytes) -> None:
        if not head:
            raise UnreadableError("it is empty")
        if self._format == "parquet":
            if not head.startswith(b"PAR1"):
                raise UnreadableError("it is not Parquet: it does not begin with PAR1")
            return
        line = head.partition(b"\n")[0]
        if len(line) == MAX_HEAD:
            raise UnreadableError(f"it is not {self._format}: its first line is longer than {MAX_HEAD >> 20} MiB")
        if b"\0" in line:
            raise UnreadableError(f"it is not {self._format}: its first line holds NUL bytes")
        columns = line.count(self._request["separator"].encode()) + 1
        if self._format == "csv" and columns > MAX_COLUMNS:
            raise UnreadableError(f"it has {columns:,} columns; more than {MAX_COLUMNS:,} are not checked")

    def _ends(self, tail: bytes) -> None:
        if not tail.endswith(b"PAR1"):
            raise UnreadableError("it is not whole: a Parquet file ends with PAR1")
        if int.from_bytes(tail[:4], "little") > min(self._state.st_size, 64 * MAX_HEAD):
            raise UnreadableError("it is not Parquet: its footer is longer than a footer can be")

    def of_the_file(self, check: Check) -> Answer:
        """The result of a check that looks at no row."""
        if check.kind == "fresh":
            wrong = rules.stale(self._request["now"] - self._state.st_mtime, check.args)
            return _result(check.name, wrong, check.severity)
        digest = hashlib.blake2b(digest_size=16)
        with open(self._opened, "rb") as file:  # noqa: PTH123
            while piece := file.read(1 << 20):
                digest.update(piece)
        # The same file, looked at again because its run is repeated, is not the same content again.
        found = [digest.hexdigest(), f"{self._path}@{self._state.st_mtime_ns}"]
        earlier = [tuple(one) for one in self._accepted.get(check.name) or []]
        again = next((name for told, name in earlier if told == found[0] and name != found[1]), None)
        wrong = "" if again is None else f"the same content as {again.rpartition('@')[0]}"
        return _result(check.name, wrong, check.severity, found=[found])

    def of_the_rows(self, checks: Sequence[Check]) -> list[Answer]:
        """The results of all other checks, in one pass over the file and one more for each that has rows to show."""
        try:
            self._frame = self._scanned()
            self._schema = dict(self._frame.collect_schema())
            if len(self._schema) > MAX_COLUMNS:
                raise UnreadableError(
                    f"it has {len(self._schema):,} columns; more than {MAX_COLUMNS:,} are not checked"
                )
            made = [self._measured(check) for check in checks]
            wanted = [pl.len().alias("rows"), *_aliased(made)]
            if self._format == "csv":  # A row with cells too many is noticed only where every column is wanted.
                wanted.append(pl.sum_horizontal(pl.all().null_count()).alias("nulls"))
            counted = self._frame.select(wanted).collect(engine="streaming").row(0, named=True)
            return [self._judged(one, place, counted) for place, one in enumerate(made)]
        except (pl.exceptions.PolarsError, OSError, OverflowError) as error:
            raise UnreadableError(_reason(error, self._format)) from None

    def _scanned(self) -> pl.LazyFrame:
        if self._format == "csv":
            # As text: a value that is no number is then a row that fails, and not a file that cannot be read.
            return pl.scan_csv(self._opened, separator=self._request["separator"], infer_schema=False, glob=False)
        if self._format == "parquet":
            return pl.scan_parquet(self._opened, glob=False)
        return pl.scan_ndjson(self._opened, infer_schema_length=None)

    def _measured(self, check: Check) -> Measure | Answer:
        """What is to be counted for the check; its result, where that is known without."""
        missing = [name for name in check.columns if name not in self._schema]
        if missing:
            return _result(check.name, rules.drift(dict.fromkeys(missing, ""), {}), check.severity)
        if check.kind == "columns":
            return self._columns(check)
        return measure(Columns(self._schema), check)

    def _columns(self, check: Check) -> Measure | Answer:
        found = {name: "" if self._format == "csv" else type_name(type_) for name, type_ in self._schema.items()}
        if check.args.get("last"):
            last = self._accepted.get(check.name)
            wrong = "" if last is None else rules.drift(last, found)
            return _result(check.name, wrong, check.severity, found=found)
        types = check.args["types"]
        wrong = rules.drift(types, found)
        typed = [
            name for name, type_ in types.items() if type_ and type_ != "text" and name in found and not found[name]
        ]
        if wrong or not typed:
            return _result(check.name, wrong, check.severity)
        bad = [no_such(name, types[name]) for name in typed]
        of_any = pl.any_horizontal(bad)
        count = pl.struct(of_any.sum().alias("failed"), pl.concat_list([one.sum() for one in bad]).alias("of"))
        return Measure(check, of_any, "", tuple(typed), count=count)

    def _judged(self, made: Measure | Answer, place: int, counted: Mapping[str, Any]) -> Answer:
        if not isinstance(made, Measure):
            return {**made, "metrics": {"rows": counted["rows"]}}
        check, rows, number = made.check, counted["rows"], counted[f"m{place}"]
        if check.kind == "rows":
            return _result(check.name, rules.rows_wrong(rows, check.args), check.severity, metrics={"rows": rows})
        if check.kind == "fresh":
            wrong = self._age(number, check)
            return _result(check.name, wrong, check.severity, metrics={"rows": rows})
        what = made.what
        if check.kind == "columns":
            typed = [name for name, count in zip(made.columns, number["of"], strict=True) if count]
            what, number = f"hold no {' or no '.join(_a(name, check) for name in typed)}", number["failed"]
        failed = int(number or 0)
        passed = rules.within(failed, rows, check.args.get("at_most", 0))
        more = {"metrics": {"failed": failed, "rows": rows}}
        if passed:
            return _result(check.name, "", check.severity, **more)
        wrong = rules.of_rows(failed, rows, what)
        return _result(check.name, wrong, check.severity, **more, sample=self._sample(made))

    def _age(self, newest: str | None, check: Check) -> str:
        try:
            moment = datetime.fromisoformat(newest or "")
        except ValueError:
            return f"{check.columns[0]} holds no time as in ISO 8601"
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return rules.stale(self._request["now"] - moment.timestamp(), check.args)

    def _sample(self, made: Measure) -> list[dict[str, Any]]:
        columns = list(made.columns or made.check.columns)
        if made.check.kind == "unique":
            counted = self._frame.group_by(columns).len("times").filter(pl.col("times") > 1)
            rows = counted.sort("times", descending=True).head(_SAMPLE).collect(engine="streaming")
        else:
            beside = [name for name in self._schema if name not in columns][:_BESIDE]
            shown = [*columns, *beside]
            row = next(name for name in (_ROW, "row number", "number of the row") if name not in self._schema)
            indexed = self._frame.with_row_index(row, offset=1).filter(made.fails).select(row, *shown)
            rows = indexed.head(_SAMPLE).collect(engine="streaming")
        return bounded_sample(rows.to_dicts())


def _a(name: str, check: Check) -> str:
    return f"{check.args['types'][name]} in {name}"


def _aliased(made: Sequence[Measure | Answer]) -> Iterator[pl.Expr]:
    for place, one in enumerate(made):
        if isinstance(one, Measure):
            count = one.fails.sum() if one.count is None else one.count
            yield count.alias(f"m{place}")


_KNOWN = (
    ("more fields than defined", "a row has more cells than the header"),
    ("invalid utf-8", "it is not UTF-8"),
    ("could not parse", "a row cannot be read: a quote is not closed, or it is cut off"),
    ("regex", "a pattern is none that polars knows (no look-around, no back-references)"),
    ("empty CSV", "it is empty"),
    ("stream did not contain valid UTF-8", "it is not UTF-8"),
)


def _reason(error: Exception, format_: str) -> str:
    """The library's error without what it quotes: values of the file are for nobody's eyes."""
    text = str(error)
    for sign, words in _KNOWN:
        if sign.lower() in text.lower():
            return words
    first = _QUOTED.sub("…", text.partition("\n")[0])[:200]
    return f"it cannot be read as {format_}: {first}"
