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
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from notifiers.clock import SYSTEM, Clock
from notifiers.settings import Duration, Settings
from notifiers.zones import zone_of
from sensord.partitions import PartitionsConfig, ZoneName
from sensord.sources import Source

if TYPE_CHECKING:
    from rules.partitions import Partitions
    from rules.schedules import Cron

_DAY = 86_400.0


def _cron(value: str) -> str:
    from rules.schedules import parse_cron

    parse_cron(value, UTC)
    return value


CronText = Annotated[str, AfterValidator(_cron)]


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

    def context(self, instant: datetime) -> dict[str, str]:
        """What templates see of an instant, as `schedule`."""
        return {
            "at": second(instant),
            "local": instant.astimezone(zone_of(self.timezone)).isoformat(),
            "cron": self.cron,
            "timezone": self.timezone,
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """With the short form."""
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(core))]}


def second(instant: datetime) -> str:
    """An instant of a schedule, or the end of a window, as text: whole seconds in UTC."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@asynccontextmanager
async def open_schedule(name: str, config: ScheduleConfig, *, clock: Clock = SYSTEM) -> AsyncIterator[Source]:
    """A source of this schedule's instants."""
    from sensord.sources.schedule_source import ScheduleSource

    yield ScheduleSource(name, config, clock)
