"""The events that runs, checks and sensors publish: their types, topics, severities and words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from notifiers.clock import Clock
from rules.event import Event, Severity, rfc3339
from rules.quality import SEVERITIES, CheckResult, masked

SEVERITY = {
    "queued": Severity.debug,
    "started": Severity.debug,
    "progress": Severity.debug,
    "retrying": Severity.warning,
    "succeeded": Severity.info,
    "failed": Severity.error,
    "cancelled": Severity.warning,
    "lost": Severity.critical,
}


class Hooks(Struct, frozen=True, kw_only=True):
    """The topics on which a job's events are published as well; `mask` are the columns whose values nobody sees."""

    success: str | None = None
    failure: str | None = None
    quality: str | None = None
    mask: tuple[str, ...] = ()

    def topic(self, what: str) -> str | None:
        """The hook for a run's event, where there is one: lost is a failure too."""
        if what == "succeeded":
            return self.success
        return self.failure if what in {"failed", "lost"} else None


class About(Struct, kw_only=True):
    """The run that events are about. `facts` is what all of them say of it in their data; it is made here."""

    run: str
    job: str
    sensor: str | None
    run_key: str | None
    subject: str | None
    requested_at: datetime
    tags: Mapping[str, str] = {}
    partition_key: str | None = None
    facts: Mapping[str, Any] = {}

    def __post_init__(self) -> None:
        """Gather the facts once: a run has three events at least."""
        facts = {"job": self.job, "run": self.run, "tags": dict(self.tags), "requested_at": rfc3339(self.requested_at)}
        if self.sensor is not None:
            facts["sensor"] = self.sensor
        if self.run_key is not None:
            facts["run_key"] = self.run_key
        if self.subject is not None:
            facts["subject"] = self.subject
        if self.partition_key is not None:
            facts["partition_key"] = self.partition_key
        self.facts = facts


def run_event(
    clock: Clock,
    about: About,
    what: str,
    *,
    hooks: Hooks,
    at: datetime | None = None,
    attempt: int = 1,
    message: str = "",
    **data: Any,
) -> Event:
    """The event that a run was `queued`, `started`, `retrying`, or ended as one of the terminal statuses, now or then.

    `data` is added to what every event of a run says.
    """
    return Event(
        id=clock.new_id(),
        type=f"run.{what}",
        topic=f"runs.{about.job}.{what}",
        also=hooks.topic(what),
        time=clock.now() if at is None else at,
        severity=SEVERITY[what],
        message=message or f"{about.job} {what}",
        subject=about.subject,
        run=about.run,
        job=about.job,
        sensor=about.sensor,
        data={**about.facts, "attempt": attempt, "status": what, **data},
    )


def quality_event(clock: Clock, about: About, result: CheckResult, *, hooks: Hooks, **data: Any) -> Event:
    """The event that a check passed or failed; a failed one goes to the job's quality hook as well.

    What it says of earlier results is added where it is published: see `notifiers.check_history`.
    """
    result = masked(result, hooks.mask)
    what = "passed" if result.passed else "failed"
    subject = result.subject or about.subject
    detail = f": {result.detail}" if result.detail else ""
    return Event(
        id=clock.new_id(),
        type=f"quality.{what}",
        topic=f"quality.{about.job}.{what}",
        also=None if result.passed else hooks.quality,
        time=clock.now(),
        severity=Severity.info if result.passed else SEVERITIES[result.severity],
        message=f"{about.job}: check {result.check} {what}{detail}",
        subject=subject,
        run=about.run,
        job=about.job,
        sensor=about.sensor,
        data={
            "job": about.job,
            "run": about.run,
            "run_key": about.run_key,
            "subject": subject,
            "check": result.check,
            "passed": result.passed,
            "severity": result.severity,
            "detail": result.detail,
            "metrics": dict(result.metrics),
            "sample": [dict(row) for row in result.sample],
            "tags": dict(about.tags),
            **({"series": result.series} if result.series else {}),
            **data,
        },
    )


def sensor_event(clock: Clock, sensor: str, what: str, message: str) -> Event:
    """The event that a sensor `failed`, `recovered` or is `overdue`."""
    return Event(
        id=clock.new_id(),
        type=f"sensor.{what}",
        topic=f"sensors.{sensor}.{what}",
        time=clock.now(),
        severity=Severity.info if what == "recovered" else Severity.error,
        message=f"{sensor}: {message}",
        sensor=sensor,
        data={"sensor": sensor, "reason": message},
    )
