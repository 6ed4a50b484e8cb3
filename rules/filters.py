"""The filters and tests that templates may use: a closed list, each with a bounded result."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any, NoReturn

from jinja2 import filters, tests
from jinja2.runtime import LoopContext

MAX_TEXT = 64 * 1024
MAX_ITEMS = 1_000


class LimitError(ValueError):
    """A template asked for more than an evaluation may cost."""


def within(length: int) -> None:
    """Pass a text of that many characters; LimitError if it is more than a template may make."""
    if length > MAX_TEXT:
        raise LimitError(f"it makes a text of {length:,} characters; at most {MAX_TEXT:,} are possible")


def plain(value: Any) -> Any:
    """A value as JSON of its own: times as RFC 3339 text, whatever can be gone through as a list.

    TypeError or ValueError says what JSON does not know; something undefined says its name.
    """
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes | LoopContext):
        return [plain(item) for item in value]
    return _unknown(value)


def _unknown(value: Any) -> NoReturn:
    if isinstance(value, float):
        raise ValueError(f"{value} is no number that JSON knows")  # noqa: TRY004 - the type is right
    if callable(value):
        raise TypeError(f"{getattr(value, '__name__', 'it')} is a method; call it with ()")
    raise TypeError(f"a {type(value).__name__} is no value for a template")


def printable(value: Any) -> Any:
    """A value that may become text: no method that somebody forgot to call, no object's address."""
    return value if isinstance(value, str | int | float | date) else plain(value)


def basename(path: str) -> str:
    """The last part of a path or URI: `s3://bucket/a/b.csv` gives `b.csv`."""
    return path.rstrip("/").rpartition("/")[2]


def dirname(path: str) -> str:
    """What is before the last part: `s3://bucket/a/b.csv` gives `s3://bucket/a`; empty where there is nothing."""
    head, slash, _ = path.rstrip("/").rpartition("/")
    return slash if slash and not head else head


def suffix(path: str) -> str:
    """The last part's ending with its dot: `a/b.tar.gz` gives `.gz`, `a/b` and `.hidden` give an empty text."""
    name = basename(path)
    at = name.rfind(".")
    return name[at:] if 0 < at < len(name) - 1 else ""


def stem(path: str) -> str:
    """The last part without its suffix: `a/b.tar.gz` gives `b.tar`."""
    name = basename(path)
    return name[: len(name) - len(suffix(name))]


def slug(text: str) -> str:
    """Lower case letters and digits (of any script), with one `-` for whatever is between them."""
    return re.sub(r"[\W_]+", "-", text.casefold()).strip("-")


def isodate(value: datetime | date | float | str) -> str:
    """The date in UTC as `2026-11-21`, of a time, seconds since 1970, or RFC 3339 text.

    A time without a zone is taken as it stands.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, int | float):
        value = datetime.fromtimestamp(value, UTC)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).date().isoformat()
    return value.isoformat()


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    """`str.replace`, refused before it makes more than a template may."""
    found = text.count(old) if count < 0 else min(count, text.count(old))
    within(len(text) + found * (len(new) - len(old)))
    return text.replace(old, new, count)


def zfill(text: str, width: int) -> str:
    """`str.zfill`, refused before it makes more than a template may."""
    within(width)
    return text.zfill(width)


def join(values: Iterable[Any], separator: str = "") -> str:
    """The values as text, with the separator between them."""
    texts: list[str] = []
    total = 0
    for value in values:
        texts.append(str(printable(value)))
        total += len(texts[-1]) + len(separator)
        within(total - len(separator))
    return separator.join(texts)


def joined_by(separator: str, values: Iterable[Any]) -> str:
    """`str.join`, refused before it makes more than a template may."""
    return join(values, separator)


def string(value: Any) -> str:
    """The value as text."""
    return str(printable(value))


def total(values: Iterable[float], start: float = 0) -> float:
    """The sum of numbers, and of nothing else: adding lists up would multiply them."""
    for value in values:
        if not isinstance(value, int | float):
            raise TypeError(f"sum is for numbers, not for {type(value).__name__}")
        start += value
    return start


def rounded(value: float, precision: int = 0) -> float:
    """Round half to even, to 15 places at most."""
    if not -15 <= precision <= 15:  # noqa: PLR2004 - a float has no more places than that
        raise LimitError("round takes a precision from -15 to 15")
    return round(float(value), precision)


def tojson(value: Any) -> str:
    """Compact JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _bounded(filter_: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(filter_)  # Carries Jinja's marks ("wants the environment first") over as well.
    def bounded(*args: Any, **kwargs: Any) -> Any:
        result = filter_(*args, **kwargs)
        if isinstance(result, str):
            within(len(result))
        return result

    return bounded


# Left out of Jinja's own: what reaches attributes (attr), formats (format), is random, marks text as safe, or can
# blow a small text or list up (center, indent, batch, slice, groupby, urlize, wordwrap, xmlattr, pprint). Regular
# expressions are left out because Python's can be made to take for ever by a hostile file name.
_JINJA_FILTERS = (
    "abs capitalize count d default dictsort filesizeformat first float int items last length list lower map max min "
    "reject rejectattr reverse select selectattr sort title trim truncate unique upper urlencode wordcount"
)
_JINJA_TESTS = (
    "odd even divisibleby defined undefined none boolean false true integer float lower upper string mapping number "
    "sequence iterable in == eq equalto != ne > gt greaterthan ge >= < lt lessthan <= le"
)

_OWN_FILTERS: Mapping[str, Callable[..., Any]] = {
    "basename": basename,
    "dirname": dirname,
    "isodate": isodate,
    "join": join,
    "replace": replace,
    "round": rounded,
    "slug": slug,
    "stem": stem,
    "string": string,
    "suffix": suffix,
    "sum": total,
    "tojson": tojson,
}
_JINJA: Mapping[str, Any] = filters.FILTERS
_TAKEN_OVER: Mapping[str, Callable[..., Any]] = {name: _JINJA[name] for name in _JINJA_FILTERS.split()}
FILTERS: Mapping[str, Callable[..., Any]] = {
    name: _bounded(filter_) for name, filter_ in {**_TAKEN_OVER, **_OWN_FILTERS}.items()
}
_JINJA_OWN_TESTS: Mapping[str, Any] = tests.TESTS
TESTS: Mapping[str, Callable[..., Any]] = {name: _JINJA_OWN_TESTS[name] for name in _JINJA_TESTS.split()}
