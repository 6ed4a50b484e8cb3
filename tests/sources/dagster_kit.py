"""What the Dagster sensor's tests share: a real web server with a database of its own, and a source that runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
from anyio.to_thread import run_sync

from notifiers.clock import SYSTEM
from rules.request import Sensed
from sensord.sources.dagster import DagsterConfig, open_dagster
from sensord.sources.dagster_source import DagsterSource
from tests.dagster.environment import dagster_python
from tests.sources.directory_kit import Recorder

PROGRAM = Path(__file__).with_name("dagster_program.py")
QUIET = "telemetry: {enabled: false}\n"
POSTGRES = "storage: {{postgres: {{postgres_url: {url}}}}}\n"
LONG = 60.0
SECOND = 1_000_000
"""Of microseconds, as Dagster keeps times."""


class Dagster:
    """An instance: its web server, which may be stopped and started, and what has things happen in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
        self._bin = dagster_python().parent
        self._server: subprocess.Popen[bytes] | None = None
        argv = [str(self._bin / "python"), str(PROGRAM)]
        with (home / "program.log").open("wb") as log:
            self._program = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=self._environment, text=True
            )

    def start(self) -> None:
        """Start the web server, and wait until it answers."""
        program = str(self._bin / "dagster-webserver")
        argv = [program, "-h", "127.0.0.1", "-p", str(self.port), "-f", str(PROGRAM)]
        with (self.home / "webserver.log").open("ab") as log:
            self._server = subprocess.Popen(
                argv, stdout=log, stderr=log, env=self._environment, cwd=self.home, start_new_session=True
            )
        ends = time.monotonic() + 120
        while not self._answers():
            assert self._server.poll() is None, (self.home / "webserver.log").read_text()
            assert time.monotonic() < ends, "the web server does not answer"

    def _answers(self) -> bool:
        assert self._server is not None
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=5):
                return True
        except OSError:
            _wait(self._server, 0.1)
            return False

    def stop(self) -> None:
        """Kill the web server and the process that holds its definitions."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def close(self) -> None:
        """End everything."""
        self.stop()
        self._program.kill()
        self._program.communicate()

    def do(self, what: str, **asked: Any) -> Any:
        """Have something happen; see `dagster_program.Requests`."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps({"do": what, **asked}) + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        assert answer, (self.home / "program.log").read_text()
        return json.loads(answer)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


@contextmanager
def instance(postgres: str | None = None) -> Iterator[Dagster]:
    """A Dagster instance with nothing in it, and its web server, until the block ends.

    It keeps everything in SQLite files of its own, or in the empty database at this PostgreSQL URL.
    """
    home = Path(tempfile.mkdtemp(prefix="dagster-"))
    storage = "" if postgres is None else POSTGRES.format(url=json.dumps(postgres))
    (home / "dagster.yaml").write_text(QUIET + storage)
    running = Dagster(home)
    try:
        running.do("ready")  # Two processes that make one database at once keep each other waiting.
        running.start()
        yield running
    finally:
        running.close()
        shutil.rmtree(home, ignore_errors=True)


def microseconds(ago: float = 0.0) -> int:
    """So many seconds ago."""
    return time.time_ns() // 1000 - round(ago * SECOND)


class Ledger(Recorder):
    """Keeps the cursor where an emit brings none; from `stops_at` things on nothing is committed, and none returns."""

    stops_at: int | None = None

    def __init__(self, marks: Iterable[int] = (), cursor: str | None = None) -> None:
        super().__init__(marks, cursor)
        self._said = anyio.Event()

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        if self.stops_at is not None and len(self.sensed) + len(sensed) > self.stops_at:
            self._wake()
            await anyio.sleep_forever()
        held = self.cursor
        await super().__call__(sensed, cursor)
        self.cursor = held if cursor is None else cursor
        self._wake()

    async def failed(self, reason: str) -> None:
        await super().failed(reason)
        self._wake()

    async def recovered(self) -> None:
        await super().recovered()
        self._wake()

    def looked(self) -> None:
        super().looked()
        self._wake()

    def _wake(self) -> None:
        self._said.set()
        self._said = anyio.Event()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for what is said until this holds; fail after a long while."""
        with anyio.fail_after(LONG):
            while not condition():
                await self._said.wait()

    def after_a_restart(self) -> Ledger:
        """What a restart finds: the cursor and the marks, and nothing else."""
        return Ledger(self.remembered, self.cursor)


@dataclass
class Sensor:
    """A running source and what it said."""

    source: DagsterSource
    emit: Ledger
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def subjects(self) -> list[str]:
        """What was emitted, in order: runs by their ids."""
        return [one.subject for one in self.emit.sensed]

    async def look(self) -> list[str]:
        """Look once more; all that was emitted by then."""
        with anyio.fail_after(LONG):
            await self.source.look_now()
        return self.subjects


@asynccontextmanager
async def sensing(
    server: Dagster | str, emit: Ledger | None = None, *, wait: bool = True, page: int = 500, **keys: Any
) -> AsyncIterator[Sensor]:
    """Run a source until the block ends. It looks when it is asked to; `wait`: until it has looked for the first time.

    The requests that it makes are kept in `asked`.
    """
    emit = Ledger() if emit is None else emit
    url = server if isinstance(server, str) else server.url
    config = DagsterConfig.model_validate({"url": url, "every": "1h", **keys})
    # The database is asked for the cursor where a dry run is wanted, and only there.
    opening = open_dagster("after", config, database=cast("Any", None), clock=SYSTEM, page=page)
    async with opening as source:
        assert isinstance(source, DagsterSource)
        sensor = Sensor(source, emit)
        _listen(sensor)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.run, emit, emit.cursor)
            if wait:
                await emit.until(lambda: emit.looks or emit.failures)
            yield sensor
            tasks.cancel_scope.cancel()


def _listen(sensor: Sensor) -> None:
    graph = sensor.source._graph
    really = graph.ask

    async def ask(query: str, variables: dict[str, Any]) -> Any:
        sensor.asked.append(variables)
        return await really(query, variables)

    graph.ask = ask  # type: ignore[method-assign,assignment]


async def aside(server: Dagster, what: str, **asked: Any) -> Any:
    """`Dagster.do` while others go on."""
    return await run_sync(lambda: server.do(what, **asked))
