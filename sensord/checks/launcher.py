"""A job whose file is checked before it is started: what its launcher is wrapped in.

What the checks find is published, and with that decided, before anything is started: a later life of the daemon reads
it where this one ended, and does not ask again. A check that blocks ends the run without starting it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import orjson
from msgspec import Struct, structs
from sqlalchemy import Connection, select

from notifiers.bus.embedded import append
from notifiers.check_history import accepted_by
from notifiers.clock import Clock
from notifiers.tables import events
from rules.checks import READABLE, worst_severity
from rules.event import Event
from rules.printable import printable
from rules.quality import CheckResult, failing, read_result, why_failed
from rules.templates import TemplateError
from sensord.checks.objects import Objects
from sensord.checks.process import CheckingError, ask
from sensord.checks.settings import Checks, format_of
from sensord.launchers import LaunchDelayed, Launcher, Outcome, Run, Started, judged
from sensord.ledger.database import LedgerDatabase
from sensord.run_events import About, Hooks, quality_event

_AT_ONCE = max(2, os.cpu_count() or 1)


class Checking(Struct, frozen=True, kw_only=True):
    """What all checked launchers of a daemon share. `by_sensor` are the checks of each sensor that has some."""

    database: LedgerDatabase
    clock: Clock
    published: Callable[[], None]
    by_sensor: Mapping[str, Checks]
    limit: anyio.CapacityLimiter
    objects: Objects

    def launcher(self, launcher: Launcher, checks: Checks | None, hooks: Hooks, folder: Path | None) -> Launcher:
        """The launcher, with these checks of its job before it; `folder` is where a relative path begins."""
        return CheckedLauncher(launcher, self, checks, hooks, folder or Path.cwd())


def checking(
    database: LedgerDatabase,
    clock: Clock,
    published: Callable[[], None],
    by_sensor: Mapping[str, Checks],
    objects: Objects | None = None,
) -> Checking:
    """As many files at once as there are processors: each takes all it gets."""
    return Checking(
        database=database,
        clock=clock,
        published=published,
        by_sensor=by_sensor,
        limit=anyio.CapacityLimiter(_AT_ONCE),
        objects=objects or Objects({}, Path()),
    )


class CheckedLauncher:
    """See `Launcher` for what its methods promise."""

    def __init__(self, inner: Launcher, shared: Checking, checks: Checks | None, hooks: Hooks, folder: Path) -> None:
        self._inner = inner
        self._shared = shared
        self._checks = checks
        self._hooks = hooks
        self._folder = folder
        self._under_way: dict[str, anyio.CancelScope] = {}
        self._comparing = anyio.Lock()

    async def launch(self, run: Run, started: Started) -> Outcome:
        """Check, publish, then launch, unless a check blocks."""
        with anyio.CancelScope() as scope:
            self._under_way[run.token] = scope
            try:
                found = await self._known(run)
                if not found and (asked := self._asked(run)):
                    # What is compared with earlier files goes one after another: two alike may come at once.
                    async with self._comparing if _compares(asked) else nullcontext():
                        found = await self._examined(run, asked)
            finally:
                del self._under_way[run.token]
        if scope.cancel_called:  # Be it too late to stop what was being written: the launcher knows nothing of it yet.
            return self._ended("cancelled", "cancelled while its file was checked")
        worst = failing(found)
        if worst is not None and worst.severity == "block":
            why = f"not started: {why_failed(worst)}"
            return structs.replace(self._ended("failed", why), final=True, blocked_by=worst.check)
        return _after(await self._inner.launch(run, started), worst)

    async def adopt(self, run: Run, started: Started) -> Outcome | None:
        """As the launcher itself, with what was found before the start."""
        outcome = await self._inner.adopt(run, started)
        return None if outcome is None else _after(outcome, failing(await self._known(run)))

    async def cancel(self, run: Run) -> None:
        """End the attempt, or its checks."""
        if (scope := self._under_way.get(run.token)) is not None:
            scope.cancel()
        else:
            await self._inner.cancel(run)

    async def forget(self, run: Run) -> None:
        """As the launcher itself."""
        await self._inner.forget(run)

    def log(self, run_id: str, attempt: int, requested_at: datetime) -> Path | None:
        """As the launcher itself."""
        return self._inner.log(run_id, attempt, requested_at)

    def _ended(self, status: Any, reason: str) -> Outcome:
        return Outcome(status=status, ended_at=self._shared.clock.now(), error=reason)

    def _asked(self, run: Run) -> list[tuple[str, Checks]]:
        """The checks that this run undergoes, those of the sensor with its name beside them."""
        asked = [] if self._checks is None else [("", self._checks)]
        of_sensor = self._shared.by_sensor.get(run.sensor or "")
        return asked if of_sensor is None else [*asked, (run.sensor or "", of_sensor)]

    async def _known(self, run: Run) -> list[CheckResult]:
        """What was found before this attempt, or an earlier one, was started."""
        return await self._shared.database.read(lambda conn: found_before(conn, run.id))

    async def _examined(self, run: Run, asked: Sequence[tuple[str, Checks]]) -> list[CheckResult]:
        told: list[Event] = []
        found: list[CheckResult] = []
        for series, checks in asked:
            for result, more in await self._of_file(run, series, checks):
                found.append(result)
                event = quality_event(
                    self._shared.clock, _about(run), result, hooks=self._hooks, before_run=True, **more
                )
                told.append(event)
        with anyio.CancelScope(shield=True):  # It is decided.
            await self._shared.database.write(_publish, told)
        self._shared.published()
        return found

    async def _of_file(self, run: Run, series: str, checks: Checks) -> list[tuple[CheckResult, dict[str, Any]]]:
        worst = worst_severity(checks.of)
        path, subject = "", ""
        try:
            path = self._path(run, checks)
            subject = printable(os.fsencode(path))
            answer = await self._answer(run, series, checks, path)
        except (TemplateError, CheckingError) as error:
            failed = CheckResult(check=READABLE, passed=False, severity=worst, detail=str(error), subject=subject)
            return [(replace(failed, series=series), {})]
        except OSError as error:  # No process, or no room for one: that says nothing of the file.
            raise LaunchDelayed(f"its file cannot be checked for now: {error.strerror or error}") from error
        found = []
        for one in answer["results"]:
            more = {"found": one.pop("found")} if "found" in one else {}
            found.append((replace(read_result(one), subject=subject, series=series), more))
        return found

    def _path(self, run: Run, checks: Checks) -> str:
        about = {
            "id": run.id,
            "job": run.job,
            "key": run.run_key,
            "config": run.run_config,
            "tags": run.tags,
            "partition_key": run.partition_key,
        }
        path = checks.file.render({"run": about})
        if self._shared.objects.key_of(run.sensor, path) is not None:
            return path
        if not path or "://" in path:
            what = "is not the path of a file on this machine, nor an object of its sensor's bucket"
            raise CheckingError(f"{path[:200]!r} {what}")
        return os.path.join(self._folder, path)  # noqa: PTH118 - a name need not be UTF-8

    async def _answer(self, run: Run, series: str, checks: Checks, path: str) -> Any:
        if (format_ := format_of(checks, path)) is None:
            raise CheckingError("its name ends neither in .csv, .jsonl nor .parquet; say `format:` with its checks")
        names = [check.name for check in checks.of if check.kind in ("columns", "new_content")]
        accepted = await self._shared.database.read(lambda conn: accepted_by(conn, run.job, series, names))
        request = {
            "path": path,
            "format": format_[0],
            "separator": format_[1],
            "checks": [structs.asdict(check) for check in checks.of],
            "readable": worst_severity(checks.of),
            "accepted": accepted,
            "now": self._shared.clock.now().timestamp(),
            "timeout": checks.timeout,
            "memory": checks.memory,
        }
        async with self._shared.limit:
            key = self._shared.objects.key_of(run.sensor, path)
            return await (ask(request) if key is None else self._asked_of_object(run.sensor or "", key, request))

    async def _asked_of_object(self, sensor: str, key: str, request: Mapping[str, Any]) -> Any:
        """The answer of a process that fetches the object first; a bucket that moved is followed once."""
        objects = self._shared.objects
        answer = await ask({**request, "fetch": await objects.wanted(sensor, key)})
        if "region" in answer:
            await objects.move(sensor, answer["region"])
            answer = await ask({**request, "fetch": await objects.wanted(sensor, key)})
        if "results" not in answer:
            raise LaunchDelayed(f"its object cannot be fetched for now: {answer.get('delay', 'its bucket moves')}")
        return answer


def _compares(asked: Sequence[tuple[str, Checks]]) -> bool:
    """Whether one of the checks compares the file with earlier ones."""
    return any(check.kind == "new_content" or "last" in check.args for _, checks in asked for check in checks.of)


def _after(outcome: Outcome, worst: CheckResult | None) -> Outcome:
    """What was wrong with the data before would be wrong at the next attempt too."""
    return outcome if worst is None else structs.replace(judged(outcome, worst), final=True)


def _about(run: Run) -> About:
    return About(
        run=run.id,
        job=run.job,
        sensor=run.sensor,
        run_key=run.run_key,
        subject=None,
        requested_at=run.requested_at,
        tags=run.tags,
        partition_key=run.partition_key,
    )


def _publish(conn: Connection, batch: Sequence[Sequence[Event]]) -> list[None]:
    for told in batch:
        append(conn, told)
    return [None] * len(batch)


def found_before(conn: Connection, run: str) -> list[CheckResult]:
    """What the checks before a run found, as it was published."""
    query = select(events.c.data).where(
        events.c.run == run, events.c.source == "sensord", events.c.type.like("quality.%")
    )
    told = [orjson.loads(data) for data in conn.scalars(query.order_by(events.c.seq))]
    return [read_result(data) for data in told if data.get("before_run") is True]
