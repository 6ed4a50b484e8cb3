"""What a backfill of a job is made of: the job's partitions, and the request for one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rules.request import BACKFILL, PARTITION_END, PARTITION_START, RunRequest
from rules.templates import TemplateError
from rules.triggers import Rule
from sensord.config import Config, SensorConfig
from sensord.partitions import PartitionsConfig
from sensord.run_events import Hooks
from sensord.sources.schedule import ScheduleConfig, second

if TYPE_CHECKING:
    from rules.backfill import Slice
    from rules.partitions import Partitions

_BEFORE = timedelta(microseconds=1)


class Unsliceable(ValueError):
    """A job without partitions, or one of which no request can be made; the text says what to write."""


class Schedule(Struct, frozen=True, kw_only=True):
    """A schedule with partitions that starts the job: its keys, and its rule."""

    config: ScheduleConfig
    rule: Rule


class Sliced(Struct, frozen=True, kw_only=True):
    """A job as backfills see it. `schedules` are those with partitions, by the names of their sensors."""

    job: str
    hooks: Hooks
    tags: Mapping[str, str]
    priority: int
    concurrency: int | None
    check_config: Callable[[Any], Awaitable[str | None]]
    own: PartitionsConfig | None
    schedules: Mapping[str, Schedule]

    def partitions(self) -> Partitions:
        """The job's own, else those of its schedule. Unsliceable where there are none, or several."""
        if self.own is not None:
            return self.own.definition(UTC)
        found = {name: one.config.slices() for name, one in self.schedules.items()}
        first = next(iter(found.values()), None)
        if first is None:
            raise Unsliceable(
                f"job {self.job} has no partitions; say which slices its data comes in, for example "
                f"'partitions: {{every: daily, start: 2026-01-31}}' below jobs.{self.job}"
            )
        if any(one != first for one in found.values()):
            raise Unsliceable(
                f"the schedules {', '.join(found)} give job {self.job} different partitions; "
                f"write its own below jobs.{self.job}"
            )
        return first

    def written(self) -> dict[str, Any] | None:
        """The keys of its partitions as somebody wrote them, with their time zone; None where nobody did."""
        if self.own is not None:
            return {"timezone": "UTC"} | self.own.model_dump(mode="json", exclude_none=True)
        for schedule in self.schedules.values():
            if schedule.config.partitions is not None:
                keys = schedule.config.partitions.model_dump(mode="json", exclude_none=True)
                return {"timezone": schedule.config.timezone} | keys
        return None

    def request(self, one: Slice, overrides: Mapping[str, Any], backfill: str) -> RunRequest:
        """The run for a partition: what its schedule would ask for, where it has one, and `overrides` over that.

        Unsliceable where the schedule's rule cannot be applied to the partition.
        """
        run_config, tags, priority = dict(overrides), dict(self.tags), self.priority
        if len(self.schedules) == 1:
            ((name, schedule),) = self.schedules.items()
            made, its_tags = _rendered(name, schedule, one)
            run_config = {**made, **overrides}
            tags |= its_tags
            priority = schedule.rule.priority
        tags[BACKFILL] = backfill
        if one.start is not None and one.end is not None:
            tags |= {PARTITION_START: second(one.start), PARTITION_END: second(one.end)}
        return RunRequest(run_config=run_config, tags=tags, job_name=self.job, partition_key=one.key, priority=priority)


def sliced_job(
    config: Config,
    name: str,
    hooks: Hooks,
    check: Callable[[Any], Awaitable[str | None]],
    rule_of: Callable[[Config, SensorConfig], Rule],
) -> Sliced:
    """A job of the configuration as backfills see it."""
    job = config.jobs[name]
    schedules = {
        sensor: Schedule(config=one.source, rule=rule_of(config, one))
        for sensor, one in config.sensors.items()
        if isinstance(one.source, ScheduleConfig) and one.source.partitions is not None and name in one.jobs
    }
    return Sliced(
        job=name,
        hooks=hooks,
        tags=job.tags,
        priority=job.priority,
        concurrency=job.concurrency,
        check_config=check,
        own=job.partitions,
        schedules=schedules,
    )


def _rendered(name: str, schedule: Schedule, one: Slice) -> tuple[dict[str, Any], dict[str, str]]:
    """The run_config and the tags that a schedule gives the run of this partition."""
    context = _context(name, schedule.config, one)
    try:
        run_config = schedule.rule.run_config.render(context)
        tags = schedule.rule.tags.render(context)
    except TemplateError as error:
        raise Unsliceable(
            f"sensor {name} makes the run_config and the tags of a partition's run, and cannot for {one.key}: {error}"
        ) from None
    if not isinstance(run_config, dict):
        raise Unsliceable(f"the run_config of sensor {name} is no mapping for {one.key}")
    return run_config, {tag: str(value) for tag, value in tags.items()}


def _context(name: str, config: ScheduleConfig, one: Slice) -> dict[str, Any]:
    """What the schedule's templates see: the partition, and the first instant at which it had ended."""
    if one.start is None or one.end is None:
        return {"partition": {"key": one.key}, "subject": f"{name} {one.key}", "key": one.key}
    partition = {"key": one.key, "start": second(one.start), "end": second(one.end)}
    instant = config.schedule().next(one.end - _BEFORE)
    if instant is None:
        return {"partition": partition, "subject": f"{name} {one.key}", "key": one.key}
    at = second(instant)
    return {"partition": partition, "schedule": config.context(instant), "subject": f"{name} {at}", "key": at}
