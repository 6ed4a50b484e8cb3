"""An event loop whose time passes only while nothing is to be done: hours of waiting in seconds, the same every time.

Everything that waits by the loop's clock lives in it: sensord, the doubles that judge it, and the libraries that are
measured beside it. Sockets are real. A call over loopback takes no time; what it is to take is slept by who answers.
"""

from __future__ import annotations

import asyncio
import os
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import anyio

from notifiers.clock import Clock

T = TypeVar("T")

START = datetime(2026, 11, 21, tzinfo=UTC)
_LOOKS = 3
_TURN_S = 1e-6  # A turn of the loop takes as much: whoever waits for less than a clock tells would wait for ever.


class _Selector(selectors.DefaultSelector):
    """Tells at once what is ready; where nothing is, and nothing is at work elsewhere, the time goes on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.busy: Callable[[], int] = lambda: 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += _TURN_S
        for _ in range(_LOOKS):
            if found := super().select(0):
                return found
            if timeout == 0:
                return []
            os.sched_yield()
        while self.busy():
            if found := super().select(0.05):
                return found
        if timeout is None:
            return super().select(None)
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module's words. `busy` counts what is at work in threads: the time stands still meanwhile."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._virtual.now

    def waits_for(self, busy: Callable[[], int]) -> None:
        """From now on time passes only while `busy()` is 0."""
        self._virtual.busy = busy

    def clock(self) -> Clock:
        """The time of this loop for whoever is given a clock."""
        return Clock(now=lambda: START + timedelta(seconds=self.time()), monotonic=self.time, sleep=anyio.sleep)


def virtually(function: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run it to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(function(loop))
