"""The database: one writing thread that commits in groups, a few reading connections, one owner at a time."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from msgspec import Struct
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from notifiers.database import Op
from sensord.ledger.checkpoints import Checkpoints
from sensord.ledger.engine import DatabaseUnusable, advice, open_engine, owned
from sensord.ledger.schema import upgrade

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5
# Under load a commit waits for company, as half as many commits cost half as much: until the loop has handed over what
# it has, and at most this long. Nobody idle waits.
_GATHER_SECONDS = 0.003
_PATIENCE_SECONDS = 0.025  # The same where nobody waits for any of it to go on.


class _Job(Struct):
    """What one caller handed over: its items stand or fall together."""

    op: Op[Any, Any]
    items: Sequence[Any]
    patient: bool
    future: asyncio.Future[Sequence[Any]] | None = None
    told: Callable[[BaseException | None], None] | None = None


class LedgerDatabase:
    """Group commit over one connection (`notifiers.database.Database`), and reads beside it.

    While the disk is full or the server away, writes wait and `trouble` says why; nothing is dropped. Any other
    error is raised to the caller whose item caused it.
    """

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self.engine = engine
        self.trouble: str | None = None
        self.commits = 0
        self._loop = loop
        self._jobs: list[_Job] = []
        self._wake = threading.Condition()
        self._closing = False
        self._gathering = False  # The thread waits for company, and none of it need wake it …
        self._dawdling = False  # … but what is not patient, where all that it has so far is.
        self._asking = False  # The loop will say so when a round of it has brought nothing more …
        self._all_here = False  # … as it has.
        self._readers = anyio.CapacityLimiter(4)
        self._thread = threading.Thread(target=self._serve, name="ledger-writer", daemon=True)
        self._thread.start()

    async def write(self, op: Op[T, R], item: T, *, patient: bool = False) -> R:
        """Run `op` for this item; durable on return."""
        results = await self.submit(op, [item], patient=patient)
        return results[0]

    async def write_many(self, op: Op[T, R], items: Sequence[T]) -> Sequence[R]:
        """Run `op` for these items in one transaction; durable on return."""
        return await self.submit(op, items) if items else []

    async def read(self, query: Callable[[Connection], R]) -> R:
        """Run a query on a reading connection, in a thread."""
        return await to_thread.run_sync(self._read, query, limiter=self._readers)

    def _read(self, query: Callable[[Connection], R]) -> R:
        with self.engine.connect() as conn:
            return query(conn)

    def submit(self, op: Op[T, R], items: Sequence[T], *, patient: bool = False) -> asyncio.Future[Sequence[R]]:
        """Hand items over without waiting; what is submitted first is committed first, or with what follows.

        `patient`: nothing else waits for this, so that under load it may wait a little longer for company.
        """
        future: asyncio.Future[Sequence[R]] = self._loop.create_future()
        self._hand_over(_Job(op, items, patient, future))
        return future

    def note(self, op: Op[T, R], item: T, told: Callable[[BaseException | None], None]) -> None:
        """Have `op` run for this item, patiently, and call `told` when it is durable, or with the error."""
        self._hand_over(_Job(op, [item], patient=True, told=told))

    def _hand_over(self, job: _Job) -> None:
        with self._wake:
            if self._closing:
                raise RuntimeError("the database is closed")
            self._jobs.append(job)
            hurry = self._dawdling and not job.patient
            if hurry or (len(self._jobs) == 1 and not self._gathering):
                self._dawdling = False
                self._wake.notify()
            self._all_here = False
            if not self._asking and not job.patient:
                self._asking = True
                self._loop.call_soon(self._ask, len(self._jobs))

    def _ask(self, before: int) -> None:
        """A round of the loop has passed: where it brought nothing more, there is nobody to wait for."""
        with self._wake:
            if 0 < before < len(self._jobs):
                self._loop.call_soon(self._ask, len(self._jobs))
                return
            self._asking = False
            self._all_here = True
            if self._gathering and not self._dawdling:
                self._wake.notify()

    def _serve(self) -> None:
        conn: Connection | None = None
        checkpoints = Checkpoints()
        while batch := self._take():
            settled: list[tuple[_Job, Any]] = []
            groups = deque([batch])
            while groups:
                group = groups.popleft()
                try:
                    conn = conn or self.engine.connect().execution_options(writes=True)
                    settled += _commit(conn, group)
                    self.trouble = None
                except Exception as error:  # noqa: BLE001 - whatever an op raises goes to its caller
                    if isinstance(error, DBAPIError) and _passing(error) and not self._closing:
                        groups.appendleft(group)
                        conn = self._pause(conn, error)
                    elif len(group) == 1:
                        settled.append((group[0], error))
                    else:
                        groups.extendleft([job] for job in reversed(group))
            self.commits += 1
            self._loop.call_soon_threadsafe(_settle, settled)
            if conn is not None:
                checkpoints.committed(conn)
        if conn is not None:
            conn.close()

    def _take(self) -> list[_Job]:
        with self._wake:
            busy = bool(self._jobs)  # They came while the last batch was being committed.
            while not self._jobs and not self._closing:
                self._wake.wait()
            if busy and not self._closing:
                self._gathering = True
                self._dawdling = all(job.patient for job in self._jobs)
                if self._dawdling:
                    self._wake.wait(_PATIENCE_SECONDS)
                if not self._dawdling and not self._all_here:
                    self._wake.wait(_GATHER_SECONDS)
                self._gathering = self._dawdling = False
            batch, self._jobs = self._jobs, []
            return batch

    def _pause(self, conn: Connection | None, error: DBAPIError) -> Connection | None:
        """Wait a little for a full disk or a lost server; return the connection if it is still good."""
        if self.trouble is None:
            log.error("database.waiting", extra={"reason": str(error.orig), "retry_seconds": _RETRY_SECONDS})
        self.trouble = str(error.orig)
        with self._wake:
            if not self._closing:
                self._wake.wait(_RETRY_SECONDS)
        if conn is not None and (error.connection_invalidated or conn.invalidated):
            conn.close()
            return None
        return conn

    async def aclose(self) -> None:
        """Commit what was handed over, then stop the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._thread.join)


def _commit(conn: Connection, batch: list[_Job]) -> list[tuple[_Job, Any]]:
    """One transaction for all of these: every op once, over the items of all its callers."""
    by_op: dict[Op[Any, Any], list[_Job]] = {}
    for job in batch:
        by_op.setdefault(job.op, []).append(job)
    settled: list[tuple[_Job, Any]] = []
    with conn.begin():
        for op, jobs in by_op.items():
            items = jobs[0].items if len(jobs) == 1 else [item for job in jobs for item in job.items]
            results = op(conn, items)
            if len(results) != len(items):
                raise AssertionError(f"{op.__name__} gave {len(results)} results for {len(items)} items")
            start = 0
            for job in jobs:
                settled.append((job, results[start : start + len(job.items)]))
                start += len(job.items)
    return settled


def _settle(settled: list[tuple[_Job, Any]]) -> None:
    for job, result in settled:
        error = result if isinstance(result, BaseException) else None
        if job.told is not None:
            job.told(error)
        elif job.future is None or job.future.done():
            continue  # The caller was cancelled; what it handed over is committed all the same.
        elif error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)


def _passing(error: DBAPIError) -> bool:
    """Whether waiting may help: a full disk, a lock, a server that went away. A failed fsync never is."""
    if isinstance(error.orig, sqlite3.OperationalError):
        code = (error.orig.sqlite_errorcode or 0) & 0xFF
        return code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(("53", "57", "08"))
    return error.connection_invalidated or type(error.orig).__name__ == "OperationalError"


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[LedgerDatabase]:
    """Open, own and upgrade the database at `url` (`sqlite:///PATH` or `postgresql://…`).

    DatabaseInUse where another process owns it; `sensord.ledger.schema.SchemaError` where it is newer than this
    program; DatabaseUnusable where it cannot be reached or opened. Everything handed over is committed on the way out.
    """
    parsed = make_url(url)
    engine = open_engine(parsed)
    try:
        with ExitStack() as stack:
            try:
                await to_thread.run_sync(stack.enter_context, owned(engine))
                await to_thread.run_sync(upgrade, engine)
            except DBAPIError as error:
                raise DatabaseUnusable(advice(parsed, error)) from None
            database = LedgerDatabase(engine, asyncio.get_running_loop())
            try:
                yield database
            finally:
                await database.aclose()
    finally:
        engine.dispose()
