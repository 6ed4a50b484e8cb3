"""One source and its rule: sensed → decided → claimed, in one transaction with the cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from anyio.lowlevel import checkpoint
from sqlalchemy import Connection, delete, func, select, update

from notifiers.bus.embedded import append
from notifiers.clock import Clock, to_us
from notifiers.database import insert_rows
from rules.event import Event
from rules.keys import ONCE, KeyRule
from rules.request import RunRequest, Sensed, SkipReason
from rules.triggers import Rule, RuleError, decide
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.requests import Held, commit_ticks, dump, storable
from sensord.ledger.tables import seen, sensors
from sensord.ledger.wishes import NewRun, Tick
from sensord.run_events import About, Hooks, run_event, sensor_event

# So many things are decided before others may go on: a burst of new files keeps no run waiting that could start.
_DECIDED = 32

Claimed = Callable[[Sequence[NewRun]], None]
"""Told of runs whose rows are durable and which nobody works on yet."""


def new_run(
    clock: Clock,
    request: RunRequest,
    hooks: Hooks,
    *,
    sensor: str | None = None,
    subject: str | None = None,
    keys: KeyRule = ONCE,
    version: str = "",
    newest: bool = True,
) -> NewRun:
    """A request as the ledger takes it: with an id of its own, and the event that it is queued.

    `version` is that of what was sensed, which `keys` may ask for, and `newest` whether there was none after it.
    """
    if request.job_name is None:
        raise ValueError("a RunRequest needs the name of a job")
    now = clock.now()
    run_key = None if request.run_key is None else storable(keys.key_of(request.run_key, version))
    about = About(
        run=clock.new_id(),
        job=request.job_name,
        sensor=sensor,
        run_key=run_key,
        subject=subject,
        requested_at=now,
        tags=request.tags,
        partition_key=request.partition_key,
    )
    return NewRun(
        id=about.run,
        job=about.job,
        sensor=sensor,
        run_key=run_key,
        subject=subject,
        run_config=dump(request.run_config),
        tags=dump(request.tags),
        partition_key=request.partition_key,
        priority=request.priority,
        requested_at=to_us(now),
        event=run_event(clock, about, "queued", hooks=hooks, at=now),
        keys=keys,
        version=storable(version) if keys.policy == "latest_wins" else None,
        newest=newest,
    )


class Sensing:
    """What a source is given (`sensord.sources.Emit`): decides, commits, and hands the runs on."""

    def __init__(
        self,
        name: str,
        rule: Rule,
        *,
        database: LedgerDatabase,
        hooks: Mapping[str, Hooks],
        clock: Clock,
        claimed: Claimed,
        published: Callable[[], None],
        keys: KeyRule = ONCE,
    ) -> None:
        self.name = name
        self.rule = rule
        self._keys = keys
        self.looked_at = clock.monotonic()
        self.looks = 0
        self.failing: str | None = None
        self._rule_failing = False
        self._behind: datetime | None = None
        self._database = database
        self._hooks = hooks
        self._clock = clock
        self._claimed = claimed
        self._published = published

    async def open(self) -> str | None:
        """Make sure that the sensor has a row; return its cursor."""
        cursor, reason = await self._database.write(open_sensor, (self.name, to_us(self._clock.now())))
        self.failing = reason
        return cursor

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        """Decide these things and commit what follows with the cursor; the runs are on their way on return."""
        batch = [self._decide(one) for one in sensed[:_DECIDED]]
        for start in range(_DECIDED, len(sensed), _DECIDED):
            await checkpoint()
            batch.extend(map(self._decide, sensed[start : start + _DECIDED]))
        if cursor is not None:
            covers = Tick(sensor=self.name, subject="", at=to_us(self._clock.now()), cursor=cursor, outcome="cursor")
            batch.append(covers)
        if batch:
            await self._commit(batch)
        errors = [tick for tick in batch if tick.outcome == "error"]
        if errors or self._rule_failing:
            await self._tell_rule_errors(batch, errors)

    async def _commit(self, batch: Sequence[Tick]) -> None:
        """Commit these, and hand the runs on, also where nobody waits for that any more: they are committed."""
        committed = self._database.submit(commit_ticks, batch)
        committed.add_done_callback(lambda _: self._hand_on(batch, committed))
        await asyncio.shield(committed)

    def _hand_on(self, batch: Sequence[Tick], committed: asyncio.Future[Sequence[Held]]) -> None:
        if committed.cancelled() or committed.exception() is not None:
            return
        found = zip(batch, committed.result(), strict=True)
        won = [wish for tick, held in found for wish in tick.runs if held[wish.id] == wish.id]
        if won:
            self._claimed(won)

    def _decide(self, sensed: Sensed) -> Tick:
        at = to_us(sensed.at)
        try:
            decision = decide(self.rule, sensed)
        except RuleError as error:
            # Without its mark the thing is sensed again after a restart, when the rule may be mended.
            return Tick(sensor=self.name, subject=sensed.subject, at=at, outcome="error", reason=str(error))
        if isinstance(decision, SkipReason):
            reason = decision.skip_message
            return Tick(
                sensor=self.name, subject=sensed.subject, at=at, mark=sensed.mark, outcome="skipped", reason=reason
            )
        wishes = tuple(self._wish(request, sensed) for request in decision)
        return Tick(sensor=self.name, subject=sensed.subject, at=at, mark=sensed.mark, runs=wishes)

    def _wish(self, request: RunRequest, sensed: Sensed) -> NewRun:
        hooks = self._hooks[request.job_name or ""]
        return new_run(
            self._clock,
            request,
            hooks,
            sensor=self.name,
            subject=sensed.subject,
            keys=self._keys,
            version=sensed.key,
            newest=sensed.newest,
        )

    async def _tell_rule_errors(self, batch: Sequence[Tick], errors: Sequence[Tick]) -> None:
        """A rule that fails is told once, until it works again."""
        if errors and not self._rule_failing:
            self._rule_failing = True
            words = f"the rule fails on {errors[0].subject}: {errors[0].reason}; mend the configuration and restart"
            await self._set_state("failed", words)
        elif not errors and self._rule_failing and any(tick.outcome != "cursor" for tick in batch):
            self._rule_failing = False
            await self._set_state("recovered", "the rule works again")

    async def failed(self, reason: str) -> None:
        """Publish `sensor.failed` unless it was said already."""
        if self.failing is None:
            await self._set_state("failed", reason)
        self.failing = reason

    async def recovered(self) -> None:
        """Publish `sensor.recovered` if it had failed."""
        if self.failing is not None:
            await self._set_state("recovered", "working again")
        self.failing = None

    async def _set_state(self, what: str, reason: str) -> None:
        event = sensor_event(self._clock, self.name, what, reason)
        await self._database.write(set_sensor_state, (event, what, reason))
        self._published()

    def looked(self) -> None:
        """Note that an evaluation ended."""
        self.looked_at = self._clock.monotonic()
        self.looks += 1

    def behind(self, since: datetime | None) -> None:
        """Note the age of the oldest thing that waits to be emitted; None: nothing does."""
        self._behind = since

    @property
    def lag(self) -> float:
        """Seconds since the oldest thing that waits came to be; of a sensor that cannot look, since its last look."""
        waits = 0.0 if self._behind is None else (self._clock.now() - self._behind).total_seconds()
        blind = 0.0 if self.failing is None else self._clock.monotonic() - self.looked_at
        return max(0.0, waits, blind)

    async def marks(self) -> set[int]:
        """Everything this sensor emitted and did not forget."""
        return await self._database.read(lambda conn: load_marks(conn, self.name))

    async def forget(self, marks: Iterable[int]) -> None:
        """Let go of marks, a bounded chunk a transaction, so that no tick waits long for it."""
        gone = list(marks)
        for start in range(0, len(gone), 500):
            await self._database.write(forget_marks, (self.name, gone[start : start + 500]))


def open_sensor(conn: Connection, items: Sequence[tuple[str, int]]) -> list[tuple[str | None, str | None]]:
    """A row for each sensor; gives its cursor, and the reason why it failed if it does."""
    rows = [{"name": name, "state": "active", "since": now} for name, now in items]
    insert_rows(conn, sensors, rows, conflict=("name",))
    query = select(sensors.c.name, sensors.c.cursor, sensors.c.state, sensors.c.reason)
    found = {row.name: row for row in conn.execute(query.where(sensors.c.name.in_([name for name, _ in items])))}
    return [(found[name].cursor, found[name].reason if found[name].state == "failed" else None) for name, _ in items]


def set_sensor_state(conn: Connection, items: Sequence[tuple[Event, str, str]]) -> list[None]:
    """A sensor fails or recovered: its row and the event that says so."""
    for event, what, reason in items:
        state = "failed" if what == "failed" else "active"
        values = {"state": state, "reason": reason if state == "failed" else None, "since": to_us(event.time)}
        conn.execute(update(sensors).where(sensors.c.name == event.sensor).values(values))
    append(conn, [event for event, _, _ in items])
    return [None] * len(items)


def load_marks(conn: Connection, sensor: str) -> set[int]:
    """The marks of one sensor, read in chunks so that memory holds little beside the set."""
    query = select(seen.c.mark).where(seen.c.sensor == sensor).execution_options(yield_per=50_000)
    marks: set[int] = set()
    for chunk in conn.execute(query).scalars().partitions():
        marks.update(chunk)
    return marks


def count_marks(conn: Connection, sensor: str) -> int:
    """How many versions of things a sensor remembers."""
    return conn.scalar(select(func.count()).select_from(seen).where(seen.c.sensor == sensor)) or 0


def forget_marks(conn: Connection, items: Sequence[tuple[str, Sequence[int]]]) -> list[None]:
    """Delete marks."""
    for sensor, marks in items:
        conn.execute(delete(seen).where(seen.c.sensor == sensor, seen.c.mark.in_(marks)))
    return [None] * len(items)
