"""What the tests of events from programs share: a daemon's end of the wire, and programs that submit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TIMEOUT = 20


class Daemon:
    """A daemon's end of the wire: real HTTP on loopback that keeps what it accepts and can be told to refuse.

    As the daemon does, it takes events one by one or in batches, all or none, and the same source and id once.
    """

    def __init__(self, port: int = 0) -> None:
        self.events: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self._known: set[tuple[str, str]] = set()
        self.status = 202
        self.arrived = threading.Condition()
        daemon = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with daemon.arrived:
                    daemon.tokens.add(self.headers["Authorization"])
                    status = daemon.take(body, self.headers["Content-Type"]) if daemon.status == 202 else daemon.status
                    daemon.arrived.notify_all()
                self.send_response(status)
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

    def take(self, body: bytes, kind: str) -> int:
        """The status with which the daemon would answer."""
        try:
            found = json.loads(body, parse_constant=_refuse)
        except ValueError:
            return 400
        if isinstance(found, list) != (kind == "application/cloudevents-batch+json"):
            return 400
        events = found if isinstance(found, list) else [found]
        if len(events) > 1000 or len(body) > 1024 * 1024:
            return 413
        if not all(_is_event(event) for event in events):
            return 400
        for event in events:
            if (event["source"], event["id"]) not in self._known:
                self._known.add((event["source"], event["id"]))
                self.events.append(event)
        return 202

    def until(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.events) >= count, TIMEOUT), len(self.events)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[str]:
        return [event["message"] for event in self.events]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _is_event(event: Any) -> bool:
    return (
        isinstance(event, dict)
        and event.get("specversion") == "1.0"
        and all(isinstance(event.get(name), str) and event[name] for name in ("id", "source", "type", "topic"))
        and " " not in event["topic"]
        and "\0" not in event["message"]
    )


@contextmanager
def listening(port: int = 0) -> Iterator[Daemon]:
    server = Daemon(port)
    try:
        yield server
    finally:
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
