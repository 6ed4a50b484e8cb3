"""Events from any program: `submit_event` writes to a spool and returns; a thread sends what is spooled.

Standard library only. The daemon drops what it has already, by source and id, so that what is sent again, by this
process or by the next one, is one event.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import math
import os
import sys
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from sensord.spool import left_behind, lines_at, open_spool, tag_of

log = logging.getLogger("sensord.submit")

DEFAULT_URL = "http://127.0.0.1:8300"
MESSAGE_CHARACTERS = 100_000
_TIMEOUT = 5.0
_PATIENCE = 1.0  # At exit, for an answer that is on its way. What is not sent by then stays in the spool.
_ENCODER = json.JSONEncoder(default=str, allow_nan=False, ensure_ascii=False)
_REFUSED = frozenset({400, 403, 413, 415, 422})


def submit_event(
    topic: str,
    message: str = "",
    *,
    severity: str = "info",
    data: Any = None,
    event_type: str = "message",
    event_id: str | None = None,
    source: str | None = None,
    url: str | None = None,
    token: str | None = None,
) -> None:
    """Publish an event on a topic of sensord's bus, from any program.

    Never raises and never waits for the network: the event is in the spool on return and is sent in the
    background to `url` (else `$SENSORD_URL`, else http://127.0.0.1:8300) with `token` (else `$SENSORD_TOKEN`), in
    order, once. While the daemon is away it stays in the spool (`$SENSORD_SPOOL`, default
    `~/.local/state/sensord/spool`), at most 16 MiB a process; beyond that new events are dropped and logged. What
    a process leaves there is sent by the next one that submits to the same address, or by a daemon of the same user.
    `data` is JSON; anything else becomes text. Events of the same `source` and `event_id` are one event, whoever
    submits them.
    """
    try:
        _sender(url, token).submit(topic, message, severity, data, event_type, event_id, source)
    except Exception:  # The caller's job matters more than what is told of it.
        log.warning("sensord: the event on %s could not be kept and is dropped", topic, exc_info=True)


def flush(seconds: float = 1.0) -> bool:
    """Wait until what this process submitted is sent, so long at most; True where it is.

    For programs that end without Python's own exit (`os._exit`). Returns at once where the daemon is known to be away.
    """
    return not [sender for sender in list(_senders.values()) if not sender.flush(seconds)]


class Sender:
    """Takes events of this process for one address, and sends what is spooled from a thread of its own."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url, self.token = url, token
        self.source = f"submit_event/{os.uname().nodename}/{os.getpid()}"
        # Here and not in the thread: a program that forks while its thread imports would wait in the child for ever, or
        # have a half of the module there. The encoding is that of a host's name when it is looked up.
        for name in ("http.client", "encodings.idna"):
            import_module(name)
        self.spool = open_spool(tag_of(url))
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._answered = threading.Condition()
        self._asked = self._settled = 0  # How many events there were, now and when the spool was last empty.
        self._away = False
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def submit(
        self,
        topic: str,
        message: str,
        severity: str,
        data: Any,
        event_type: str,
        event_id: str | None,
        source: str | None,
    ) -> None:
        """Spool one event."""
        event = {
            "specversion": "1.0",
            "id": event_id or str(uuid.uuid4()),
            "source": source or self.source,
            "type": event_type,
            "time": datetime.now(UTC).isoformat(),
            "topic": topic,
            "severity": severity,
            "message": str(message)[:MESSAGE_CHARACTERS],
            "data": {} if data is None else data,
        }
        if self.spool.append(_line(event)):
            with self._answered:
                self._asked += 1
        else:
            self._dropped += 1
            if self._dropped == 1:
                log.warning("sensord: the spool %s is full; new events are dropped", self.spool.path)
        if not self._wake.is_set():
            self._wake.set()
        if self._thread is None:
            self._start()

    def flush(self, seconds: float) -> bool:
        """See `flush`."""
        asked = self._asked
        with self._answered:
            self._answered.wait_for(lambda: self._away or self._settled >= asked or self._thread is None, seconds)
            return self._settled >= asked

    def close(self) -> None:
        """Give what is under way a moment, then leave the rest in the spool."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        if self._thread is None or not self._thread.is_alive():
            self.spool.close()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="sensord-submit", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # No more threads, or the interpreter is ending: the spool has the event.
            log.debug("sensord: nothing can be sent now: %s", error)
        else:
            self._thread = thread

    def _run(self) -> None:
        pause = 0.5
        while True:
            asked = self._asked
            try:
                self._send_all()
            except (OSError, ValueError) as error:
                self._tell(error)
                self._say(away=True)
                if self._stop.is_set():
                    return
                self._stop.wait(pause)  # Whoever ends meanwhile tries once more.
                pause = min(pause * 2, 30.0)
                continue
            self._say(away=False, settled=asked)
            pause = 0.5
            if self._stop.is_set():
                return
            self._wake.wait()
            self._wake.clear()

    def _tell(self, error: Exception) -> None:
        if isinstance(error, OSError):
            log.debug("sensord is away: %s", error)
        elif not self._away:  # Without its words: they may hold the token.
            log.warning("sensord: the address or the token cannot be used (%s); events wait", type(error).__name__)

    def _say(self, *, away: bool, settled: int = 0) -> None:
        with self._answered:
            self._away = away
            self._settled = max(self._settled, settled)
            self._answered.notify_all()

    def _send_all(self) -> None:
        with Connection(self.url, self.token) as connection:
            if self.spool.folder is not None:
                for path, descriptor in left_behind(self.spool.folder, self.spool.tag):
                    connection.send_file(path, descriptor)
            while lines := self.spool.unsent():
                connection.send(lines)
                self.spool.sent(lines)


def _line(event: dict[str, Any]) -> bytes:
    """The event as a line of JSON that the daemon takes, whatever is in it."""
    try:
        text = _ENCODER.encode(event)
        if "\\u0000" in text:
            text = json.dumps(_clean(event), ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):  # A NaN, keys that are no text, a circle.
        text = json.dumps(_clean(event), ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\n"


def _clean(value: Any, depth: int = 20) -> Any:
    if isinstance(value, Mapping) and depth:
        return {str(key).replace("\0", ""): _clean(one, depth - 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_clean(one, depth - 1) for one in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value).replace("\0", "") if depth else "…"


class Connection:
    """Keep-alive HTTP to the daemon. OSError where it cannot take events for now."""

    def __init__(self, url: str, token: str | None) -> None:
        from http.client import HTTPConnection, HTTPException, HTTPSConnection
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._broken = HTTPException
        self._http = kind(parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT)
        self._path = f"{parts.path.rstrip('/')}/api/events"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, lines: list[bytes]) -> None:
        """Deliver events. One that the daemon refuses as it is would be refused for ever: logged, let go."""
        if len(lines) > 1:
            batch = b"[" + b",".join(line.rstrip(b"\n") for line in lines) + b"]"
            if self._post(batch, "application/cloudevents-batch+json") is None:
                return
        for line in lines:
            refusal = self._post(line.rstrip(b"\n"), "application/cloudevents+json")
            if refusal is not None:
                log.warning("sensord refused an event and it is dropped: %s", refusal)

    def _post(self, body: bytes, kind: str) -> str | None:
        """None where it is taken, the daemon's reason where it is refused for good."""
        try:
            self._http.request("POST", self._path, body=body, headers={**self._headers, "Content-Type": kind})
            answer = self._http.getresponse()
            text = answer.read(2000).decode(errors="replace")
            if not answer.isclosed():  # Longer than we care for; what is unread would be taken for the next answer.
                self._http.close()
        except self._broken as error:
            raise OSError(f"no proper answer: {error!r}") from error
        if answer.status in _REFUSED:
            return text
        if answer.status not in {200, 202}:
            raise OSError(f"the daemon answered {answer.status}: {text}")
        return None

    def send_file(self, path: Path, descriptor: int) -> None:
        """Deliver what a dead process left, then remove the file."""
        place, end = 0, os.fstat(descriptor).st_size
        while lines := lines_at(partial(os.pread, descriptor), place, end):
            self.send(lines)
            place += sum(map(len, lines))
        path.unlink(missing_ok=True)
        path.with_suffix(".new").unlink(missing_ok=True)


_senders: dict[tuple[str, str | None], Sender] = {}
_lock = threading.Lock()


def _sender(url: str | None, token: str | None) -> Sender:
    address = (url or os.environ.get("SENSORD_URL") or DEFAULT_URL, token or os.environ.get("SENSORD_TOKEN"))
    sender = _senders.get(address)
    if sender is not None:
        return sender
    with _lock:
        if address not in _senders:
            _senders[address] = Sender(*address)
            # A process of multiprocessing ends without Python's exit, but runs this.
            if (ending := sys.modules.get("multiprocessing.util")) is not None:
                ending.Finalize(None, _close, exitpriority=0)
        return _senders[address]


def _close() -> None:
    """At the end of the program. Whoever submits still later gets a spool of its own."""
    with _lock:
        closing = list(_senders.values())
        _senders.clear()
    for sender in closing:
        with contextlib.suppress(OSError):
            sender.close()


def _after_fork() -> None:
    """A forked child has no sending thread and must not share its parent's file, nor hold its lock."""
    global _senders, _lock
    inherited, _senders, _lock = _senders, {}, threading.Lock()
    for sender in inherited.values():
        sender.spool.forget()


atexit.register(_close)
os.register_at_fork(after_in_child=_after_fork)
