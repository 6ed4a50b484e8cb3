from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

TIMEOUT = 20


class Daemon:
    """A daemon's end of the wire: real HTTP on loopback that keeps what it accepts and can be told to refuse."""

    def __init__(self, port: int = 0) -> None:
        self.events: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.status = 202
        self.arrived = threading.Condition()
        daemon = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with daemon.arrived:
                    daemon.tokens.add(self.headers["Authorization"])
                    if daemon.status == 202:
                        daemon.events.append(body)
                    daemon.arrived.notify_all()
                self.send_response(daemon.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def until(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.events) >= count, TIMEOUT), len(self.events)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    server = Daemon()
    yield server
    server.close()


def program(code: str, folder: Path, port: int, **env: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "SENSORD_SPOOL": str(folder), "SENSORD_URL": f"http://127.0.0.1:{port}", **env}
    return subprocess.Popen(
        [sys.executable, "-c", f"from sensord import submit_event\n{code}"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    return out, err


def free_port() -> int:
    server = Daemon()
    server.close()
    return server.port


def test_an_event_reaches_the_daemon_with_its_token(daemon: Daemon, tmp_path: Path) -> None:
    code = 'submit_event("bp.dagster.oks", "Job spatial_job completed.", severity="warning", data={"rows": 3})'
    ended(program(code, tmp_path, daemon.port, SENSORD_TOKEN="planted-token"))
    daemon.until(1)
    (event,) = daemon.events
    assert (event["topic"], event["message"]) == ("bp.dagster.oks", "Job spatial_job completed.")
    assert (event["severity"], event["data"], event["specversion"]) == ("warning", {"rows": 3}, "1.0")
    assert daemon.tokens == {"Bearer planted-token"}
    assert list(tmp_path.iterdir()) == []


def test_events_of_a_time_without_daemon_come_later_in_order_and_once(tmp_path: Path) -> None:
    port = free_port()
    code = 'for number in range(50): submit_event("a.b", str(number))'
    ended(program(code, tmp_path, port))
    assert len(list(tmp_path.iterdir())) == 1
    daemon = Daemon(port)
    try:
        process = program('submit_event("a.b", "50")\nimport sys; sys.stdin.readline()', tmp_path, port)
        daemon.until(51)
        process.communicate("go\n", timeout=TIMEOUT)
        assert [event["message"] for event in daemon.events] == [str(number) for number in range(51)]
        assert list(tmp_path.iterdir()) == []
    finally:
        daemon.close()


def test_what_a_killed_program_submitted_is_not_lost(tmp_path: Path) -> None:
    port = free_port()
    code = 'submit_event("a.b", "last words")\nprint("said", flush=True)\nimport time; time.sleep(60)'
    process = program(code, tmp_path, port)
    assert process.stdout is not None
    assert process.stdout.readline() == "said\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=TIMEOUT)
    daemon = Daemon(port)
    try:
        process = program('submit_event("a.b", "next")\nimport sys; sys.stdin.readline()', tmp_path, port)
        daemon.until(2)
        process.communicate("go\n", timeout=TIMEOUT)
        assert [event["message"] for event in daemon.events] == ["last words", "next"]
    finally:
        daemon.close()


def test_a_forked_child_sends_its_own_events(daemon: Daemon, tmp_path: Path) -> None:
    code = """
import os
submit_event("a.b", "parent")
child = os.fork()
submit_event("a.b", "child" if child == 0 else "parent again")
if child == 0:
    import sensord.submit, atexit
    sensord.submit._current.close()
    os._exit(0)
os.waitpid(child, 0)
"""
    ended(program(code, tmp_path, daemon.port))
    daemon.until(3)
    assert sorted(event["message"] for event in daemon.events) == ["child", "parent", "parent again"]


@pytest.mark.parametrize(
    "call",
    ['submit_event("not a topic")', 'submit_event("a", data=object())', 'submit_event("a", "\\udce9")'],
)
def test_the_caller_is_never_broken(daemon: Daemon, tmp_path: Path, call: str) -> None:
    daemon.status = 400
    out, _ = ended(program(f'{call}\nprint("went on")', tmp_path, daemon.port))
    assert out == "went on\n"


def test_a_spool_that_cannot_be_written_breaks_nobody(daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "not-a-folder"
    file.write_text("")
    out, err = ended(program('submit_event("a.b")\nprint("went on")', file, daemon.port))
    assert out == "went on\n"
    assert "could not be kept" in err


def test_a_spool_is_bounded(tmp_path: Path) -> None:
    code = 'for number in range(40): submit_event("a.b", "x" * 1_000_000)\nprint("went on")'
    out, err = ended(program(code, tmp_path, free_port()))
    assert out == "went on\n"
    assert "new events are dropped" in err
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 16 * 1024 * 1024


def test_ten_thousand_calls_without_a_daemon_cost_at_most_a_millisecond_each(tmp_path: Path) -> None:
    code = """
import time
costs = []
for number in range(10_000):
    start = time.perf_counter()
    submit_event("bp.dagster.oks", "done", data={"number": number})
    costs.append(time.perf_counter() - start)
print(sorted(costs)[9_900] * 1000)
"""
    out, _ = ended(program(code, tmp_path, free_port()))
    assert float(out) <= 1.0


def test_importing_it_is_light() -> None:
    code = """
import sys
from sensord import submit_event, RunRequest, SkipReason
heavy = {"aiohttp", "sqlalchemy", "sqlmodel", "pydantic", "anyio", "telegram", "slack_sdk", "asyncio", "ssl"}
print(sorted(heavy & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"
