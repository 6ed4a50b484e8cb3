"""Backfills at work: a few runs of each are open, and the next partition is claimed when one of them ends."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import anyio
from msgspec import Struct, field

from notifiers.bell import Bell
from notifiers.clock import Clock, from_us, to_us
from rules.event import Event, Severity
from rules.progress import Progress
from sensord.ledger.backfills import (
    UNDER_WAY,
    Claim,
    End,
    any_prepared,
    cancel_backfills,
    claim_partitions,
    count_runs_of,
    drop_prepared,
    end_backfills,
    unfinished,
    waiting,
)
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.queries import loads
from sensord.ledger.requests import dump
from sensord.ledger.wishes import NewRun
from sensord.sensing import new_run
from sensord.slicing import Sliced, Unsliceable

if TYPE_CHECKING:
    from rules.backfill import Slice

log = logging.getLogger(__name__)

_SEVERITY = {"succeeded": Severity.info, "failed": Severity.error, "cancelled": Severity.warning}
_AHEAD = 500  # Partitions that are read at a time.
_MOST = 100  # Claims of one transaction: a commit holds up nobody for long.


class _Doing(Struct, kw_only=True):
    """One backfill that has not ended. `waits` is why it cannot go on."""

    id: str
    job: str
    run_config: Mapping[str, Any]
    progress: Progress
    next: deque[Slice] = field(default_factory=deque)
    waits: str | None = None


class Standing(Struct, frozen=True, kw_only=True):
    """How far a backfill has come: its runs that ended by their status, the ids of the open ones, why it waits."""

    ended: Mapping[str, int]
    open: Sequence[str]
    waits: str | None


class Backfilling:
    """Works on every backfill that has not ended. What it holds in memory does not grow with their partitions."""

    def __init__(
        self,
        jobs: Mapping[str, Sliced],
        *,
        database: LedgerDatabase,
        clock: Clock,
        claimed: Callable[[Sequence[NewRun]], None],
        cancel_run: Callable[[str], Coroutine[Any, Any, bool]],
        published: Callable[[], None],
    ) -> None:
        self._jobs = jobs
        self._database = database
        self._clock = clock
        self._claimed = claimed
        self._cancel_run = cancel_run
        self._published = published
        self._doing: dict[str, _Doing] = {}
        self._bell = Bell(clock)
        self._lock = anyio.Lock()
        self._working = False

    async def open(self) -> None:
        """Find what an earlier life left. Before runs go on: none may end unseen."""
        while await self._database.read(any_prepared):
            await self._database.write(drop_prepared, None)
        for row in await self._database.read(unfinished):
            self._doing[row["id"]] = await self._loaded(row)
        self._working = True

    async def run(self) -> None:
        """Claim, and end what is over, until cancelled."""
        while True:
            async with self._lock:  # Given back after each commit: whoever cancels waits no longer than that.
                claimed = await self._round()
            if not claimed:
                await self._bell.wait()

    async def added(self, backfill: str) -> None:
        """There is a new one. Without a daemon it waits in the database."""
        if not self._working:
            return
        async with self._lock:
            found = await self._found(backfill)
            if found is not None:
                self._doing[backfill] = found
        self._bell.ring()

    def ended(self, run: str, status: str) -> None:
        """A run ended, of a backfill or not."""
        for doing in self._doing.values():
            if doing.progress.end(run, status):
                self._bell.ring()
                return

    def standing(self) -> dict[str, Standing]:
        """How it stands with those that are worked on, by their ids."""
        return {
            one.id: Standing(ended=dict(one.progress.ended), open=sorted(one.progress.open), waits=one.waits)
            for one in self._doing.values()
        }

    async def cancel(self, backfill: str) -> bool:
        """Claim no more, and cancel its runs that have not ended; False where it has ended or there is none."""
        async with self._lock:
            doing = self._doing.get(backfill) or await self._found(backfill)
            if doing is None:
                return False
            open_ = sorted(doing.progress.open)
            with anyio.CancelScope(shield=True):  # What is written down is also what we go by.
                if not await self._database.write(cancel_backfills, (backfill, open_)):
                    return False
                doing.progress.cancelled = True
                if not self._working and doing.progress.over:
                    await self._end(doing)
        async with anyio.create_task_group() as group:
            for run in open_:
                group.start_soon(self._cancel_run, run)
        self._bell.ring()
        return True

    async def _found(self, backfill: str) -> _Doing | None:
        rows = [row for row in await self._database.read(unfinished) if row["id"] == backfill]
        return await self._loaded(rows[0]) if rows else None

    async def _loaded(self, row: Mapping[str, Any]) -> _Doing:
        counts, open_ = await self._database.read(partial(count_runs_of, backfill=row["id"]))
        for status in UNDER_WAY:
            del counts[status]
        progress = Progress(
            total=row["total"],
            concurrency=row["concurrency"],
            claimed=row["claimed"],
            open=open_,
            ended=counts,
            cancelled=row["status"] == "cancelled",
        )
        return _Doing(id=row["id"], job=row["job"], run_config=loads(row["run_config"]), progress=progress)

    async def _round(self) -> bool:
        """End what is over, and claim once for each backfill that has room, all in one transaction: whether any had."""
        for doing in [one for one in self._doing.values() if one.progress.over]:
            await self._end(doing)
        claims = [(doing, runs) for doing in list(self._doing.values()) if (runs := await self._wishes(doing))]
        handed = [
            self._database.submit(
                claim_partitions, [Claim(backfill=doing.id, position=doing.progress.claimed, runs=runs)]
            )
            for doing, runs in claims
        ]
        for (doing, runs), future in zip(claims, handed, strict=True):
            (taken,) = await future
            if not taken:
                raise RuntimeError(f"backfill {doing.id} was claimed from by another")
            doing.progress.claim([run.id for run in runs])
            self._claimed(runs)
        return bool(claims)

    async def _wishes(self, doing: _Doing) -> list[NewRun]:
        """The runs of the next partitions, as many as there is room for."""
        room = min(doing.progress.room, _MOST)
        if room <= 0:
            return []
        sliced = self._jobs.get(doing.job)
        if sliced is None:
            self._wait(doing, f"job {doing.job} is no longer in the configuration")
            return []
        if not doing.next:
            doing.next.extend(await self._read_ahead(doing))
        slices = list(islice(doing.next, room))
        try:
            requests = [sliced.request(one, doing.run_config, doing.id) for one in slices]
        except Unsliceable as error:
            self._wait(doing, str(error))
            return []
        for _ in slices:
            doing.next.popleft()
        return [new_run(self._clock, request, sliced.hooks) for request in requests]

    async def _read_ahead(self, doing: _Doing) -> list[Slice]:
        from rules.backfill import Slice

        rows = await self._database.read(lambda conn: waiting(conn, doing.id, doing.progress.claimed, _AHEAD))
        return [
            Slice(
                row["partition_key"],
                *(None if row[at] is None else from_us(row[at]) for at in ("starts_at", "ends_at")),
            )
            for row in rows
        ]

    def _wait(self, doing: _Doing, reason: str) -> None:
        """Nothing can be asked for as the configuration is now: say so once, and leave it to whoever mends that."""
        if doing.waits is None:
            log.error("backfill.waits", extra={"backfill": doing.id, "job": doing.job, "reason": reason})
        doing.waits = f"{reason}; mend the configuration and restart, or cancel the backfill"

    async def _end(self, doing: _Doing) -> None:
        progress = doing.progress
        event = self._event(doing)
        end = End(
            backfill=doing.id,
            status=progress.verdict,
            at=to_us(event.time),
            counts=dump(dict(progress.ended)),
            event=event,
        )
        await self._database.write(end_backfills, end)
        self._doing.pop(doing.id, None)
        self._published()
        log.info("backfill.ended", extra={"backfill": doing.id, "status": progress.verdict, **progress.ended})

    def _event(self, doing: _Doing) -> Event:
        """What a manager is told: once for all the runs."""
        progress, what = doing.progress, doing.progress.verdict
        told = ", ".join(f"{count} {status}" for status, count in sorted(progress.ended.items())) or "none was run"
        return Event(
            id=self._clock.new_id(),
            type="message",
            topic=f"backfills.{doing.job}.{what}",
            time=self._clock.now(),
            severity=_SEVERITY[what],
            message=f"backfill of {doing.job} {what}: of {progress.total} partitions {told}",
            job=doing.job,
            data={"backfill": doing.id, "status": what, "total": progress.total, **progress.ended},
        )
