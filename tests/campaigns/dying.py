"""A daemon that dies at a named point: `python -m tests.campaigns.dying POINT NTH` and then sensord's own words.

`POINT` is `before:NAME` or `after:NAME`; at the NTH time that the daemon comes there it is gone, as by kill -9. A name
is one of OPS, a transaction that holds that step (before: nothing of it is durable; after: all of it is, and nobody
was told), one of CALLS, something that goes out of the process, or one of LOOKS, a source's look at what is outside.

Where HURRIED says since when (seconds since 1970), schedules live sixty times as fast, from life to life.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import anyio

from notifiers.clock import Clock
from notifiers.sending import Sending
from sensord import event_log, sensors
from sensord.cli import main
from sensord.elsewhere_notes import Notes
from sensord.launchers.command_link import Link
from sensord.launchers.dagster_jobs import Server
from sensord.launchers.dagster_side import DagsterSide
from sensord.launchers.http_wire import Wire
from sensord.ledger import database
from sensord.sources.dagster_graphql import Graph
from sensord.sources.directory_files import Files
from sensord.sources.directory_scan import Walk
from sensord.sources.python_source import PythonSource
from sensord.sources.s3_listing import Bucket
from sensord.sources.s3_queue import Queue
from sensord.sources.schedule import open_schedule
from sensord.sources.schedule_source import ScheduleSource

HURRIED = "SENSORD_TEST_HURRIED_SINCE"
SPEED = 60.0
OPS = ("commit_ticks", "commit_steps", "commit_routed", "_take", "record")
CALLS = ("launch", "send")
# What is looked at from outside, by name: where the function is, and its own name.
LOOKS: dict[str, tuple[Any, str]] = {
    "list": (Walk, "step"),
    "look": (Files, "look"),
    "read": (event_log, "read_events"),
    "page": (Bucket, "page"),
    "receive": (Queue, "_receive"),
    "delete": (Queue, "_delete"),
    "due": (ScheduleSource, "_emit_due"),
    "ask": (Graph, "ask"),
    "order": (PythonSource, "_order"),
    "hear": (PythonSource, "_heard"),
    "note": (Notes, "write"),
    "request": (Wire, "ask"),
    "begin": (DagsterSide, "start"),
    "query": (Server, "ask"),
}


def around(*names: str) -> list[str]:
    """The points before and after each of these."""
    return [f"{when}:{name}" for name in names for when in ("before", "after")]


POINTS = around(*OPS, *CALLS)


class Point:
    """Where it dies, and how often it may pass before that."""

    def __init__(self, point: str, nth: int) -> None:
        self.when, _, self.name = point.partition(":")
        self._left = nth

    def passes(self, when: str, names: set[str]) -> None:
        """It comes by, before or after something of those names."""
        if when == self.when and self.name in names:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(point: Point) -> None:
    """Put the point in the way of what the daemon does."""
    commit: Callable[..., Any] = database._commit

    def committed(conn: Any, batch: Any) -> Any:
        names = {job.op.__name__ for job in batch}
        point.passes("before", names)
        result = commit(conn, batch)
        point.passes("after", names)
        return result

    database._commit = committed
    start: Callable[..., Any] = Link.start

    def launched(self: Link, token: str, request: Any, started: Callable[[int], None]) -> Any:
        point.passes("before", {"launch"})
        followed = start(self, token, request, started)
        point.passes("after", {"launch"})
        return followed

    Link.start = launched  # type: ignore[method-assign]
    attempt: Callable[..., Awaitable[Any]] = Sending.attempt

    async def attempted(self: Sending, claimed: Any) -> Any:
        outward = {"send"} if not claimed.destination.startswith("inbox:") else set()
        point.passes("before", outward)
        result = await attempt(self, claimed)
        point.passes("after", outward)
        return result

    Sending.attempt = attempted  # type: ignore[method-assign]
    for name, (holder, function) in LOOKS.items():
        setattr(holder, function, watched(point, name, getattr(holder, function)))


def watched(point: Point, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a point before and one after it."""

    async def waited(*arguments: Any, **keys: Any) -> Any:
        point.passes("before", {name})
        result = await function(*arguments, **keys)
        point.passes("after", {name})
        return result

    def called(*arguments: Any, **keys: Any) -> Any:
        point.passes("before", {name})
        result = function(*arguments, **keys)
        point.passes("after", {name})
        return result

    return waited if inspect.iscoroutinefunction(function) else called


def hurry(since: float) -> None:
    """Have schedules live faster: a minute is a second."""

    def now() -> datetime:
        return datetime.fromtimestamp(since + (time.time() - since) * SPEED, UTC)

    clock = Clock(
        now=now,
        monotonic=lambda: time.monotonic() * SPEED,
        sleep=lambda seconds: anyio.sleep(seconds / SPEED),
    )
    sensors.open_schedule = lambda name, config, **_: open_schedule(name, config, clock=clock)  # type: ignore[attr-defined]


if __name__ == "__main__":
    arm(Point(sys.argv[1], int(sys.argv[2])))
    if HURRIED in os.environ:
        hurry(float(os.environ[HURRIED]))
    sys.argv[:] = ["sensord", *sys.argv[3:]]
    main()
