"""A schedule: the instants of a cron expression, each once. `schedule: {cron: "0 9 * * 1-5", timezone: Europe/Lisbon}`.

What is promised: an instant is its run's run_key, and the cursor moves in the transaction that emits it, so restarts, a
second daemon and a clock that is set neither miss one nor run it twice. A new sensor begins now, and so does one whose
expression or zone was changed: nothing of the past is run. Instants that passed while nobody looked (the daemon was
down, the machine slept, the clock was set forward) are what `catch_up` is for; one that is at most a minute late is on
time. Where local time jumps, `rules.schedules` says what holds.

What cannot be promised: where the clock was ahead and is set back, instants that were taken too early are not taken
again when they come; the sensor says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, tzinfo
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from notifiers.clock import SYSTEM, Clock
from notifiers.settings import Duration, Settings
from sensord.sources import Source

if TYPE_CHECKING:
    from rules.partitions import Partitions
    from rules.schedules import Cron

_DAY = 86_400.0


def zone_of(name: str) -> tzinfo:
    """The IANA zone of that name. ValueError names the nearest one that exists.

    Where the machine has no time zone database (/usr/share/zoneinfo), the package `tzdata` stands in for it; UTC needs
    neither.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    # These stand beside the zones: copies, some of which count leap seconds, and whatever this machine is set to.
    if name.partition("/")[0] not in ("posix", "right", "localtime", "posixrules"):
        try:
            return ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            pass
    raise ValueError(_unknown_zone(name))


def _unknown_zone(name: str) -> str:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    known = {zone.casefold(): zone for zone in available_timezones()}
    word = name[:100].casefold().replace(" ", "_")
    cities = {zone.rpartition("/")[2]: zone for zone in known}
    near = get_close_matches(word, known, n=1, cutoff=0.7)
    near += [cities[city] for city in get_close_matches(word.rpartition("/")[2], cities, n=1, cutoff=0.7)]
    hint = f"did you mean {known[near[0]]!r}?" if near else "write UTC, or a name such as Europe/Lisbon"
    return f"there is no time zone {name[:100]!r}; {hint}"


def _zone_name(value: str) -> str:
    zone_of(value)
    return value


def _cron(value: str) -> str:
    from rules.schedules import parse_cron

    parse_cron(value, UTC)
    return value


def _day(value: Any) -> Any:
    if isinstance(value, date):
        return value
    try:
        if isinstance(value, str) and (day := date.fromisoformat(value)).isoformat() == value:
            return day
    except ValueError:
        pass
    raise ValueError(f"{value!r} is no day; write for example 2026-01-31")


ZoneName = Annotated[str, AfterValidator(_zone_name)]
CronText = Annotated[str, AfterValidator(_cron)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Every = Literal["hourly", "daily", "weekly", "monthly"]
Weekday = Literal["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]


class PartitionsConfig(Settings):
    """The keys of `partitions:`. Also a word (`daily`) or a list of names for short."""

    every: Every | None = Field(default=None, description="slices of time, each named by its beginning")
    static: list[str] | None = Field(default=None, description="slices by name; each instant runs all of them")
    start: Day | None = Field(default=None, description="no slice begins before this day")
    timezone: ZoneName | None = Field(default=None, description="whose days they are; default: the schedule's")
    week_start: Weekday | None = Field(default=None, description="the first day of weekly slices; default: sunday")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"every": data}
        return {"static": data} if isinstance(data, list) else data

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.every is None) == (self.static is None):
            raise ValueError("write either every: hourly, daily, weekly or monthly, or static: [names]")
        if self.week_start is not None and self.every != "weekly":
            raise ValueError("week_start is for every: weekly; leave it out")
        if self.static is not None and (self.start or self.timezone):
            raise ValueError("start and timezone are for slices of time; leave them out beside static")
        self.definition(UTC)
        return self

    def definition(self, zone: tzinfo) -> Partitions:
        """What the keys above say; `zone` is the schedule's."""
        from rules.partitions import static_partitions, time_partitions

        if self.every is None:
            return static_partitions(self.static or ())
        zone = zone if self.timezone is None else zone_of(self.timezone)
        return time_partitions(self.every, zone, start=self.start, week_start=self.week_start or "sunday")

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """With the short forms."""
        schema = handler.resolve_ref_schema(handler(core))
        word = {"type": "string", "enum": ["hourly", "daily", "weekly", "monthly"]}
        names = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        return {"anyOf": [word, names, schema]}


class ScheduleConfig(Settings):
    """The keys of `schedule:`. Also the cron expression alone for short."""

    cron: CronText = Field(
        description="five fields (minute, hour, day of month, month, day of week) in quotes, e.g. '30 6 * * 1-5'; "
        "or hourly, daily, weekly, monthly, yearly"
    )
    timezone: ZoneName = Field(default="UTC", description="whose clocks these are, e.g. Europe/Lisbon")
    jitter: Duration = Field(
        default=0.0, description="start later by up to this long, so that not everything starts at once", ge=0, le=_DAY
    )
    catch_up: Literal["all", "last", "none"] = Field(
        default="last", description="which of the instants that were missed are run: each, the last one, none"
    )
    partitions: PartitionsConfig | None = Field(
        default=None, description="the slices of data that the runs are for: at each instant the one that ended last"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"cron": data} if isinstance(data, str) else data

    def schedule(self) -> Cron:
        """The expression in its zone."""
        from rules.schedules import parse_cron

        return parse_cron(self.cron, zone_of(self.timezone))

    def slices(self) -> Partitions | None:
        """What the runs are for, where that is partitions."""
        return None if self.partitions is None else self.partitions.definition(zone_of(self.timezone))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """With the short form."""
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(core))]}


@asynccontextmanager
async def open_schedule(name: str, config: ScheduleConfig, *, clock: Clock = SYSTEM) -> AsyncIterator[Source]:
    """A source of this schedule's instants."""
    from sensord.sources.schedule_source import ScheduleSource

    yield ScheduleSource(name, config, clock)
