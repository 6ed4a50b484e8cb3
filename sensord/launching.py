"""The launchers of the configuration's jobs, each opened only where a job has it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from notifiers.clock import Clock
from sensord.config import Config, JobConfig
from sensord.launchers import Launcher
from sensord.launchers.command import CommandConfig, CommandLauncher, Commands
from sensord.launchers.dagster import DagsterJobConfig, open_dagster_jobs
from sensord.launchers.http import HttpConfig, open_http
from sensord.launchers.nothing import NotLaunching
from sensord.launchers.python import MakeCommand, PythonConfig, python_launcher
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.tables import TERMINAL, runs


@asynccontextmanager
async def open_launchers(config: Config, commands: Commands, *, clock: Clock) -> AsyncIterator[dict[str, Launcher]]:
    """A launcher for each job, by its name."""
    launchers: dict[str, Launcher] = {}
    async with AsyncExitStack() as stack:
        http, dagster = None, None
        if not config.launches:
            yield dict.fromkeys(config.jobs, NotLaunching(clock))
            return
        for name, job in config.jobs.items():
            match job.launcher:
                case CommandConfig():
                    launchers[name] = commands.launcher(name, job.launcher, timeout=job.timeout)
                case HttpConfig():
                    if http is None:
                        http = await stack.enter_async_context(open_http(config.state, clock=clock))
                    launchers[name] = http.launcher(name, job.launcher, timeout=job.timeout)
                case DagsterJobConfig():
                    if dagster is None:
                        dagster = await stack.enter_async_context(open_dagster_jobs(config.state, clock=clock))
                    launchers[name] = dagster.launcher(job.launcher, timeout=job.timeout)
                case PythonConfig():
                    launchers[name] = python_launcher(job.launcher, _maker(commands, name, job))
                case other:
                    raise TypeError(f"job {name}: no launcher is known for {type(other).__name__}")
        yield launchers


def _maker(commands: Commands, name: str, job: JobConfig) -> MakeCommand:
    def make(argv: list[str], env: dict[str, str], cwd: Path, spares: dict[str, Any] | None) -> CommandLauncher:
        command = CommandConfig(command=argv, env=env, cwd=cwd)
        return commands.launcher(name, command, timeout=job.timeout, warm=spares)

    return make


async def forget_ended(config: Config, database: LedgerDatabase) -> None:
    """Let go of what is noted of attempts elsewhere whose outcome was committed just before a crash."""
    if (config.state / "elsewhere").is_dir():
        from sensord.elsewhere_notes import Notes

        Notes(config.state).forget_all_but(await database.read(_open_tokens))


def _open_tokens(conn: Connection) -> frozenset[str]:
    query = select(runs.c.id, runs.c.attempt).where(runs.c.status.notin_(TERMINAL))
    return frozenset(f"{run}.{attempt}" for run, attempt in conn.execute(query))
