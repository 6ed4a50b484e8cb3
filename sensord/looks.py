"""The looks of one source: the pauses between them, and those who ask for one now."""

from __future__ import annotations

from math import inf

import anyio

from notifiers.clock import Clock


class Looks:
    """Who asks is answered by the first look that begins after that, when it has ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._naps: set[anyio.CancelScope] = set()
        self._asked: list[anyio.Event] = []
        self._looking: list[anyio.Event] = []

    async def now(self) -> None:
        """Have a look begin at once, and return when it has ended."""
        ended = anyio.Event()
        self._asked.append(ended)
        for nap in self._naps:
            nap.cancel()
        await ended.wait()

    async def pause(self, seconds: float = inf) -> None:
        """Wait so long, or until somebody asks; not at all where somebody did since the last look began."""
        if self._asked:
            return
        with anyio.CancelScope() as nap:
            self._naps.add(nap)
            try:
                await (anyio.sleep_forever() if seconds == inf else self._clock.sleep(seconds))
            finally:
                self._naps.discard(nap)

    def begin(self) -> None:
        """A look begins: it will answer all who asked until now."""
        self._looking += self._asked
        self._asked = []

    def end(self) -> None:
        """It has ended, or it was told why it cannot be."""
        looking, self._looking = self._looking, []
        for ended in looking:
            ended.set()

    def give_up(self) -> None:
        """It was not brought to its end: the next one answers."""
        self._asked = self._looking + self._asked
        self._looking = []
