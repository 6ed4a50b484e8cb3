"""Writes the log: one event to a line, as text or JSON, without secrets.

What happened is a record's message, and what is known of it is its `extra`, as Python's own logging has it: so lines
of ours and of any library come out alike, and nothing more is loaded for it.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

from sensord.secrets import one_line, redacted

Level = Literal["debug", "info", "warning", "error", "critical"]
Format = Literal["text", "json"]

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Lines(logging.Formatter):
    """A record as one line: time, level, what happened, then what is known of it; every value redacted."""

    def __init__(self, form: Format) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        event = redacted(_event(record))
        # ASCII, so that no character can break the line for whoever reads it.
        return json.dumps(event).replace("\x7f", "\\u007f") if self._form == "json" else _text(event)


def _event(record: logging.LogRecord) -> dict[str, Any]:
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    event = {"timestamp": time, "level": record.levelname.lower(), "event": _message(record), "logger": record.name}
    event.update((key, value) for key, value in record.__dict__.items() if key not in _PLAIN)
    if record.stack_info:
        event["stack"] = record.stack_info
    if record.exc_info and record.exc_info[0] is not None:
        event["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    return event


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 (a line that cannot be put together must not end what it tells of)
        return f"{record.msg} (its arguments do not fit: {type(error).__name__})"


def _text(event: dict[str, Any]) -> str:
    head = f"{event.pop('timestamp')} {event.pop('level'):<8} {event.pop('event')}"
    return one_line(" ".join([head, *(f"{key}={_shown(value)}" for key, value in event.items())]))


def _shown(value: Any) -> str:
    if isinstance(value, str) and value and not any(char in value for char in " =\"'"):
        return value
    return json.dumps(value, ensure_ascii=False)


class _Handler(logging.StreamHandler[TextIO]):
    """Trouble with writing is said in one line, never with the record's arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        error = sys.exc_info()[0]
        name = error.__name__ if error else "unknown"
        if sys.stderr is not None and sys.stderr is not self.stream:
            sys.stderr.write(f"a log line of {one_line(record.name)} could not be written: {name}\n")


def setup_logging(level: Level = "info", format: Format = "text", stream: TextIO | None = None) -> None:  # noqa: A002
    """Send every log line of the process to `stream` (default: standard error), redacted, one event per line.

    Replaces the root logger's handlers, and takes over what Python prints of an exception that nobody caught. May be
    called again.
    """
    target = stream or sys.stderr
    if isinstance(target, io.TextIOWrapper):
        target.reconfigure(errors="backslashreplace")
    handler = _Handler(target)
    handler.setFormatter(Lines(format))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger("sensord").critical("ended by an error that nobody caught", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
