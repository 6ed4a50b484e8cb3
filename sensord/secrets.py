"""Keeps secrets out of everything that is written, and writes the log: one event to a line, as text or JSON.

One process-wide redactor knows the secrets; log lines of ours and of any library pass through it.
"""

from __future__ import annotations

import io
import json
import logging
import math
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO
from urllib.parse import quote, quote_plus, unquote

Level = Literal["debug", "info", "warning", "error", "critical"]
Format = Literal["text", "json"]

MASK = "***"
SHORTEST = 6
"""Shorter values are not looked for inside text: they would blank out half of it and hide nothing."""

# Cc, the line and paragraph separators, what turns writing round or is invisible, and halves of characters.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    r"""Text without control characters: each is written as `\n`, `\x1b` or `\u202e`; the rest stays."""
    return _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    return _NAMED.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


class Redactor:
    """Replaces the secrets it was told by `***`, in the forms that URLs, JSON and reprs give them."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"

    def register(self, secrets: Iterable[str]) -> None:
        """Know these values from now on. Of a value of several lines, each long line is a secret by itself."""
        new = {secret for value in secrets for secret in (value, value.strip(), *_long_lines(value))}
        new = {secret for secret in new if len(secret) >= SHORTEST} - self._secrets
        if new:
            self._secrets |= new
            forms = {form for secret in self._secrets for form in _forms(secret)}
            # The longest first, so that a secret that contains another one goes as a whole.
            self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))

    def redact(self, text: str) -> str:
        """The text with every known secret replaced."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)


def _long_lines(value: str) -> Iterator[str]:
    lines = value.splitlines()
    return (line.strip() for line in lines if len(lines) > 1 and len(line.strip()) >= 2 * SHORTEST)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    decoded = unquote(secret)
    if len(decoded) >= SHORTEST:
        yield decoded
    for quoted in (quote(secret, safe=""), quote(secret), quote(secret, safe=":@!$&'()*+,;=~"), quote_plus(secret)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    for escaped in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield escaped
        yield escaped.replace("/", "\\/")
    yield repr(secret)[1:-1]
    yield repr(secret.encode())[2:-1]
    yield one_line(secret)


REDACTOR = Redactor()
"""The one of this process; `sensord.config.load` tells it what it read."""


def redact(text: str) -> str:
    """The text with every secret of this process replaced by `***`."""
    return REDACTOR.redact(text)


def redacted(value: Any, depth: int = 8) -> Any:
    """A value of the same shape whose every text is redacted; what JSON does not know becomes its redacted repr."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return redact(str(value))
    if isinstance(value, int | float):
        text = str(value)
        return value if math.isfinite(value) and redact(text) == text else redact(text)
    if depth and isinstance(value, Mapping):
        return {redact(str(key)): redacted(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [redacted(item, depth - 1) for item in value]
    return redact(repr(value))


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog's processor: the event with every value redacted, formatted tracebacks included."""
    return {key: value if key.startswith("_") else redacted(value) for key, value in event.items()}


class RedactingFilter(logging.Filter):
    """For a handler of any library's: redacts a record's message, arguments, exception and stack, in place."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without its secrets."""
        if isinstance(record.msg, Mapping):  # structlog's own, on its way to its formatter
            record.msg = redacted(record.msg)
        else:
            record.msg = redact(_message(record))
        record.args = ()
        if record.exc_info:
            record.exc_text = record.exc_text or _traceback(record.exc_info)
            record.exc_info = None
        record.exc_text = redact(record.exc_text) if record.exc_text else None
        record.stack_info = redact(record.stack_info) if record.stack_info else None
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 (a line that cannot be put together must not end what it tells of)
        return f"{record.msg} (its arguments do not fit: {type(error).__name__})"


def _traceback(exc_info: Any) -> str:
    if exc_info is True:
        exc_info = sys.exc_info()
    elif isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    return "".join(traceback.format_exception(*exc_info)).rstrip("\n")


class _Lines(logging.StreamHandler[TextIO]):
    """One line per record; trouble with writing is said in one line too, never with the record's arguments."""

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            whole = logging.makeLogRecord({**record.__dict__, "msg": _message(record), "args": ()})
            return super().format(whole)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        error = sys.exc_info()[0]
        name = error.__name__ if error else "unknown"
        if sys.stderr is not None and sys.stderr is not self.stream:
            sys.stderr.write(f"a log line of {one_line(record.name)} could not be written: {name}\n")


def text_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """Structlog's last processor for people: time, level, what happened, then key=value."""
    time, level = event.pop("timestamp", ""), event.pop("level", "")
    head = f"{time} {level:<8} {event.pop('event', '')}"
    error = event.pop("exception", None)
    pairs = [f"{key}={_shown(value)}" for key, value in event.items()]
    return one_line(" ".join([head, *pairs, *([f"exception={error}"] if error else [])]))


def _shown(value: Any) -> str:
    if isinstance(value, str) and value and not any(char in value for char in " =\"'"):
        return value
    return json.dumps(value, ensure_ascii=False, default=repr)


def json_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """Structlog's last processor for machines: one JSON object in ASCII, so that no character can break the line."""
    return json.dumps(event, default=repr).replace("\x7f", "\\u007f")


def setup_logging(level: Level = "info", format: Format = "text", stream: TextIO | None = None) -> None:  # noqa: A002
    """Send every log line of the process to `stream` (default: standard error), redacted, one event per line.

    Replaces the root logger's handlers and configures structlog, and takes over what Python prints of an
    exception that nobody caught. May be called again.
    """
    import structlog

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_event,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    target = stream or sys.stderr
    if isinstance(target, io.TextIOWrapper):
        target.reconfigure(errors="backslashreplace")
    handler = _Lines(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact_event,
                json_line if format == "json" else text_line,
            ],
        )
    )
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
