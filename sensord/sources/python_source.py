"""One Python sensor: when it is evaluated, what becomes of what it yields, and what happens when it goes wrong."""

from __future__ import annotations

import logging
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
from msgspec import Struct, field
from sqlalchemy import Connection, select

from notifiers.clock import Clock
from notifiers.database import Database
from rules.request import RunRequest, Sensed, SkipReason
from sensord.ledger.tables import sensors
from sensord.looks import Looks
from sensord.secrets import one_line, redact
from sensord.sources import Emit
from sensord.sources.python import PythonConfig
from sensord.sources.python_processes import Processes, ProcessesUnavailableError, SensorProcess

log = logging.getLogger(__name__)

INTERVAL = 30.0
"""Seconds between two evaluations, where neither the configuration nor the function says."""
_RESTART_SECONDS = (1.0, 60.0)  # Between two processes: from, and at most.
_REASON = 1_000
_LEVELS = logging.getLevelNamesMapping()


class EvaluationError(OSError):
    """The sensor cannot be evaluated; the text says why, for a person."""


class _Heard(Struct):
    """What an evaluation said until now. `end` is how it ended, once it did."""

    sensed: list[Sensed] = field(default_factory=list)
    end: dict[str, Any] | None = None


class PythonSource:
    """See `sensord.sources.Source` for what `run`, `look` and `why` promise."""

    def __init__(
        self,
        name: str,
        config: PythonConfig,
        *,
        jobs: Sequence[str],
        remembers: bool,
        database: Database,
        clock: Clock,
        processes: Processes,
    ) -> None:
        """Use `open_python`."""
        self._remembers = remembers
        self._name = name
        self._config = config
        self._jobs = tuple(jobs)
        self._database = database
        self._clock = clock
        self._processes = processes
        self._looks = Looks(clock)
        self._what = f"{config.module}.{config.function}"
        self._until: float | None = None  # When the evaluation that is going on must have ended.
        self._again = not remembers
        self._cursor: str | None = None
        self._last: float | None = None
        self._told = ""
        self._worked = False
        # Sensors of one interval are spread over it, each at its own place whatever the others do.
        self._phase = zlib.crc32(name.encode()) / 2**32

    async def run(self, emit: Emit, cursor: str | None) -> None:
        """Evaluate until cancelled; a process that ends is started again, later and later while nothing works."""
        self._cursor = cursor
        pause, longest = _RESTART_SECONDS
        self._looks.give_up()
        emit.behind(self._clock.now())
        while True:
            self._worked = False
            self._looks.begin()
            try:
                async with self._process() as process:
                    await self._live(process, emit)
            except (EvaluationError, ProcessesUnavailableError) as error:
                await self._failed(emit, str(error), "")
                self._looks.end()
            if self._worked:
                pause = _RESTART_SECONDS[0]
            await self._looks.pause(pause)
            pause = min(pause * 2, longest)

    async def _live(self, process: SensorProcess, emit: Emit) -> None:
        interval = await self._ready(process)
        while True:
            self._looks.begin()
            worked = await self._evaluate(process, emit)
            self._looks.end()
            pause = self._due(interval) - self._clock.monotonic()
            if worked:
                emit.behind(self._clock.now() + timedelta(seconds=pause))
            await self._looks.pause(pause)

    def _due(self, interval: float) -> float:
        """The next of the moments at which this sensor is evaluated; those that were missed are left out."""
        return (self._clock.monotonic() / interval - self._phase) // 1 * interval + (1 + self._phase) * interval

    async def _evaluate(self, process: SensorProcess, emit: Emit) -> bool:
        """Evaluate once, and commit what is yielded as it is yielded; whether that worked to its end."""
        end: dict[str, Any] | None = None
        await self._order(process)
        while end is None:
            heard = self._take(await self._heard(process))
            end = heard.end
            cursor = None if end is None else end.get("cursor")
            if heard.sensed or (cursor is not None and cursor != self._cursor):
                await emit(heard.sensed, cursor)
            if cursor is not None:
                self._cursor = cursor
        self._until = None
        self._last = self._clock.now().timestamp()
        emit.looked()
        if "error" in end:
            await self._failed(emit, f"it raised {end['error']}", end["trace"])
            return False
        self._worked = True
        self._told = ""
        await emit.recovered()
        return True

    async def _failed(self, emit: Emit, reason: str, trace: str) -> None:
        """Say it, once for each reason."""
        reason = self._words(reason)
        if reason != self._told:
            self._told = reason
            log.warning("sensor.cannot_look", extra={"sensor": self._name, "reason": reason, "trace": trace})
        await emit.failed(reason)

    def _words(self, reason: str) -> str:
        """What went wrong, as it may be shown to anybody."""
        return one_line(redact(f"{self._what}: {reason}"))[:_REASON]

    async def look_now(self) -> None:
        """See `sensord.sources.Waking`: the function is evaluated."""
        await self._looks.now()

    async def look(self, known: set[int]) -> Sequence[Sensed]:
        """What one evaluation asks for with the cursor as it is, in a process of its own: the dry run.

        EvaluationError says why there is none. What the function itself does outside is not undone.
        """
        del known
        cursor = await self._database.read(lambda conn: _cursor(conn, self._name))
        looking = PythonSource(
            self._name,
            self._config,
            jobs=self._jobs,
            remembers=False,
            database=self._database,
            clock=self._clock,
            processes=self._processes,
        )
        try:
            return await looking._look(cursor)
        except OSError as error:
            raise EvaluationError(self._words(str(error))) from None

    async def _look(self, cursor: str | None) -> list[Sensed]:
        self._cursor = cursor
        sensed: list[Sensed] = []
        end: dict[str, Any] | None = None
        async with self._process() as process:
            await self._ready(process)
            await self._order(process)
            while end is None:
                heard = self._take(await self._heard(process))
                sensed += heard.sensed
                end = heard.end
        if "error" in end:
            raise EvaluationError(f"it raised {end['error']}")
        return sensed

    def why(self, subject: str) -> str | None:
        """Only the function knows."""
        del subject
        return f"its function {self._what} decides; see `sensord tick {self._name} --dry-run`"

    def offer_again(self) -> None:
        """See `sensord.sources.Remembering`: the process keeps the keys that were committed until it hears of this."""
        self._again = True

    # The process.

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[SensorProcess]:
        sensor = {
            "name": self._name,
            "module": self._config.module,
            "function": self._config.function,
            "path": str(self._config.path.absolute()),
            "env": self._config.env,
            "memory": self._config.memory,
            "jobs": self._jobs,
        }
        trouble: Exception | None = None
        self._begin()
        async with self._processes.started(sensor) as process, anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, process, name=f"deadline of sensor {self._name}")
            try:
                yield process
            except Exception as error:  # noqa: BLE001 - raised below: a task group would put it in a group
                trouble = error
            tasks.cancel_scope.cancel()
        if trouble is not None:
            raise trouble

    def _begin(self) -> None:
        deadline = self._config.deadline
        self._until = None if deadline is None else self._clock.monotonic() + deadline

    async def _watch(self, process: SensorProcess) -> None:
        """End a process whose evaluation takes too long. One timer a deadline, however many evaluations there are."""
        deadline = self._config.deadline
        while deadline is not None:
            left = deadline if self._until is None else self._until - self._clock.monotonic()
            if left <= 0:
                words = f"it took longer than its deadline of {deadline:g} s and was ended"
                await self._processes.kill(process, words)
                return
            await self._clock.sleep(left)

    async def _ready(self, process: SensorProcess) -> float:
        """Wait until the module is imported; the interval."""
        while True:
            for kind, what in await self._heard(process):
                if kind == "ready":
                    self._until = None
                    return float(self._config.interval or what["interval"] or INTERVAL)
                if kind == "broken":
                    raise EvaluationError(what)
                self._log(what)

    async def _order(self, process: SensorProcess) -> None:
        self._begin()
        again, self._again = self._again, not self._remembers
        await process.say("evaluate", {"cursor": self._cursor, "last": self._last, "again": again})

    async def _heard(self, process: SensorProcess) -> list[tuple[str, Any]]:
        messages = await process.hear()
        if messages:
            return messages
        raise EvaluationError(await self._processes.buried(process))

    def _take(self, messages: list[tuple[str, Any]]) -> _Heard:
        heard = _Heard()
        at = self._clock.now()
        for kind, what in messages:
            if kind == "request":
                request = RunRequest(**what)
                subject = one_line(request.run_key or "") or self._what
                sensed = Sensed(subject=subject, key=subject, at=at, context={}, decided=(request,))
                heard.sensed.append(sensed)
            elif kind == "skip":
                sensed = Sensed(subject=self._what, key=self._what, at=at, context={}, decided=SkipReason(what))
                heard.sensed.append(sensed)
            elif kind == "log":
                self._log(what)
            elif kind == "end":
                heard.end = what
        return heard

    def _log(self, what: list[str]) -> None:
        level, text = what
        log.log(_LEVELS.get(level.upper(), logging.INFO), "sensor.says", extra={"sensor": self._name, "text": text})


def _cursor(conn: Connection, sensor: str) -> str | None:
    return conn.scalar(select(sensors.c.cursor).where(sensors.c.name == sensor))
