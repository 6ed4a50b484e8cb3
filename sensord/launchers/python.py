"""Jobs that are a Python function: called once in a process of its own, which waits for it with the module imported.

Its arguments are run_config, by name, as its annotations have them; its return value is the run's metadata; what it
raises is the run's error, with the traceback. Everything else is as with a command: its process is in the hands of the
supervisor, which outlives the daemon, has the SENSORD_* variables, one log, and ends by a timeout or a cancellation,
TERM leaving the function by SystemExit so that everything it has open is closed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

from msgspec.structs import replace
from pydantic import BeforeValidator, Field, field_validator

from notifiers.settings import Settings
from sensord.launchers import Launcher, Outcome, Reporting, Run, Started
from sensord.secrets import one_line, redact, redacted

_HERE = Path(__file__).parent
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from python_runner import main; sys.path.pop(); main()"
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_OURS = ("exception", "traceback", "refused")


def _written(value: object) -> object:
    return {"factory": value} if isinstance(value, str) else value


class ResourceConfig(Settings):
    """What is opened for each run before its function is called, and closed after it, whatever happens."""

    factory: str = Field(description="module:name of what makes a context manager, or something with close()")
    arguments: dict[str, Any] = Field(default_factory=dict, description="what it is called with")

    @field_validator("factory")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return _checked(value)


Resource = Annotated[ResourceConfig, BeforeValidator(_written, json_schema_input_type=str | ResourceConfig)]


class PythonConfig(Settings):
    """The keys of a job that is a Python function."""

    python: str = Field(description="the function, as module:function; run_config is its arguments")
    path: Path = Field(
        default=Path(), description="folder it is imported from and runs in; relative to the configuration file"
    )
    env: dict[str, str] = Field(default_factory=dict, description="added to the allow-list of the environment")
    resources: dict[str, Resource] = Field(
        default_factory=dict, description="arguments that are opened for each run, by name: module:factory"
    )
    warm: int = Field(default=1, ge=0, le=32, description="so many processes wait for runs, their module imported")

    @field_validator("python")
    @classmethod
    def _is_a_function(cls, value: str) -> str:
        return _checked(value)

    @field_validator("resources")
    @classmethod
    def _are_arguments(cls, value: dict[str, Resource]) -> dict[str, Resource]:
        for name in value:
            if not _IDENTIFIER.fullmatch(name):
                raise ValueError(f"{name!r} can be no argument of a function; write a name such as cluster")
        return value


def _checked(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} names no function; write module:function, e.g. my_team.jobs:load")
    return value


class _Followed(Launcher, Reporting, Protocol):
    """What starts and follows the process."""


MakeCommand = Callable[[list[str], dict[str, str], Path, dict[str, Any] | None], _Followed]
"""argv, env, cwd, and the spare processes wanted → a launcher of that command."""


def python_launcher(config: PythonConfig, make: MakeCommand) -> PythonLauncher:
    """The launcher of one job, by way of one of commands."""
    path = Path.cwd() / config.path
    resources = {name: one.model_dump() for name, one in config.resources.items()}
    spec = json.dumps({"function": config.python, "path": str(path), "resources": resources})
    argv = [sys.executable, "-P", "-c", _PROGRAM, str(_HERE)]
    env = {**config.env, "SENSORD_PYTHON": spec}
    spares = None
    if config.warm:
        waiting = {**env, "SENSORD_PYTHON_WAITS": "1"}
        spares = {"argv": argv, "env": waiting, "cwd": str(path), "count": config.warm}
    return PythonLauncher(make(argv, env, path, spares))


class PythonLauncher:
    """Runs one job's function; see `Launcher` for what its methods promise."""

    def __init__(self, process: _Followed) -> None:
        self._process = process

    async def launch(self, run: Run, started: Started) -> Outcome:
        """Have the function called and follow it to its end."""
        return _told(await self._process.launch(run, started))

    async def adopt(self, run: Run, started: Started) -> Outcome | None:
        """Follow the attempt to its end, if it was ever started."""
        outcome = await self._process.adopt(run, started)
        return None if outcome is None else _told(outcome)

    async def cancel(self, run: Run) -> None:
        """End it."""
        await self._process.cancel(run)

    async def forget(self, run: Run) -> None:
        """The outcome is committed."""
        await self._process.forget(run)

    def report(self, run: Run) -> Path:
        """The file to which the attempt may append what it reports."""
        return self._process.report(run)

    def log(self, run_id: str, attempt: int, requested_at: datetime) -> Path | None:
        """What it wrote, once there is something."""
        return self._process.log(run_id, attempt, requested_at)


def _told(outcome: Outcome) -> Outcome:
    """The same, with the function's own error in place of its process's exit code."""
    metadata = dict(outcome.metadata)
    said = {name: metadata.pop(name) for name in _OURS if isinstance(metadata.get(name), str)}
    if outcome.status != "failed" or not said:
        return outcome
    if "traceback" in said:
        metadata["traceback"] = redacted(said["traceback"])
    error = said.get("exception") or said.get("refused") or outcome.error
    ended = outcome.error if outcome.error.startswith(("timed out", "quality check")) else one_line(redact(error))
    return replace(outcome, error=ended, metadata=metadata)
