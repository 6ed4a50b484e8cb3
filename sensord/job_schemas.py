"""What each job's run_config is to be: written down, or said by what runs it, which is asked when it is first needed.

A model or a function is read by a process of its own, for the daemon never imports people's code, and again once a
file that it was read from has changed. A Dagster job is asked of its instance; while that is away nothing is known of
it, and nothing is refused; its fields are shown by names, as `sensord.launchers.dagster_parameters` has them. What is
not written down is the runner's to judge: it drives questions, completion and the checks of what somebody asks for, and
is no reason by itself to fail what a sensor has asked for.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio import to_thread

from notifiers.clock import Clock
from sensord.launchers.command_starting import allowed
from sensord.launchers.dagster import DagsterJobConfig
from sensord.launchers.python import PythonConfig
from sensord.secrets import one_line, redact

if TYPE_CHECKING:
    from sensord.config import Config, JobConfig

log = logging.getLogger(__name__)

READ_SECONDS = 30.0
"""How long a module may take to be imported."""
ASK_SECONDS = 5.0
"""How long Dagster may take to say what a job takes."""
FRESH_SECONDS = 60.0
"""How long what Dagster said is not asked again."""
AGAIN_SECONDS = 5.0
"""How long after a failure nothing is tried again."""
_LONGEST = 4 << 20
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from python_signature import main; sys.path.pop(); main()"

Schema = Mapping[str, Any]


class SchemaUnreadableError(Exception):
    """What run_config is to be cannot be read; the text says why, in a sentence."""


class Source(Protocol):
    """Where a schema comes from."""

    async def read(self) -> Schema | None:
        """It, as it is now; None where there is none. SchemaUnreadableError where it cannot be had."""
        ...


class Fields(Protocol):
    """Names for what lies deep in a run_config."""

    def shown(self, schema: Schema | None) -> Schema | None:
        """The schema with such names."""
        ...

    def judged(self, config: Any) -> Any:
        """A run_config without them, as what runs it takes it."""
        ...


class JobSchema:
    """What one job's run_config is to be. `written`: somebody wrote it down, so that every run has to keep to it."""

    def __init__(
        self,
        source: Source | None,
        *,
        written: bool,
        names_only: bool = False,
        known: Schema | None = None,
        fields: Fields | None = None,
    ) -> None:
        self._source = source
        self._fields = fields
        self._shown: tuple[Schema | None, Schema | None] = (None, None)
        self._written = written
        self._names_only = names_only
        self._known = known
        self._validators: tuple[Schema | None, Any] = (None, None)

    @property
    def known(self) -> Schema | None:
        """What was read last, as it is shown."""
        if self._fields is None:
            return self._known
        if self._shown[0] is not self._known:
            self._shown = (self._known, self._fields.shown(self._known))
        return self._shown[1]

    async def now(self) -> Schema | None:
        """As it is now; None where there is none, or where it cannot be had."""
        try:
            await self._read()
        except SchemaUnreadableError as error:
            log.warning("config_schema.unreadable", extra={"reason": str(error)})
            return None
        return self.known

    @property
    def of_a_module(self) -> bool:
        """Whether it is read from a module of somebody's."""
        return isinstance(self._source, _Module)

    async def trouble(self) -> str | None:
        """Why it cannot be read now; None where it can, or where nothing has to be."""
        try:
            await self._read()
        except SchemaUnreadableError as error:
            return str(error)
        return None

    async def refusal(self, config: Any) -> str | None:
        """Why somebody who asks for a run with this run_config gets none; None where they do."""
        try:
            schema = await self._read()
        except SchemaUnreadableError as error:
            return f"config_schema: {error}" if self._written else None
        if schema is None or (not self._written and not self._names_only and not config):
            return None  # Dagster may have a config of its own for a run that is given none.
        judged = config if self._fields is None else self._fields.judged(config)
        found = self._validator(schema).iter_errors(with_defaults(schema, judged))
        if self._names_only:  # A value is converted by its annotation, which takes more than a schema can say.
            found = (one for one in found if not one.path and one.validator in ("required", "additionalProperties"))
        from jsonschema.exceptions import best_match

        first = best_match(found)
        return None if first is None else f"{first.json_path}: {first.message}"

    async def at_launch(self, config: Any) -> str | None:
        """Why a run of whoever asked for it is not started; None where it is."""
        return await self.refusal(config) if self._written else None

    async def completed(self, config: Any) -> Any:
        """With the defaults that are written down; what runs it knows its own."""
        return with_defaults(await self.now(), config) if self._written else config

    async def _read(self) -> Schema | None:
        if self._source is not None:
            self._known = await self._source.read()
        return self._known

    def _validator(self, schema: Schema) -> Any:
        if self._validators[0] is not schema:
            from jsonschema import Draft202012Validator

            self._validators = (schema, Draft202012Validator(schema))
        return self._validators[1]


def with_defaults(schema: Schema | None, config: Any) -> Any:
    """The same, and the default of each property that it does not have."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not isinstance(config, Mapping):
        return config
    missing = {
        name: one["default"]
        for name, one in properties.items()
        if name not in config and isinstance(one, Mapping) and "default" in one
    }
    return {**config, **missing} if missing else config


def job_schemas(config: Config, *, clock: Clock) -> dict[str, JobSchema]:
    """Of every job, by its name. Nothing is asked before it is needed."""
    return {name: _of_job(job, clock) for name, job in config.jobs.items()}


def _of_job(job: JobConfig, clock: Clock) -> JobSchema:
    given, launcher = job.config_schema, job.launcher
    if isinstance(given, dict):
        return JobSchema(None, written=True, known=given)
    if given is not None:
        env, path = _place(launcher)
        return JobSchema(_Module(given.name, path or given.path, env, clock), written=True)
    if isinstance(launcher, PythonConfig):
        env, path = _place(launcher)
        called = _Module(launcher.python, path or Path(), env, clock, resources=tuple(launcher.resources))
        return JobSchema(called, written=False, names_only=True)
    if isinstance(launcher, DagsterJobConfig) and launcher.dagster.run_config == "{{ run.config }}":
        return JobSchema(_Dagster(launcher, clock), written=False, fields=_DagsterFields())
    return JobSchema(None, written=False)


def _place(launcher: Any) -> tuple[Mapping[str, str], Path | None]:
    """The environment and the folder in which the job's own module is imported."""
    return (launcher.env, launcher.path) if isinstance(launcher, PythonConfig) else ({}, None)


class _Module:
    """What a module says, read by a process of its own. `resources`: it is the job's function, and has those."""

    def __init__(
        self, name: str, path: Path, env: Mapping[str, str], clock: Clock, *, resources: tuple[str, ...] | None = None
    ) -> None:
        self._path = Path.cwd() / path
        spec = {
            "name": name,
            "path": str(self._path),
            "resources": list(resources or ()),
            "call": resources is not None,
        }
        self._argv = [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parent / "launchers"), json.dumps(spec)]
        self._env = dict(env)
        self._name = name
        self._clock = clock
        self._lock = anyio.Lock()
        self._said: Mapping[str, Any] = {}
        self._wait_until = 0.0

    async def read(self) -> Schema:
        async with self._lock:
            if not self._said or not await self._holds():
                self._said = await self._ask()
                self._wait_until = self._clock.monotonic() + AGAIN_SECONDS
        if "schema" in self._said:
            schema: Schema = self._said["schema"]
            return schema
        raise SchemaUnreadableError(f"{self._name}: {one_line(redact(str(self._said['refused'])))}")

    async def _holds(self) -> bool:
        """Whether what was said is so still. A failure is tried again after a while: it may be a file that came."""
        files: Mapping[str, Any] = self._said.get("files", {})
        if "schema" not in self._said and self._clock.monotonic() >= self._wait_until:
            return False
        return await to_thread.run_sync(lambda: all(_version(path) == seen for path, seen in files.items()))

    async def _ask(self) -> Mapping[str, Any]:
        env = allowed(os.environ)
        try:
            with anyio.CancelScope(shield=True):  # Cancelled half-way, it would be nobody's.
                process = await anyio.open_process(
                    self._argv,
                    stdin=DEVNULL,
                    stdout=PIPE,
                    stderr=DEVNULL,
                    env=env | self._env,
                    cwd=self._path,
                    start_new_session=True,
                )
            async with process:
                try:
                    with anyio.fail_after(READ_SECONDS):
                        return await _answer(process)
                finally:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
        except TimeoutError:
            return {"refused": f"its module takes longer than {READ_SECONDS:.0f} seconds to be imported"}
        except OSError as error:
            return {"refused": f"its module cannot be imported in {self._path}: {error.strerror}"}


async def _answer(process: anyio.abc.Process) -> Mapping[str, Any]:
    data = bytearray()
    assert process.stdout is not None  # noqa: S101 - as it was asked for
    async for piece in process.stdout:
        data += piece
        if len(data) > _LONGEST:
            return {"refused": f"its schema takes more than {_LONGEST} bytes"}
    try:
        said: Mapping[str, Any] = json.loads(data)
    except ValueError:
        return {"refused": f"its module ended Python when it was imported (exit code {await process.wait()})"}
    return said


def _version(path: str) -> list[int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - there may be many
    except OSError:
        return None
    return [stat.st_mtime_ns, stat.st_size]


class _DagsterFields:
    """Names for the fields of its ops and resources."""

    def shown(self, schema: Schema | None) -> Schema | None:
        from sensord.launchers.dagster_parameters import flattened

        return flattened(schema)

    def judged(self, config: Any) -> Any:
        from sensord.launchers.dagster_parameters import nested

        return nested(config)


class _Dagster:
    """What an instance says of its job. What it said last is kept while it is away."""

    def __init__(self, config: DagsterJobConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._lock = anyio.Lock()
        self._said: Schema | None = None
        self._ask_at: float | None = None

    async def read(self) -> Schema | None:
        async with self._lock:
            if self._ask_at is None or self._clock.monotonic() >= self._ask_at:
                heard = await self._ask()
                self._ask_at = self._clock.monotonic() + (FRESH_SECONDS if heard else AGAIN_SECONDS)
        return self._said

    async def _ask(self) -> bool:
        from sensord.elsewhere_side import AwayError, RefusedError, UnansweredError
        from sensord.launchers.dagster_jobs import Server, open_session
        from sensord.launchers.dagster_schema import schema_of
        from sensord.launchers.dagster_side import DagsterSide

        target = self._config.dagster
        try:
            async with open_session() as session:
                with anyio.fail_after(ASK_SECONDS):
                    self._said = await schema_of(DagsterSide(target, Server(target, session), self._clock))
        except (AwayError, RefusedError, UnansweredError) as error:
            log.info("config_schema.unknown", extra={"job": target.job, "reason": str(error)})
            return False
        except TimeoutError:
            log.info("config_schema.unknown", extra={"job": target.job, "reason": "no answer in time"})
            return False
        return True
