"""The sensors of the configuration: the source that one looks with, and the rule that decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from notifiers.clock import Clock
from rules.keys import ONCE
from rules.triggers import Rule, compile_rule
from sensord.config import Config, SensorConfig
from sensord.event_feed import EventFeed
from sensord.ledger.database import LedgerDatabase
from sensord.sources import Source
from sensord.sources.dagster import DagsterConfig, open_dagster
from sensord.sources.directory import DirectoryConfig, open_directory
from sensord.sources.lineage import LineageConfig, open_lineage
from sensord.sources.python import PythonConfig, open_python
from sensord.sources.runs import RunsConfig, open_runs
from sensord.sources.s3 import S3Config, open_s3
from sensord.sources.schedule import ScheduleConfig, open_schedule
from sensord.sources.topic import TopicConfig, open_topic

_ON_EVENTS: Mapping[type, Callable[..., AbstractAsyncContextManager[Source]]] = {
    LineageConfig: open_lineage,
    RunsConfig: open_runs,
    TopicConfig: open_topic,
}


def open_source(
    name: str, sensor: SensorConfig, *, database: LedgerDatabase, feed: EventFeed, clock: Clock
) -> AbstractAsyncContextManager[Source]:
    """What one sensor looks with, which nothing runs yet."""
    if isinstance(sensor.source, DirectoryConfig):
        return open_directory(name, sensor.source, clock=clock)
    if (on_events := _ON_EVENTS.get(type(sensor.source))) is not None:
        return on_events(name, sensor.source, database=database, feed=feed)
    if isinstance(sensor.source, PythonConfig):
        return open_python(
            name,
            sensor.source,
            jobs=sensor.jobs,
            remembers=sensor.keys.rule == ONCE,
            database=database,
            clock=clock,
        )
    if isinstance(sensor.source, S3Config):
        return open_s3(name, sensor.source, clock=clock, latest=sensor.keys.policy == "latest_wins")
    if isinstance(sensor.source, DagsterConfig):
        return open_dagster(name, sensor.source, database=database, clock=clock)
    if isinstance(sensor.source, ScheduleConfig):
        return open_schedule(name, sensor.source, clock=clock)
    raise TypeError(f"sensor {name}: no source is known for {type(sensor.source).__name__}")


def rule_of(config: Config, sensor: SensorConfig) -> Rule:
    """A sensor's rule; the tags of its jobs are under those that it sets itself."""
    tags: dict[str, str] = {}
    for job in sensor.jobs:
        tags |= config.jobs[job].tags
    return compile_rule(
        jobs=sensor.jobs,
        run_key=sensor.run_key,
        run_config=sensor.run_config,
        tags=tags | sensor.tags,
        when=sensor.when,
        partition_key=sensor.partition_key,
        priority=sensor.priority or max((config.jobs[job].priority for job in sensor.jobs), default=0),
    )
