"""Checks of files as they land: made in a process of their own, before the job is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notifiers.clock import Clock
    from sensord.config import Config
    from sensord.launchers import Launcher
    from sensord.ledger.database import LedgerDatabase
    from sensord.run_events import Hooks


def with_checks(
    config: Config,
    launchers: Mapping[str, Launcher],
    hooks: Mapping[str, Hooks],
    *,
    database: LedgerDatabase,
    clock: Clock,
    published: Callable[[], None],
) -> Mapping[str, Launcher]:
    """The launchers, those of jobs whose files are checked with the checks before them.

    Nothing that checking needs is loaded where nothing is checked.
    """
    sensors = {name: sensor for name, sensor in config.sensors.items() if sensor.checks is not None}
    jobs = {name for name, job in config.jobs.items() if job.checks is not None}
    jobs.update(name for sensor in sensors.values() for name in sensor.jobs)
    if not jobs:
        return launchers
    from sensord.checks.launcher import checking
    from sensord.checks.objects import Objects
    from sensord.checks.settings import read_settings
    from sensord.sources.s3 import S3Config

    by_sensor = {name: read_settings(sensor.checks) for name, sensor in sensors.items()}
    buckets = {name: one.source for name, one in config.sensors.items() if isinstance(one.source, S3Config)}
    shared = checking(database, clock, published, by_sensor, Objects(buckets, config.state))
    result = dict(launchers)
    for name in jobs:
        job = config.jobs[name]
        own = None if job.checks is None else read_settings(job.checks)
        folder = getattr(job.launcher, "cwd", None)
        result[name] = shared.launcher(launchers[name], own, hooks[name], folder)
    return result
