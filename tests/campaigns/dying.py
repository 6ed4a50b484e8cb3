"""A daemon that dies at a named point: `python -m tests.campaigns.dying POINT NTH` and then sensord's own words.

`POINT` is `before:NAME` or `after:NAME`; at the NTH time that the daemon comes there it is gone, as by kill -9. A name
is one of OPS, a transaction that holds that step (before: nothing of it is durable; after: all of it is, and nobody
was told), or one of CALLS, something that goes out of the process.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from notifiers.sending import Sending
from sensord.cli import main
from sensord.launchers.command_link import Link
from sensord.ledger import database

OPS = ("commit_ticks", "commit_steps", "commit_routed", "claim", "record")
CALLS = ("launch", "send")
POINTS = [f"{when}:{name}" for name in (*OPS, *CALLS) for when in ("before", "after")]


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


if __name__ == "__main__":
    arm(Point(sys.argv[1], int(sys.argv[2])))
    sys.argv[:] = ["sensord", *sys.argv[3:]]
    main()
