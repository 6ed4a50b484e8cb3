"""The partitions of a job and those of the schedules that start it: a key has to mean one slice of data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING

from sensord.config.file import Document
from sensord.config.problems import Loc, Problem, problem
from sensord.config.sections import Config
from sensord.sources.schedule import ScheduleConfig

if TYPE_CHECKING:
    from rules.partitions import Partitions


def apart(document: Document, config: Config) -> Iterator[Problem]:
    """Schedules whose partitions are others than those of a job that they start."""
    for name, sensor in config.sensors.items():
        if not isinstance(sensor.source, ScheduleConfig) or sensor.source.partitions is None:
            continue
        theirs = sensor.source.slices()
        for job in sensor.jobs:
            own = config.jobs[job].partitions
            if own is None or theirs is None:
                continue
            mine = own.definition(UTC)
            if not _agree(mine, theirs):
                loc: Loc = ("sensors", name, "schedule", "partitions")
                words = f"{_told(theirs)} here, and {_told(mine)} in jobs.{job}.partitions"
                hint = "make them the same, or leave those of the job out: it then has these"
                yield problem(document.place(loc, key=True), loc, words, hint=hint)


def _agree(mine: Partitions, theirs: Partitions) -> bool:
    """Whether a key means the same in both. They may begin at different days; a schedule may run some names alone."""
    from rules.partitions import StaticPartitions

    if isinstance(mine, StaticPartitions) or isinstance(theirs, StaticPartitions):
        return (
            isinstance(mine, StaticPartitions)
            and isinstance(theirs, StaticPartitions)
            and set(theirs.keys) <= set(mine.keys)
        )
    weeks_apart = mine.every == "weekly" and mine.week_start != theirs.week_start
    return mine.every == theirs.every and mine.zone == theirs.zone and not weeks_apart


def _told(partitions: Partitions) -> str:
    from rules.partitions import StaticPartitions

    if isinstance(partitions, StaticPartitions):
        return f"they are {', '.join(partitions.keys[:5])}{', …' if len(partitions.keys) > 5 else ''}"  # noqa: PLR2004
    weeks = f" from {partitions.week_start} on" if partitions.every == "weekly" else ""
    return f"they are {partitions.every}{weeks} in {partitions.zone}"
