"""Made-up events, one of each type that the daemon publishes: a template is seen before anything happens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rules.event import Event, Severity

_TIME: Final = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
_RUN: Final = "019aa000-0000-7000-8000-000000000001"
_ABOUT: Final[Mapping[str, Any]] = {
    "job": "load_houses",
    "run": _RUN,
    "tags": {"team": "geo"},
    "run_key": "houses-2026-11-21",
    "subject": "incoming/houses.csv",
    "partition_key": "2026-11-21",
    "sensor": "houses_drop",
}
_ERROR: Final = "KeyError: 'price'"
_LOG: Final = ["reading incoming/houses.csv", "Traceback (most recent call last):", _ERROR]


def _run(what: str, severity: Severity, message: str = "", after: float = 0.0, **data: Any) -> Event:
    return Event(
        id=f"019aa000-0000-7000-8000-0000000001{len(_RUNS):02}",
        type=f"run.{what}",
        topic=f"runs.load_houses.{what}",
        time=_TIME + timedelta(seconds=after),
        severity=severity,
        message=message or f"load_houses {what}",
        subject="incoming/houses.csv",
        run=_RUN,
        job="load_houses",
        sensor="houses_drop",
        data={**_ABOUT, "status": what, "attempt": 1, **data},
    )


_RUNS: Final[list[Event]] = []
_RUNS.append(_run("queued", Severity.debug))
_RUNS.append(_run("started", Severity.debug, after=1))
_RUNS.append(_run("progress", Severity.debug, after=20, progress=0.4, text="12,000 of 30,000 houses"))
_RUNS.append(_run("retrying", Severity.warning, after=41, error=_ERROR, exit_code=1, duration_s=40.2))
_RUNS.append(_run("succeeded", Severity.info, after=84, duration_s=83.2, exit_code=0, metadata={"rows_read": 30_000}))
_RUNS.append(
    _run("failed", Severity.error, after=84, attempt=3, duration_s=83.2, exit_code=1, error=_ERROR, log_tail=_LOG)
)
_RUNS.append(_run("cancelled", Severity.warning, "cancelled by Ann", after=12, duration_s=11.5))
_RUNS.append(_run("lost", Severity.critical, after=30, error="the process is gone, and left no result"))


def _check(what: str, severity: Severity, **data: Any) -> Event:
    return Event(
        id=f"019aa000-0000-7000-8000-00000000020{int(what == 'failed')}",
        type=f"quality.{what}",
        topic=f"quality.load_houses.{what}",
        time=_TIME,
        severity=severity,
        message=f"load_houses: check price_positive {what}",
        subject="incoming/houses.csv",
        run=_RUN,
        job="load_houses",
        data={**_ABOUT, "check": "price_positive", "passed": what == "passed", "severity": severity.name, **data},
    )


def _sensor(what: str, severity: Severity, reason: str) -> Event:
    return Event(
        id=f"019aa000-0000-7000-8000-00000000030{len(reason) % 10}",
        type=f"sensor.{what}",
        topic=f"sensors.houses_drop.{what}",
        time=_TIME,
        severity=severity,
        message=f"houses_drop: {reason}",
        sensor="houses_drop",
        data={"sensor": "houses_drop", "reason": reason},
    )


def _chat(act: str, **data: Any) -> Event:
    person = {"person": "telegram:123456", "name": "Anna", "place": "telegram:-100123456", "allowed": True}
    return Event(
        id=f"019aa000-0000-7000-8000-00000000050{len(act) % 10}",
        type=f"chat.{act}",
        topic=f"chat.{act}",
        time=_TIME,
        message=f"Anna (telegram:123456): {act}",
        data={**person, **data},
    )


_ALL: Final = (
    *_RUNS,
    _check("passed", Severity.info, metrics={"rows": 30_000, "share": 1.0}),
    _check(
        "failed",
        Severity.error,
        detail="2 of 30,000 rows have a price below zero",
        metrics={"rows": 30_000, "bad": 2, "share": 0.99993},
        sample=[{"id": 17, "price": -3, "city": "Porto"}, {"id": 254, "price": -1, "city": "Лиссабон"}],
    ),
    _sensor("failed", Severity.error, "the folder incoming is away"),
    _sensor("recovered", Severity.info, "the folder incoming is back"),
    _sensor("overdue", Severity.error, "no file came since 2026-11-20 09:30 UTC"),
    _chat("test", subscriptions=["bp.houses.> severity>=warning"]),
    _chat("subscribed", topic="bp.houses.>"),
    Event(
        id="019aa000-0000-7000-8000-000000000400",
        type="message",
        topic="bp.houses.oks",
        time=_TIME,
        message="Houses are loaded.\nAll of Portugal.",
        data={"rows": 30_000, "complete": True, "by_city": {"Porto": 12_000, "Lisboa": 18_000}},
    ),
)

SAMPLES: Final[Mapping[str, Event]] = {one.type: one for one in _ALL}
"""By their types."""
