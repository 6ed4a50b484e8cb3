"""A bell: rung by whoever has news, waited for by whoever acts on it. Ringing is a hint and may be early."""

from __future__ import annotations

from math import inf

import anyio

from notifiers.clock import Clock


class Bell:
    """Rings are not counted: one that nobody waited for ends the next wait at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = anyio.Event()

    def ring(self) -> None:
        """End the current wait, or the next one."""
        self._rung.set()

    async def wait(self, seconds: float = inf) -> None:
        """Return when it rings, or after that many seconds."""
        if not self._rung.is_set():
            if seconds == inf:
                await self._rung.wait()
            else:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._alarm, max(0.0, seconds))
                    await self._rung.wait()
                    group.cancel_scope.cancel()
        self._rung = anyio.Event()

    async def _alarm(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._rung.set()
