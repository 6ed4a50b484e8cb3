"""Attempts that run elsewhere, at somebody's who is asked over a network: started once, followed to their end.

What a launcher adds is one `Side`: how to ask. What is promised here: nothing is asked before the intent is durable;
a request that surely came to nothing is made again, for as long as it takes; one whose answer was lost is made again
only where the other side knows the token (`repeatable`), else the attempt is looked for (`finds`), and is `lost`
where that is not possible: it is never started twice. While the other side is away nothing is lost, and it is asked
again at least every `every` seconds.
"""

from __future__ import annotations

import logging
import math
import random
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
from msgspec.structs import replace

from notifiers.clock import Clock, from_us, to_us
from sensord.elsewhere_ending import CANCELLED, ENDINGS, Ending, Pauses, outcome_of
from sensord.elsewhere_notes import DamagedNoteError, Note, Notes
from sensord.elsewhere_side import AwayError, Begun, Look, RefusedError, Side, UnansweredError, UnknownAttemptError
from sensord.launchers import Ending as Status
from sensord.launchers import LaunchDelayed, Outcome, Run, Started
from sensord.secrets import redact

log = logging.getLogger(__name__)

UNKNOWN_LOOKS = 3
"""So often in a row it must be said that there is no such attempt, besides the side's `unknown_for`."""
_RUN_ID = re.compile(r"[0-9a-f-]{36}")


class _Live:
    """One attempt that somebody waits for."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.away = False  # The last try found nobody there.
        self.unsure = False  # A request may have started it, and its answer was lost …
        self.missing_since: float | None = None  # … and since then (monotonic) it is looked for in vain.
        self.news = anyio.Event()
        self.writing = anyio.Lock()  # What it tells by itself may come while its answer is being noted.


class _Unknown:
    """How often in a row the other side said that there is no such attempt, and since when."""

    def __init__(self) -> None:
        self.times = 0
        self._since = 0.0

    def said(self, now: float) -> float:
        """Once more. Seconds since the first time."""
        self._since = self._since if self.times else now
        self.times += 1
        return now - self._since


class Elsewhere:
    """Launches the attempts of one job at the other side; see `Launcher` for what its methods promise."""

    def __init__(
        self,
        side: Side,
        notes: Notes,
        clock: Clock,
        *,
        timeout: float | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._side = side
        self._notes = notes
        self._clock = clock
        self._timeout = timeout
        self._jitter = jitter
        self._live: dict[str, _Live] = {}
        self._cancelled: set[str] = set()

    async def launch(self, run: Run, started: Started) -> Outcome:
        """Ask for the attempt, for as long as it takes, and follow it to its end."""
        return await self._attempt(run, _Live(Note(asked_at=to_us(self._clock.now()))), started)

    async def adopt(self, run: Run, started: Started) -> Outcome | None:
        """Follow the attempt to its end, if it was ever asked for."""
        try:
            note = await self._notes.read(run.token)
        except DamagedNoteError:
            return self._outcome("lost", "what was noted of it is damaged; whether it was started is unknown")
        return None if note is None else await self._attempt(run, _Live(note), started)

    async def cancel(self, run: Run) -> None:
        """Have it ended, once it is there and the other side can be asked."""
        self._cancelled.add(run.token)
        if (live := self._live.get(run.token)) is not None:
            live.news.set()

    async def forget(self, run: Run) -> None:
        """The outcome is committed."""
        self._cancelled.discard(run.token)
        self._notes.forget(run.token)

    def log(self, run_id: str, attempt: int, requested_at: datetime) -> Path | None:
        """What was asked and answered, once there is something."""
        if not _RUN_ID.fullmatch(run_id) or attempt < 0:
            return None
        path = self._notes.log_path(f"{run_id}.{attempt}", requested_at)
        return path if path.is_file() else None

    async def told(self, token: str, ended: dict[str, Any]) -> bool:
        """The other side says how the attempt ended. True once that is durable; False: nobody waits for it (yet)."""
        live = self._live.get(token)
        if live is None:
            return False
        async with live.writing:
            if live.note.ended is None:
                note = replace(live.note, ended=ended)
                await self._notes.write(token, note)
                live.note = note
        live.news.set()
        return True

    async def _attempt(self, run: Run, live: _Live, started: Started) -> Outcome:
        self._live[run.token] = live
        try:
            if live.note.said is None and live.note.ended is None:
                outcome = await self._begin(run, live)
                if outcome is not None:
                    return outcome
            # What ended at once may tell us so before it has answered.
            started(from_us(live.note.started_at or live.note.asked_at))
            outcome = await self._follow(run, live)
            self._say(run, f"{outcome.status}{outcome.error and ': '}{outcome.error}")
            return outcome
        finally:
            del self._live[run.token]

    async def _begin(self, run: Run, live: _Live) -> Outcome | None:
        """Have the other side take it: None. An outcome: it will not be."""
        live.unsure, pauses = live.note.sent, Pauses(self._side.every, self._jitter)
        while live.note.ended is None:
            wait = 0.0
            try:
                begun = await self._ask(run, live)
            except RefusedError as error:
                return self._outcome("lost" if live.unsure else "failed", str(error))
            except AwayError as error:
                wait, live.away = error.retry_after, True
                if not live.unsure and live.note.sent:
                    with anyio.CancelScope(shield=True):  # Else the next life would take it for one that is unsure.
                        await self._keep(run, live, sent=False)
                self._say(run, f"{error}; it is asked again")
            except UnansweredError as error:
                live.unsure = True
                self._say(run, f"{error}; whether it was started is not known yet")
            else:
                if isinstance(begun, Outcome):
                    return begun
                if begun is not None:
                    at = to_us(self._clock.now())
                    await self._keep(run, live, sent=True, said=begun.said, started_at=at, link=begun.link)
                    self._say(run, f"started at {self._side.name}{begun.link and ', '}{begun.link}")
                    return None
            await self._pause(run, live, max(wait, pauses.next()))
        return None

    async def _ask(self, run: Run, live: _Live) -> Begun | Outcome | None:
        """Start it, or look for what an unanswered request may have started. None: it is not there (yet)."""
        if live.unsure and not self._side.repeatable:
            found = await self._found(run, live)
            if found is not None or not self._has_waited(live):
                return found
            live.unsure = False  # As `absent: start` wants it.
            await self._keep(run, live, sent=False)
        if run.token in self._cancelled and not live.unsure:
            return self._outcome("cancelled", "cancelled before it started")
        if live.away and not live.note.sent:
            await self._side.reach()  # Else each try would be noted, and noted again.
        await self._intend(run, live)
        return await self._side.start(run)

    async def _found(self, run: Run, live: _Live) -> Begun | Outcome | None:
        """What became of a request whose answer was lost. None: it is not there (yet)."""
        if not self._side.finds:
            reason = f"the answer of {self._side.name} was lost; whether it was started is unknown"
            return self._outcome("lost", reason)
        found = await self._side.find(run, from_us(live.note.asked_at))
        if live.missing_since is None:
            live.missing_since = self._clock.monotonic()
        if found is None and self._has_waited(live) and self._side.absent == "lost":
            reason = f"the answer of {self._side.name} was lost, and nothing of it is found there"
            return self._outcome("lost", reason)
        return found

    def _has_waited(self, live: _Live) -> bool:
        since = live.missing_since
        return since is not None and self._clock.monotonic() - since >= self._side.within

    async def _intend(self, run: Run, live: _Live) -> None:
        """Make it durable that a request goes out."""
        if not live.note.sent:
            async with live.writing:
                intent = replace(live.note, sent=True, asked_at=to_us(self._clock.now()))
                try:
                    await self._notes.write(run.token, intent)
                except OSError as error:
                    raise LaunchDelayed(error.strerror or str(error)) from error
                live.note = intent

    async def _keep(self, run: Run, live: _Live, **changes: Any) -> None:
        """Note what happened. Where that fails, the note before it is as true, and tells less."""
        async with live.writing:
            live.note = replace(live.note, **changes)
            try:
                await self._notes.write(run.token, live.note)
            except OSError as error:
                log.warning("elsewhere.not_noted", extra={"run": run.id, "reason": error.strerror or str(error)})

    async def _follow(self, run: Run, live: _Live) -> Outcome:
        """Look until it has ended; end it when it is cancelled, or takes too long."""
        pauses, ending, unknown = Pauses(self._side.every, self._jitter), Ending(), _Unknown()
        while live.note.ended is None:
            wait = 0.0
            self._decide(run, live.note, ending)
            try:
                look = await self._look(run, live.note, ending)
                unknown = _Unknown()
            except UnknownAttemptError as error:
                look = None
                if unknown.said(self._clock.monotonic()) >= self._side.unknown_for and unknown.times >= UNKNOWN_LOOKS:
                    return self._outcome("lost", str(error), live.note)
            except (AwayError, UnansweredError) as error:
                look, wait = None, error.retry_after if isinstance(error, AwayError) else 0.0
                self._away(run, error)
            if look is not None and look.status in ENDINGS:
                return outcome_of(look, live.note, ending, self._clock.now())
            if ending.over(self._clock.monotonic(), looks=self._side.looks):
                return ending.outcome(self._clock.now(), live.note, self._side.name)
            await self._pause(run, live, min(max(wait, pauses.next()), self._left(live.note, ending)))
        told = live.note.ended
        look = Look(status=told["status"], error=told.get("error", ""), metadata=told.get("metadata", {}))
        return outcome_of(look, live.note, ending, self._clock.now())

    async def _look(self, run: Run, note: Note, ending: Ending) -> Look | None:
        """Ask for its end where that is wanted, and how it is doing."""
        if ending.why and ending.asked is False:
            ending.asked = True if await self._side.stop(run, note.said) else None
            self._say(run, f"{ending.why}: its end is asked for" if ending.asked else ending.why)
        return await self._side.look(run, note.said) if self._side.looks else None

    def _decide(self, run: Run, note: Note, ending: Ending) -> None:
        """Whether it is to be ended by now, and why."""
        if ending.why:
            return
        if run.token in self._cancelled:
            ending.begin(CANCELLED, self._clock.monotonic())
        elif self._left(note, ending) <= 0 and self._timeout is not None:
            ending.begin(f"timed out after {self._timeout:g} s", self._clock.monotonic())

    def _left(self, note: Note, ending: Ending) -> float:
        """Seconds until its time is over."""
        if self._timeout is None or ending.why:
            return math.inf
        since = from_us(note.started_at or note.asked_at)
        return max(0.0, self._timeout - (self._clock.now() - since).total_seconds())

    def _away(self, run: Run, error: Exception) -> None:
        self._say(run, f"{error}; it is asked again")
        log.warning("elsewhere.away", extra={"run": run.id, "job": run.job, "reason": redact(str(error))})

    def _say(self, run: Run, text: str) -> None:
        self._notes.log(run.token, run.requested_at, self._clock.now(), text)

    def _outcome(self, status: Status, error: str, note: Note | None = None) -> Outcome:
        started = None if note is None or note.started_at is None else from_us(note.started_at)
        links = {"link": note.link} if note is not None and note.link else {}
        return Outcome(status=status, ended_at=self._clock.now(), started_at=started, error=error, metadata=links)

    async def _pause(self, run: Run, live: _Live, seconds: float) -> None:
        """Wait so long, or for news: it is cancelled, or it says by itself that it ended."""
        if live.news.is_set():
            live.news = anyio.Event()
            return
        async with anyio.create_task_group() as group:

            async def sleep() -> None:
                await self._clock.sleep(seconds)
                group.cancel_scope.cancel()

            group.start_soon(sleep, name=f"pause {run.token}")
            await live.news.wait()
            live.news = anyio.Event()
            group.cancel_scope.cancel()
