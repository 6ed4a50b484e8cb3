"""Jobs that start one another: a circle of them would run for ever, and is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rules.topics import matches
from sensord.config.file import Document
from sensord.config.parts import JobConfig, SensorConfig
from sensord.config.problems import Loc, Problem, did_you_mean, problem
from sensord.config.sections import Config
from sensord.sources.runs import RunsConfig
from sensord.sources.topic import TopicConfig

_STEPS = ("queued", "started", "progress", "retrying", "succeeded", "failed", "cancelled", "lost")


def unknown_jobs(document: Document, config: Config) -> Iterator[Problem]:
    """Jobs whose runs are looked at, and which there are not."""
    for name, sensor in config.sensors.items():
        for index, job in enumerate(sensor.source.job if isinstance(sensor.source, RunsConfig) else ()):
            if job not in config.jobs:
                loc = _written(document, name, index)
                hint = did_you_mean(job, list(config.jobs), "jobs")
                yield problem(document.place(loc), loc, f"there is no job {job!r}", hint=hint)


def _written(document: Document, sensor: str, index: int) -> Loc:
    named = document.data["sensors"][sensor]["runs"]["job"]
    loc: Loc = ("sensors", sensor, "runs", "job")
    return loc if isinstance(named, str) else (*loc, index)


def circles(document: Document, config: Config) -> Iterator[Problem]:
    """The first circle that a sensor closes."""
    follows: dict[str, list[str]] = {}  # job → the jobs that it starts
    for name, sensor in config.sensors.items():
        for job in _upstream(sensor, config.jobs):
            for started in sensor.jobs:
                path = _path(follows, started, job)
                if path is not None:
                    loc: Loc = ("sensors", name, sensor.kind)
                    told = " → ".join([job, *path])
                    words = f"{told} is a circle: each run would start the next for ever"
                    yield problem(document.place(loc), loc, words, hint="look at fewer jobs, or at a narrower topic")
                    return
                follows.setdefault(job, []).append(started)


def _upstream(sensor: SensorConfig, jobs: Mapping[str, JobConfig]) -> Sequence[str]:
    """The jobs whose events the sensor looks at."""
    if isinstance(sensor.source, RunsConfig):
        return [job for job in sensor.source.job if job in jobs]
    if isinstance(sensor.source, TopicConfig):
        pattern = sensor.source.pattern
        return [name for name, job in jobs.items() if any(matches(pattern, topic) for topic in _topics(name, job))]
    return ()


def _topics(name: str, job: JobConfig) -> Iterator[str]:
    yield from (f"runs.{name}.{step}" for step in _STEPS)
    yield from (f"quality.{name}.{what}" for what in ("passed", "failed"))
    yield from (topic for topic in (job.hooks.success, job.hooks.failure, job.hooks.quality) if topic is not None)


def _path(follows: Mapping[str, Sequence[str]], start: str, goal: str) -> list[str] | None:
    """The jobs from `start` to `goal` along what follows what; None if it does not lead there."""
    paths, seen = [[start]], {start}
    while paths:
        path = paths.pop()
        if path[-1] == goal:
            return path
        for job in follows.get(path[-1], ()):
            if job not in seen:
                seen.add(job)
                paths.append([*path, job])
    return None
