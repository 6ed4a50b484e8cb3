"""Claimed run → launcher → outcome → events, in one transaction with the terminal state."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus
from msgspec import Struct, field
from msgspec.structs import replace

from notifiers.clock import Clock, from_us
from rules.pacing import backoff
from sensord.launchers import LaunchDelayed, Launcher, Outcome, judged
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.outcomes import commit_steps, keep_config, request_cancel
from sensord.ledger.requests import dump
from sensord.ledger.wishes import NewRun
from sensord.queueing import RunQueue
from sensord.run_events import Hooks
from sensord.run_steps import Steps
from sensord.work import Work, open_runs, work_of, work_of_row

log = logging.getLogger(__name__)

_DELAY = timedelta(seconds=2)  # Until a launch that could not be made (a full disk) is tried again.


class Job(Struct, frozen=True, kw_only=True):
    """What running needs to know of a job."""

    launcher: Launcher
    hooks: Hooks = field(default_factory=Hooks)
    attempts: int = 1
    backoff: float = 10.0
    max_backoff: float = 600.0
    concurrency: int | None = None
    check_config: Callable[[Any], Awaitable[str | None]] | None = None
    complete_config: Callable[[Any], Awaitable[Any]] | None = None


class Running:
    """Runs everything that is claimed, within the limits, and records what became of it."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        *,
        concurrency: int,
        database: LedgerDatabase,
        clock: Clock,
        published: Callable[[], None],
        ended: Callable[[str, str], None] = lambda _run, _status: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.queue = RunQueue(concurrency, {name: job.concurrency for name, job in jobs.items()})
        self._jobs = jobs
        self._database = database
        self._clock = clock
        self._published = published
        self._ended_as = ended  # Told of a run and its status when its end is handed over, and not committed yet.
        self._jitter = jitter
        self._steps = Steps(clock, {name: job.hooks for name, job in jobs.items()})
        self._work: dict[str, Work] = {}
        self._later: list[tuple[datetime, str]] = []
        self._wake = anyio.Event()
        self._group: TaskGroup | None = None

    def claimed(self, wishes: Sequence[NewRun]) -> None:
        """Take on runs whose rows are durable and new."""
        for wish in wishes:
            self._enqueue(work_of(wish))
        for wish in wishes:
            if wish.supersedes is not None and self._group is not None:
                self._group.start_soon(self.cancel, wish.supersedes, name=f"cancel {wish.supersedes}")
        self._published()
        self._start_ready()

    def under_way(self) -> list[Work]:
        """What runs now, as far as is known."""
        return [work for work in self._work.values() if work.busy and work.known_started]

    def _enqueue(self, work: Work) -> None:
        self._work[work.run.id] = work
        self.queue.put(work.run.id, work.run.job, work.priority)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take up what an earlier life left, then run what is claimed, until cancelled; jobs go on running."""
        async with anyio.create_task_group() as group:
            self._group = group
            await self._recover()
            task_status.started()
            try:
                while True:
                    self._start_ready()
                    await self._wait()
                    self._due()
            finally:
                self._group = None  # Nothing is started any more while the attempts' tasks unwind.

    async def _recover(self) -> None:
        for row in await self._database.read(open_runs):
            work = work_of_row(row)
            if row["next_attempt_at"] is not None and row["status"] == "queued":
                self._work[work.run.id] = work
                heappush(self._later, (from_us(row["next_attempt_at"]), work.run.id))
            elif row["status"] == "running":
                work.known_started = True
                self._work[work.run.id] = work
                self.queue.take(work.run.job)
                self._start(work)
            else:
                self._enqueue(work)

    async def _wait(self) -> None:
        """Until something may be due: the next retry, or a hint."""
        self._wake = anyio.Event()
        if not self._later:
            await self._wake.wait()
            return
        seconds = max(0.0, (self._later[0][0] - self._clock.now()).total_seconds())
        async with anyio.create_task_group() as group:

            async def sleep() -> None:
                await self._clock.sleep(seconds)
                group.cancel_scope.cancel()

            group.start_soon(sleep)
            await self._wake.wait()
            group.cancel_scope.cancel()

    def _due(self) -> None:
        now = self._clock.now()
        while self._later and self._later[0][0] <= now:
            _, run = heappop(self._later)
            if work := self._work.get(run):
                self.queue.put(run, work.run.job, work.priority)

    def _start_ready(self) -> None:
        while self._group is not None and (run := self.queue.next()):
            self._start(self._work[run])

    def _start(self, work: Work) -> None:
        assert self._group is not None  # noqa: S101 - `run` made it before anything is started
        work.busy = True
        self._group.start_soon(self._attempt, work, name=f"run {work.run.token}")

    async def _attempt(self, work: Work) -> None:
        """Follow one attempt to its end, then go on with the next run in its place: recording holds up nobody."""
        following: Work | None = work
        while following is not None:
            work, following = following, None
            outcome: Outcome | None = None
            try:
                outcome = judged(await self._outcome(work))
            except LaunchDelayed as delay:
                log.warning("run.delayed", extra={"run": work.run.id, "job": work.run.job, "reason": str(delay)})
                work.maybe_started = True
            finally:
                self.queue.release(work.run.job)
            if self._group is None:
                await self._recorded(work, outcome)
                return
            self._group.start_soon(self._recorded, work, outcome, name=f"end {work.run.token}")
            if run := self.queue.next():
                following = self._work[run]
                following.busy = True
            self._start_ready()

    async def _recorded(self, work: Work, outcome: Outcome | None) -> None:
        if outcome is None:
            work.busy = False
            self._put_off(work, self._clock.now() + _DELAY)
        else:
            await self._settle(work, outcome)

    async def _outcome(self, work: Work) -> Outcome:
        job = self._jobs.get(work.run.job)
        if job is None:
            reason = f"job {work.run.job} is no longer in the configuration"
            return self._ended("lost" if work.known_started else "failed", reason)
        if work.cancelled and not work.maybe_started:
            return self._unstarted()
        try:
            if work.maybe_started:  # With what its row says: that is what it was started with.
                outcome = await self._adopt(job, work)
                if outcome is not None:
                    return outcome
            return await self._launch(job, work)
        except LaunchDelayed:
            raise
        except Exception as error:
            log.exception("run.launcher_failed", extra={"run": work.run.id, "job": work.run.job})
            return self._ended("lost", f"the launcher failed: {error}")

    async def _launch(self, job: Job, work: Work) -> Outcome:
        if job.check_config is not None and (refused := await job.check_config(work.run.run_config)):
            return self._ended("failed", f"run_config: {refused}")
        if job.complete_config is not None:
            await self._complete(work, await job.complete_config(work.run.run_config))
        if work.cancelled:  # Meanwhile: the launcher, which did not know of it yet, was told in vain.
            return self._unstarted()
        return await job.launcher.launch(work.run, lambda at: self._started(work, at))

    async def _complete(self, work: Work, config: Any) -> None:
        """Have the row say with what it is started, before it is."""
        if config != work.run.run_config:
            await self._database.write(keep_config, (work.run.id, dump(config)))
            work.run = replace(work.run, run_config=config)

    async def _adopt(self, job: Job, work: Work) -> Outcome | None:
        if work.cancelled:
            await job.launcher.cancel(work.run)
        outcome = await job.launcher.adopt(work.run, lambda at: self._started(work, at))
        work.maybe_started = False
        if outcome is None and work.known_started:
            return self._ended("lost", "it was started, and nothing is known of it any more")
        if outcome is None and work.cancelled:
            return self._unstarted()
        return outcome

    def _unstarted(self) -> Outcome:
        return self._ended("cancelled", "cancelled before it started")

    def _ended(self, status: Any, reason: str) -> Outcome:
        return Outcome(status=status, ended_at=self._clock.now(), error=reason)

    def _started(self, work: Work, at: datetime) -> None:
        """The process exists: say so, without holding anything up. Steps of one run are committed in order."""
        work.started_at = at
        if work.known_started:
            return
        work.known_started = True
        step = self._steps.started(work, at)
        self._database.note(commit_steps, step, self._told)

    def _told(self, error: BaseException | None) -> None:
        if error is not None:
            log.error("run.start_not_recorded", extra={"error": repr(error)})
        self._published()

    async def _settle(self, work: Work, outcome: Outcome) -> None:
        """Commit what the attempt came to: the end, or the next attempt."""
        job = self._jobs.get(work.run.job)
        retry = outcome.status == "failed" and job is not None and work.run.attempt < job.attempts
        # The same input would be refused again.
        refused = outcome.final or outcome.error.startswith("run_config: ")
        if retry and job is not None and not work.cancelled and not refused:
            await self._retry(work, outcome, job)
            return
        step = self._steps.ended(work, outcome)
        with anyio.CancelScope(shield=True):
            committed = self._database.submit(commit_steps, [step], patient=True)
            # What follows from the end is committed with it, or after it.
            self._ended_as(work.run.id, outcome.status)
            await committed
            self._published()
            if job is not None:
                await job.launcher.forget(work.run)
        del self._work[work.run.id]

    async def _retry(self, work: Work, outcome: Outcome, job: Job) -> None:
        seconds = backoff(work.run.attempt, base=job.backoff, cap=job.max_backoff, jitter=self._jitter())
        due = self._clock.now() + timedelta(seconds=seconds)
        step = self._steps.retrying(work, outcome, due, job.attempts)
        with anyio.CancelScope(shield=True):
            await self._database.write(commit_steps, step)
            self._published()
            await job.launcher.forget(work.run)
        work.run = replace(work.run, attempt=work.run.attempt + 1)
        work.known_started, work.started_at = False, None
        if work.cancelled:  # While it was recorded: there is nothing to wait for.
            await self._settle(work, self._unstarted())
            return
        work.busy = False
        self._put_off(work, due)

    def _put_off(self, work: Work, due: datetime) -> None:
        heappush(self._later, (due, work.run.id))
        self._wake.set()

    async def cancel(self, run: str) -> bool:
        """Cancel a run that has not ended: True if it will end because of this, as `cancelled` if it still can."""
        (noted,) = await self._database.write_many(request_cancel, [run])
        work = self._work.get(run)
        if not noted or work is None:
            return False
        work.cancelled = True
        if work.busy:
            if (job := self._jobs.get(work.run.job)) is not None:
                await job.launcher.cancel(work.run)
        else:
            later = [entry for entry in self._later if entry[1] != run]
            if len(later) == len(self._later):
                self.queue.drop(run)
            self._later = later
            if work.maybe_started:
                self.queue.take(work.run.job)
                self._start(work)
            else:
                work.busy = True  # For whoever cancels it once more meanwhile.
                await self._settle(work, self._unstarted())
        return True
