"""What is held is let out when its time has come: mutes end, quiet hours pass, digests are due."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import inf

from notifiers.bell import Bell
from notifiers.bursts import WHY, Bursts
from notifiers.clock import Clock, from_us, to_us
from notifiers.database import Database
from notifiers.held import Crowd, Release, hold_crowds, next_due, release
from notifiers.noise import BURST, Held
from notifiers.reading.templates import Voice
from notifiers.routing import Routing
from notifiers.waiting import WaitingRoom
from rules.noise import SINGLES, over_budget

log = logging.getLogger(__name__)

LONGEST_S = 60.0
"""Clocks are set: no wait for a time of the day is longer than this."""


class Holding:
    """Lets out what is due, and holds what is too much."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        routing: Routing,
        waiting: WaitingRoom,
        bursts: Bursts,
        *,
        refresh: Callable[[], Awaitable[None]],
        voice: Callable[[str, Sequence[str]], Voice],
        base_url: str | None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._routing = routing
        self._waiting = waiting
        self._bursts = bursts
        self._refresh = refresh
        self._voice = voice
        self._base_url = base_url
        self._bell = Bell(clock)

    def ring(self) -> None:
        """Something is held that was not, or what holds it changed."""
        self._bell.ring()

    async def run(self) -> None:
        """Work until cancelled; with nothing held, wait for the bell."""
        while True:
            due = await self._database.read(next_due)
            due = min((one for one in (due, *self._bursts.waits().values()) if one is not None), default=None)
            now = to_us(self._clock.now())
            if (due is not None and due <= now) or self._routing.directory.noise.awaits_success:
                await self._release()
                due = await self._database.read(next_due)
                due = min((one for one in (due, *self._bursts.waits().values()) if one is not None), default=None)
            wait = inf if due is None else min(LONGEST_S, max(0.0, (due - to_us(self._clock.now())) / 1e6))
            await self._bell.wait(wait)

    async def _release(self) -> None:
        now = self._clock.now()
        due = self._bursts.due(to_us(now))
        waits = {to: until for to, until in self._bursts.waits().items() if to not in due}
        while (released := await self._database.write(release, self._wish(now, waits))) is None:
            await self._routing.reload()
        for to in due:
            if not released.bursts.get(to):
                self._bursts.over(to)
        self._waiting.admit(released.waiting)
        if released.changed:
            await self._refresh()

    def _wish(self, now: datetime, storms: Mapping[str, int]) -> Release:
        directory = self._routing.directory
        return Release(
            now=now,
            version=directory.version,
            noise=directory.noise,
            storms=storms,
            resolve=directory.resolve,
            new_id=self._clock.new_id,
            voice=self._voice,
            base_url=self._base_url,
        )

    async def calm(self, destinations: Iterable[str]) -> None:
        """Where too much waits, let the first go by themselves, and the rest wait for a digest."""
        crowds: list[Crowd] = []
        now = to_us(self._clock.now())
        for to in destinations:
            if not self._bursts.digested(to) or self._bursts.known(to):
                continue
            waiting, sent, air = self._waiting.news(to), self._waiting.sent(to), self._waiting.in_the_air(to)
            if over_budget(waiting, sent + len(air)) and self._waiting.paced(to):
                until = self._bursts.begin(to, now)
                alone = max(0, SINGLES - sent - len(air))
                crowds.append(Crowd(destination=to, air=air, singles=alone, held=Held(until, BURST, WHY)))
        if not crowds:
            return
        for crowd, severity in zip(crowds, await self._database.write_many(hold_crowds, crowds), strict=True):
            self._bursts.begun(crowd.destination, severity)
            log.info(
                "delivery.burst", extra={"destination": crowd.destination, "until": str(from_us(crowd.held.until))}
            )
            await self._waiting.look_anew(crowd.destination)
        self.ring()
