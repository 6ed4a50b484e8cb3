"""Where schemas of run_configs come from: modules, read by a process of its own, and Dagster, which is asked."""

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
from typing import Any, Protocol

import anyio
from anyio import to_thread

from notifiers.clock import Clock
from sensord.launchers.command_starting import allowed
from sensord.launchers.dagster import DagsterJobConfig
from sensord.secrets import one_line, redact

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


class ModuleSchema:
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
        """As its files are now. SchemaUnreadableError where it cannot be imported, or has none."""
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


class DagsterFields:
    """Names for the fields of its ops and resources."""

    def shown(self, schema: Schema | None) -> Schema | None:
        """A property for each field."""
        from sensord.launchers.dagster_parameters import flattened

        return flattened(schema)

    def judged(self, config: Any) -> Any:
        """With each field in its place."""
        from sensord.launchers.dagster_parameters import nested

        return nested(config)


class DagsterSchema:
    """What an instance says of its job. What it said last is kept while it is away."""

    def __init__(self, config: DagsterJobConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._lock = anyio.Lock()
        self._said: Schema | None = None
        self._ask_at: float | None = None

    async def read(self) -> Schema | None:
        """As its instance said a minute ago at most, or before it went away; None where it never said any."""
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
