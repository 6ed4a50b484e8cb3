"""A real Dagster web server whose jobs wait until they are told, and something before it that may misbehave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.dagster.environment import dagster_python
from tests.doubles.rest import RestDouble
from tests.sources.dagster_kit import _free_port

PROGRAM = Path(__file__).with_name("dagster_program.py")
INSTANCE = """telemetry: {enabled: false}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
"""


@dataclass
class Front(RestDouble):
    """Hands everything on to a web server, unless there is a fault."""

    real: str = ""

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/graphql", self._hand_on)]

    async def _hand_on(self, request: web.Request) -> web.Response:
        headers = {"Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.real}/graphql", data=await request.read(), headers=headers) as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")


class Waiting:
    """The outside of `tests.launchers.conformance_kit`: runs of the job `houses`, which wait for a file."""

    def __init__(self, home: Path, front: Front, timeout: str) -> None:
        self.folder = home
        self.double = front
        self.faults = front.faults
        config = f'{{ops: {{read: {{config: {{folder: "{home}", path: "{{{{ run.config.path }}}}"}}}}}}}}'
        target = f'url: "{front.url}", job: houses, every: 200ms, within: 5s, run_config: {config}'
        self.config = f"{{timeout: {timeout}, dagster: {{{target}}}}}"

    def starts(self, token: str) -> int:
        started = self.folder / "started"
        return started.read_text().split().count(token) if started.exists() else 0

    def finish(self, token: str, how: str) -> None:
        spare = self.folder / f"{token}.new"
        spare.write_text(how)
        spare.rename(self.folder / token)

    def runs(self, token: str) -> bool:
        if not self.starts(token):
            return False
        words = (self.folder / "started").read_text().split()
        run = words[words.index(token) + 1].encode()
        return any(run in line for line in _command_lines())

    def down(self) -> None:
        self.double.down()

    def up(self) -> None:
        self.double.up()


def _command_lines() -> Iterator[bytes]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                yield (entry / "cmdline").read_bytes()
            except OSError:
                continue


@contextmanager
def web_server() -> Iterator[tuple[str, Path]]:
    """A web server with an instance of its own, until the block ends: its address and its folder."""
    home = Path(tempfile.mkdtemp(prefix="dagster-"))
    (home / "dagster.yaml").write_text(INSTANCE)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    program = str(dagster_python().parent / "dagster-webserver")
    argv = [program, "-h", "127.0.0.1", "-p", str(port), "-f", str(PROGRAM)]
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        # Else Dagster gives its own code server a minute to start a run, and on a busy machine calls it failed.
        "DAGSTER_GRPC_TIMEOUT_SECONDS": "900",
    }
    with (home / "webserver.log").open("ab") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log, env=environment, cwd=home, start_new_session=True)
    try:
        _await(url, server, home)
        yield url, home
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        shutil.rmtree(home, ignore_errors=True)


def _await(url: str, server: subprocess.Popen[bytes], home: Path) -> None:
    ends = time.monotonic() + 300
    while True:
        assert server.poll() is None, (home / "webserver.log").read_text()
        assert time.monotonic() < ends, "the web server does not answer"
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=5):
                return
        except OSError:
            try:
                server.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
