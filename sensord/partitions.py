"""The `partitions:` of a job or a schedule: which slices its data comes in, and the time zones that they are of."""

from __future__ import annotations

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

from notifiers.settings import Settings
from notifiers.zones import zone_of

if TYPE_CHECKING:
    from rules.partitions import Partitions


def _zone_name(value: str) -> str:
    zone_of(value)
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
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Every = Literal["hourly", "daily", "weekly", "monthly"]
Weekday = Literal["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]


class PartitionsConfig(Settings):
    """The keys of `partitions:`. Also a word (`daily`) or a list of names for short."""

    every: Every | None = Field(default=None, description="slices of time, each named by its beginning")
    static: list[str] | None = Field(
        default=None, description="slices by name; each instant of a schedule runs all of them"
    )
    start: Day | None = Field(default=None, description="no slice begins before this day")
    timezone: ZoneName | None = Field(default=None, description="whose days they are; default: the schedule's, or UTC")
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
        """What the keys above say; `zone` is what it is without a `timezone`."""
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
