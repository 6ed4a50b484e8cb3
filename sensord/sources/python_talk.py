"""The line from a sensor's process to the daemon: JSON over a socket that is neither standard output nor error.

← {"evaluate": {"cursor": "7", "last": 1790000000.0, "again": false}}
→ {"ready": {"interval": 30}} or {"broken": "…"}, once
→ {"request": {…}}, {"skip": "…"}, {"log": ["info", "…"]}, each as it happens
→ {"end": {"cursor": "8"}} or {"end": {"error": "…", "trace": "…"}}
"""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
from typing import Any

_LOG_LINES = 200  # Of one evaluation.
_LOG_LENGTH = 4_000
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Talk:
    """The line to the daemon. Threads of the function may log."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lines = channel.makefile("rb")
        self._lock = threading.Lock()
        self._left = _LOG_LINES

    def hear(self) -> dict[str, Any] | None:
        """The next order; None when nobody is there any more."""
        try:
            line = self._lines.readline()
        except OSError:
            return None
        self._left = _LOG_LINES
        return json.loads(line) if line.endswith(b"\n") else None

    def say(self, kind: str, what: Any) -> None:
        """Send a message at once."""
        self.send(_encode({kind: what}).encode() + b"\n")

    def send(self, line: bytes) -> None:
        """Send a whole line at once."""
        with self._lock:
            self._channel.sendall(line)

    def log(self, level: str, text: str) -> None:
        """Send a line for the log, as long as there are not too many."""
        self._left -= 1
        if self._left > 0:
            self.say("log", [level, text[:_LOG_LENGTH]])
        elif self._left == 0:
            self.say("log", ["warning", f"more than {_LOG_LINES} lines in one evaluation; the others are left out"])


class Forward(logging.Handler):
    """Sends log records over the line."""

    def __init__(self, talk: Talk) -> None:
        super().__init__()
        self._talk = talk

    def emit(self, record: logging.LogRecord) -> None:
        """Send it."""
        try:
            level = "debug" if record.levelno < logging.INFO else record.levelname.lower()
            self._talk.log(level, self.format(record))
        except Exception:  # noqa: BLE001 - as of any handler: logging says what went wrong, and the sensor goes on
            self.handleError(record)


class Printed(io.TextIOBase):
    """What is printed: each line becomes a log line."""

    def __init__(self, talk: Talk, level: str) -> None:
        self._talk = talk
        self._level = level
        self._rest = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Take text, and send the lines that are whole."""
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > _LOG_LENGTH:
            lines, self._rest = [*lines, self._rest], ""
        for line in lines:
            self._talk.log(self._level, line)
        return len(text)
