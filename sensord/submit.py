"""Events from any program: `submit_event` writes to a spool and returns; a thread sends what is spooled.

Standard library only. The spool is a folder of one file a process, each held by a lock while its process lives;
what a dead process left is sent by the next program that submits. The daemon drops what it has already (by id).
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Self

log = logging.getLogger("sensord.submit")

DEFAULT_URL = "http://127.0.0.1:8300"
SPOOL_BYTES = 16 * 1024 * 1024
_TIMEOUT = 5.0
_PATIENCE = 1.0  # At exit, for an answer that is on its way. What is not sent by then stays in the spool.


def submit_event(
    topic: str, message: str = "", *, severity: str = "info", data: Any = None, event_type: str = "message"
) -> None:
    """Publish an event on a topic of sensord's bus, from any program.

    Never raises and never waits for the network: the event is in the spool on return and is sent in the
    background to `$SENSORD_URL` (default http://127.0.0.1:8300) with `$SENSORD_TOKEN`, in order, once. While
    the daemon is away it stays in the spool (`$SENSORD_SPOOL`, default `~/.local/state/sensord/spool`), at most
    16 MiB a process; beyond that new events are dropped and logged. `data` is JSON; anything else becomes text.
    """
    try:
        _sender().submit(topic, message, severity, data, event_type)
    except Exception:  # The caller's job matters more than what is told of it.
        log.warning("sensord: the event on %s could not be kept and is dropped", topic, exc_info=True)


class Spool:
    """One process's file of events, appended by the program and read by its sending thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{time.time_ns():020}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self.path = folder / name
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._lock = threading.Lock()
        self._written = 0
        self._sent = 0

    def append(self, line: bytes) -> bool:
        """Keep a line; False where the spool is full."""
        with self._lock:
            if self._written - self._sent + len(line) > SPOOL_BYTES:
                return False
            self._written += os.write(self._file, line)
            return True

    def unsent(self) -> bytes | None:
        """The first line that is not sent yet."""
        with self._lock:
            if self._sent >= self._written:
                return None
            return _line_at(self._file, self._sent)

    def sent(self, line: bytes) -> None:
        """Go past a line; when all are sent the file is emptied."""
        with self._lock:
            self._sent += len(line)
            if self._sent >= self._written:
                os.ftruncate(self._file, 0)
                self._sent = self._written = 0

    def close(self) -> None:
        """Leave the spool: the file goes if nothing in it is unsent, else the rest waits in it."""
        with self._lock:
            if self._sent >= self._written:
                self.path.unlink(missing_ok=True)
            elif self._sent:
                rest = os.pread(self._file, self._written - self._sent, self._sent)
                spare = self.path.with_suffix(".new")
                spare.write_bytes(rest)
                spare.rename(self.path)
            os.close(self._file)


def _line_at(descriptor: int, offset: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.pread(descriptor, 65536, offset + len(line))
        if not chunk:
            return line  # A line that a dying process did not finish.
        head, newline, _ = chunk.partition(b"\n")
        line += head + newline
    return line


class Sender:
    """Takes events of this process, and sends what is spooled from a thread of its own."""

    def __init__(self) -> None:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        self.folder = Path(os.environ.get("SENSORD_SPOOL") or state / "sensord" / "spool")
        self.url = os.environ.get("SENSORD_URL") or DEFAULT_URL
        self.token = os.environ.get("SENSORD_TOKEN")
        self.source = f"submit_event/{os.uname().nodename}/{os.getpid()}"
        self.spool = Spool(self.folder)
        # Here and not in the thread: a program that forks while its thread imports would wait in the child for ever.
        import_module("http.client")
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="sensord-submit", daemon=True)
        self._thread.start()

    def submit(self, topic: str, message: str, severity: str, data: Any, event_type: str) -> None:
        """Spool one event."""
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": self.source,
            "type": event_type,
            "time": datetime.now(UTC).isoformat(),
            "topic": topic,
            "severity": severity,
            "message": str(message),
            "data": {} if data is None else data,
        }
        line = json.dumps(event, default=str).encode() + b"\n"
        if not self.spool.append(line):
            self._dropped += 1
            if self._dropped == 1:
                log.warning("sensord: the spool %s is full; new events are dropped", self.spool.path)
        self._wake.set()

    def close(self) -> None:
        """Give what is under way a moment, then leave the rest in the spool."""
        self._stop.set()
        self._wake.set()
        self._thread.join(_PATIENCE)
        if not self._thread.is_alive():
            self.spool.close()

    def _run(self) -> None:
        pause = 0.5
        while True:
            try:
                self._send_all()
            except OSError as error:
                log.debug("sensord is away: %s", error)
                if self._stop.wait(pause):
                    return
                pause = min(pause * 2, 30.0)
                continue
            pause = 0.5
            if self._stop.is_set():
                return
            self._wake.wait()
            self._wake.clear()

    def _send_all(self) -> None:
        with _Connection(self.url, self.token) as connection:
            for path in _left_behind(self.folder):
                connection.send_file(path)
            while (line := self.spool.unsent()) is not None:
                connection.send(line)
                self.spool.sent(line)


def _left_behind(folder: Path) -> Iterator[Path]:
    """Files whose process is gone, oldest first, each held by our lock while it is being sent."""
    for path in sorted(folder.glob("*.jsonl")):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield path


class _Connection:
    """Keep-alive HTTP to the daemon. OSError where it cannot take events for now."""

    def __init__(self, url: str, token: str | None) -> None:
        from http.client import HTTPConnection, HTTPException, HTTPSConnection
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._broken = HTTPException
        self._http = kind(parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT)
        self._path = f"{parts.path.rstrip('/')}/api/events"
        self._headers = {"Content-Type": "application/cloudevents+json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, line: bytes) -> None:
        """Deliver one event. One that the daemon refuses as it is would be refused for ever: logged, let go."""
        try:
            self._http.request("POST", self._path, body=line.rstrip(b"\n"), headers=self._headers)
            answer = self._http.getresponse()
            text = answer.read(2000).decode(errors="replace")
        except self._broken as error:
            raise OSError(f"no proper answer: {error!r}") from error
        if answer.status in {400, 403, 413, 415, 422}:
            log.warning("sensord refused an event and it is dropped: %s", text)
        elif answer.status not in {200, 202}:
            raise OSError(f"the daemon answered {answer.status}: {text}")

    def send_file(self, path: Path) -> None:
        """Deliver what a dead process left, then remove the file."""
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    self.send(line)
        path.unlink(missing_ok=True)


_current: Sender | None = None
_current_lock = threading.Lock()


def _sender() -> Sender:
    global _current  # noqa: PLW0603 - one spool and one thread a process, made when first needed
    with _current_lock:
        if _current is None:
            _current = Sender()
            atexit.register(_current.close)
        return _current


def _after_fork() -> None:
    """A forked child has no sending thread and must not share its parent's file."""
    global _current, _current_lock
    _current, _current_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
