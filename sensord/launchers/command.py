"""Jobs that are a command on this machine.

A command's process gets a small part of the daemon's environment (ENVIRONMENT in `command_starting`, and every LC_*;
so neither secrets nor PYTHONPATH), the job's own `env`, and the SENSORD_* variables. It leads a session and a process
group of its own, reads nothing, and writes to one log. It goes on when the daemon ends, is killed or is upgraded: a
supervisor process that outlives the daemon knows how it ended. A timeout or a cancellation ends its whole group, first
politely (TERM), then for certain (KILL); what it leaves in the background when it ends by itself is left alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from pydantic import Field

from notifiers.clock import Clock, from_us, to_us
from notifiers.settings import Settings
from rules.request import PARTITION_END, PARTITION_START
from rules.templates import TemplateError, compile_text
from sensord.launchers import Outcome, Run, Started
from sensord.launchers.command_link import Link
from sensord.launchers.command_outcome import outcome_of
from sensord.launchers.command_starting import LINGER, allowed
from sensord.launchers.command_talk import Followed, State

GRACE = 10.0
LOG_LIMIT = 16 * 1024 * 1024
_RUN_ID = re.compile(r"[0-9a-f-]{36}")


class CommandConfig(Settings):
    """The keys of a job that is a command."""

    command: list[str] = Field(min_length=1, description="argv; elements may use templates: {{ run.config.path }}")
    env: dict[str, str] = Field(default_factory=dict, description="added to the allow-list of the environment")
    cwd: Path | None = Field(default=None, description="working directory; relative to the configuration file")


class UnlaunchableError(ValueError):
    """Why this attempt can never be started."""


@asynccontextmanager
async def open_commands(
    state: Path, *, clock: Clock, linger: float = LINGER, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Commands]:
    """The link to the state folder's supervisor, which is started when there is none; made once for each daemon.

    The folder is made if it is missing. `linger` is how many seconds a new supervisor outlives its last daemon and
    its last run. On leaving, runs go on. Raises SupervisorUnavailableError if there is no supervisor to be had.
    """
    folder = _made(state)
    link = Link(folder, clock, linger, allowed(os.environ if environ is None else environ))
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(link.run)
            try:
                yield Commands(link, folder, clock)
                await link.flush()
            finally:
                tasks.cancel_scope.cancel()
    finally:
        link.close()


def _made(state: Path) -> Path:
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state.resolve()


class Commands:
    """Everything that runs as a command on this machine, of every job."""

    def __init__(self, link: Link, state: Path, clock: Clock) -> None:
        self._link = link
        self._state = state
        self._clock = clock
        self._pools: dict[str, Any] = {}

    def launcher(
        self,
        job: str,
        config: CommandConfig,
        *,
        timeout: float | None,
        log_limit: int = LOG_LIMIT,
        grace: float = GRACE,
        warm: Mapping[str, Any] | None = None,
    ) -> CommandLauncher:
        """The launcher of one job. TemplateError if an element of its command is not a template.

        `timeout` and `grace` (from TERM to KILL) are seconds; of a log longer than `log_limit` bytes the first quarter
        and the last three quarters of so many are kept. `warm`: `argv`, `env`, `cwd` and `count` of processes that
        wait to be given a run, see `command_warm`; while none waits, the command is started.
        """
        limits: dict[str, Any] = {"timeout": timeout, "grace": grace, "limit": log_limit}
        if warm is not None:
            self._pools[job] = dict(warm)
            limits["warm"] = job
            self._link.keep_warm(self._pools)
        return CommandLauncher(self._link, self._state, self._clock, job, config, limits)

    @property
    def known(self) -> frozenset[str]:
        """The tokens of all attempts that the supervisor remembers, running or ended."""
        return frozenset(self._link.known)

    @property
    def supervisor_pid(self) -> int:
        """The process that is the parent of the runs."""
        return self._link.pid

    def forget_all_but(self, tokens: Collection[str]) -> None:
        """Let go of ended attempts that nobody will ask for: those whose outcome was committed before a crash."""
        self._link.forget([token for token in self._link.known if token not in tokens])


class CommandLauncher:
    """Runs one job's command; see `Launcher` for what its methods promise."""

    def __init__(
        self, link: Link, state: Path, clock: Clock, job: str, config: CommandConfig, limits: Mapping[str, Any]
    ) -> None:
        self._link = link
        self._state = state
        self._clock = clock
        self._job = job
        self._argv = [compile_text(element) for element in config.command]
        self._env = dict(config.env)
        self._cwd = str(Path.cwd() / (config.cwd or ""))
        self._limits = dict(limits)

    async def launch(self, run: Run, started: Started) -> Outcome:
        """Start the attempt and follow it to its end."""
        path = self._path(run)
        try:
            request = self._request(run, path)
        except UnlaunchableError as error:
            return Outcome(status="failed", ended_at=self._clock.now(), error=str(error))
        return await self._follow(run, path, self._link.start(run.token, request, _at(started)))

    async def adopt(self, run: Run, started: Started) -> Outcome | None:
        """Follow the attempt to its end, if it was ever started; `lost` if a damaged journal leaves that open."""
        followed = self._link.find(run.token, _at(started))
        if followed is not None:
            return await self._follow(run, self._path(run), followed)
        if self._link.was_damaged_since(to_us(run.requested_at)):
            return await outcome_of(self._link.lost(run.token), self._path(run), self._limits["timeout"])
        return None

    async def cancel(self, run: Run) -> None:
        """End the attempt's process group; an attempt that is not known is left as it is."""
        self._link.cancel(run.token)

    async def forget(self, run: Run) -> None:
        """Let the supervisor forget the attempt; its log stays."""
        self._link.forget([run.token])

    def report(self, run: Run) -> Path:
        """The file to which the attempt may append what it reports."""
        return Path(f"{self._path(run)}.report.jsonl")

    def log(self, run_id: str, attempt: int, requested_at: datetime) -> Path | None:
        """The attempt's log, once there is one; None also for what is not a run's id."""
        if not _RUN_ID.fullmatch(run_id) or attempt < 0:
            return None
        path = Path(f"{_files(self._state, f'{run_id}.{attempt}', requested_at)}.log")
        return path if path.is_file() else None

    async def _follow(self, run: Run, path: str, followed: Followed) -> Outcome:
        try:
            return await outcome_of(await self._link.wait(followed), path, self._limits["timeout"])
        finally:
            self._link.leave(run.token)

    def _path(self, run: Run) -> str:
        """What the paths of the attempt's files begin with."""
        return _files(self._state, run.token, run.requested_at)

    def _request(self, run: Run, path: str) -> State:
        if not _RUN_ID.fullmatch(run.id):
            raise UnlaunchableError(f"{run.id!r} is not a run's id")
        env = self._env | {
            "SENSORD_RUN_ID": run.id,
            "SENSORD_JOB": self._job,
            "SENSORD_RUN_KEY": run.run_key or "",
            "SENSORD_ATTEMPT": str(run.attempt),
            "SENSORD_RUN_CONFIG": f"{path}.config.json",
            "SENSORD_REPORT": f"{path}.report.jsonl",
        }
        if run.partition_key is not None:
            env["SENSORD_PARTITION_KEY"] = run.partition_key
        window = {"SENSORD_PARTITION_START": PARTITION_START, "SENSORD_PARTITION_END": PARTITION_END}
        env |= {name: run.tags[tag] for name, tag in window.items() if tag in run.tags}
        argv = self._rendered(run)
        _refuse_nul("an argument", argv)
        _refuse_nul("an environment variable", env.values())
        return {
            "day": run.requested_at.astimezone(UTC).date().isoformat(),
            "argv": argv,
            "env": env,
            "cwd": self._cwd,
            "config": json.dumps(dict(run.run_config)),  # ASCII: text that is not UTF-8 is written as \udcXX.
            **self._limits,
        }

    def _rendered(self, run: Run) -> list[str]:
        about = {
            "id": run.id,
            "job": self._job,
            "key": run.run_key,
            "attempt": run.attempt,
            "config": run.run_config,
            "tags": run.tags,
            "partition_key": run.partition_key,
            "partition": _partition(run),
        }
        try:
            return [template.render({"run": about}) for template in self._argv]
        except TemplateError as error:
            raise UnlaunchableError(f"the command cannot be made: {error}") from error


def _partition(run: Run) -> dict[str, str] | None:
    """The run's partition as templates see it: its key and, of a window of time, its start and end."""
    if run.partition_key is None:
        return None
    window = {"start": PARTITION_START, "end": PARTITION_END}
    return {"key": run.partition_key} | {name: run.tags[tag] for name, tag in window.items() if tag in run.tags}


def _at(started: Started) -> Callable[[int], None]:
    return lambda us: started(from_us(us))


def _files(state: Path, token: str, requested_at: datetime) -> str:
    return f"{state}/runs/{requested_at.astimezone(UTC).date().isoformat()}/{token}"


def _refuse_nul(what: str, values: Iterable[str]) -> None:
    for value in values:
        if "\0" in value:
            raise UnlaunchableError(f"{what} holds a NUL byte, which no process can be given: {value[:100]!r}")
