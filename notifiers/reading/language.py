"""A language as messages need it: texts, plural forms, numbers, durations, times. English needs no library."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import orjson
from jinja2.runtime import Undefined
from msgspec import Struct

from notifiers.reading import Reader
from notifiers.zones import zone_of
from rules.trend import sparkline

if TYPE_CHECKING:
    from babel import Locale
    from babel.messages.catalog import Catalog

_TIMES: Final = ((86400, "d", "day"), (3600, "h", "hour"), (60, "min", "minute"))
_NUMBERS: Final = (int, float)
_LONGEST_S: Final = 1e9  # Beyond it is no duration of a run.
_TENTHS: Final = 10
_NUMBER: Final = re.compile(r"-?\d+\.\d+")
_LINES: Final = 40
_FORMS: Final = {"one": 0, "few": 1}
_MANY: Final = 2


@lru_cache(maxsize=8)
def catalogue(lang: str) -> Catalog:
    """The catalogue of a language other than English."""
    from babel.messages.pofile import read_po

    with files("notifiers.reading").joinpath(f"{lang}.po").open("rb") as file:
        return read_po(file, locale=lang)


@lru_cache(maxsize=64)
def language(reader: Reader) -> Language:
    """How that reader reads. A zone that does not exist is UTC: what lets readers in checks them."""
    try:
        zone = zone_of(reader.zone)
    except ValueError:
        zone = UTC
    if reader.lang == "en":
        return Language(reader.lang, zone)
    from babel import Locale

    return Translated(reader.lang, zone, Locale.parse(reader.lang), catalogue(reader.lang))


class Language(Struct, frozen=True):
    """English; others say the same by their catalogue. Each method takes anything, and shows what it does not know."""

    lang: str
    zone: tzinfo

    def text(self, source: str) -> str:
        """A template's text in this language."""
        return source

    def forms(self, one: str, other: str) -> Sequence[str]:
        """The texts of the plural forms, in the order in which `form` counts them."""
        return (one, other)

    def form(self, count: int) -> int:
        """Which plural form a number takes."""
        return 0 if count == 1 else 1

    def number(self, value: Any) -> str:
        """A number with its thousands apart."""
        return f"{value:,}" if _is_number(value) else self.show(value)

    def percent(self, value: Any) -> str:
        """A share of one, as a percentage without decimals."""
        return f"{value:.0%}" if _is_number(value) and abs(value) < _LONGEST_S else self.show(value)

    def duration(self, value: Any) -> str:
        """Seconds, as a person says them: `1 min 23 s`."""
        if type(value) not in _NUMBERS or not 0 <= value < _LONGEST_S:
            return self.show(value)
        if value < 1:
            return self._unit(f"{value * 1000:.0f}", "ms", "millisecond")
        rest = whole = round(value)
        said: list[str] = []
        for size, unit, name in _TIMES:
            if rest >= size:
                said.append(self._unit(str(rest // size), unit, name))
                rest = 0 if unit == "d" else rest % size
        if rest or not said:
            exact = value < _TENTHS and value != whole
            said.append(self._unit(self._decimal(f"{value:.1f}") if exact else str(rest), "s", "second"))
        return " ".join(said)

    def moment(self, value: Any) -> str:
        """A time by the reader's clock, to the minute, with the zone's short name."""
        found = _moment(value)
        if found is None:
            return self.show(value)
        local = found.astimezone(self.zone)
        return f"{self._date(local)} {local.tzname() or ''}".strip()

    def day(self, value: Any) -> str:
        """The same with the year, as it is sorted."""
        found = _moment(value)
        if found is None:
            return self.show(value)
        local = found.astimezone(self.zone)
        return f"{local:%Y-%m-%d %H:%M} {local.tzname() or ''}".strip()

    def clock(self, value: datetime) -> str:
        """The time of the day alone."""
        local = value.astimezone(self.zone)
        return f"{local:%H:%M} {local.tzname() or ''}".strip()

    def lines(self, value: Any, most: int = _LINES) -> str:
        """The last lines of a text, or of a list of them."""
        if isinstance(value, str):
            found = value.splitlines()
        elif isinstance(value, list | tuple):
            found = [self.show(line) for line in value]
        else:
            return self.show(value)
        return "\n".join(found[-most:])

    def failed_rows(self, metrics: Any) -> str:
        """Of a check's metrics, how many rows of how many failed: `12 / 1,000 (1.2%)`; nothing where not both are."""
        found = _failed_of(metrics)
        if found is None:
            return ""
        failed, rows = found
        said = f"{self.number(failed)} / {self.number(rows)}"
        if not failed or not rows:
            return said
        share = 100 * failed / rows
        exact = f"{share:.0f}" if share >= _TENTHS or share == round(share) else f"{share:.2g}"
        return f"{said} ({self._hundredths(exact)})"

    def other_metrics(self, metrics: Any) -> Any:
        """A check's metrics without those that `failed_rows` says."""
        if _failed_of(metrics) is None:
            return metrics
        return {key: value for key, value in metrics.items() if key not in _FAILED_OF}

    def trend(self, counts: Any) -> str:
        """A bar for each of the last results, and the most: `▁▁▃█ (≤ 12)`; nothing where there is none to be seen."""
        if not isinstance(counts, Sequence) or isinstance(counts, str):
            return ""
        shown = [count for count in map(_count, counts) if count is not None]
        several = len(shown) > 1 and any(shown)
        return f"{sparkline(shown)} (≤ {self.number(max(shown))})" if several else ""

    def show(self, value: Any) -> str:  # noqa: PLR0911 - one for each kind of value
        """Any JSON value as text for a person; what is not there as nothing; anything else as its own text."""
        kind = type(value)
        try:
            if kind is str or kind is int:
                return str(value)
            if value is None or isinstance(value, Undefined):
                return ""
            if kind is bool:
                return self.text("yes" if value else "no")
            if kind is float:
                return self._decimal(str(value))
            if isinstance(value, str | int | float):
                return str(value)
            return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode()
        except (TypeError, ValueError):
            # Not JSON after all, or an integer in it is too long for Python to write in decimals.
            return self.text("({{ type }} that cannot be shown)").replace("{{ type }}", kind.__name__)

    def _unit(self, amount: str, short: str, name: str) -> str:  # noqa: ARG002 - other languages know it by its name
        return f"{amount} {short}"

    def _decimal(self, text: str) -> str:
        return text

    def _hundredths(self, text: str) -> str:
        return f"{text}%"

    def _date(self, local: datetime) -> str:
        return f"{local:%d %b %H:%M}"


class Translated(Language, frozen=True):
    """A language with a catalogue; numbers, units and dates are those of Babel's locale data (CLDR)."""

    locale: Locale
    messages: Catalog

    def text(self, source: str) -> str:
        """The catalogue's text; where it has none, or a doubtful one, the source."""
        found = self.messages.get(source)
        return str(found.string) if found is not None and found.string and not found.fuzzy else source

    def forms(self, one: str, other: str) -> Sequence[str]:
        """The catalogue's forms; where it has none, English ones as this language counts."""
        found = self.messages.get(one)
        if found is not None and isinstance(found.string, tuple) and all(found.string) and not found.fuzzy:
            return [str(form) for form in found.string]
        return [one if self.form(1) == form else other for form in range(self.messages.num_plurals)]

    def form(self, count: int) -> int:
        """By CLDR's rule for the language; the catalogue has its forms in the same order."""
        return min(_FORMS.get(self.locale.plural_form(abs(count)), _MANY), self.messages.num_plurals - 1)

    def number(self, value: Any) -> str:
        """As the locale writes it."""
        from babel.numbers import format_decimal

        return format_decimal(value, locale=self.locale) if _is_number(value) else self.show(value)

    def percent(self, value: Any) -> str:
        """As the locale writes it."""
        from babel.numbers import format_percent

        usual = _is_number(value) and abs(value) < _LONGEST_S
        return format_percent(value, locale=self.locale) if usual else self.show(value)

    def _unit(self, amount: str, short: str, name: str) -> str:  # noqa: ARG002 - English's own
        return _unit(self.lang, name, amount)

    def _decimal(self, text: str) -> str:
        return text.replace(".", _decimal_sign(self.lang)) if _NUMBER.fullmatch(text) else text

    def _hundredths(self, text: str) -> str:
        return self.percent(0).replace("0", self._decimal(text))

    def _date(self, local: datetime) -> str:
        from babel.dates import format_datetime

        return format_datetime(local.replace(tzinfo=None), "d MMM HH:mm", locale=self.locale)


@lru_cache(maxsize=10_000)
def _unit(lang: str, name: str, amount: str) -> str:
    from babel.units import format_unit

    # The short names of units are the same for every number, e.g. "0 мин".
    return format_unit(0, f"duration-{name}", "short", locale=lang).replace("0", amount, 1)


@lru_cache(maxsize=8)
def _decimal_sign(lang: str) -> str:
    from babel.numbers import get_decimal_symbol

    return get_decimal_symbol(lang)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST else None


_FAILED_OF: Final = ("failed", "rows")


def _failed_of(metrics: Any) -> tuple[int, int] | None:
    """How many rows failed, of how many; None where not both are counted."""
    if not isinstance(metrics, Mapping):
        return None
    failed, rows = (_count(metrics.get(name)) for name in _FAILED_OF)
    return None if failed is None or rows is None else (failed, rows)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_LARGEST < value < _LARGEST


_LARGEST: Final = 1e30
_YEARS: Final = (2, 9998)  # Beyond them, a time can have none in another zone.


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value[:40])
        except ValueError:
            return None
    known = isinstance(value, datetime) and value.tzinfo is not None and _YEARS[0] <= value.year <= _YEARS[1]
    return value if known else None
