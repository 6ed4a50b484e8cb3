"""What is said between the daemon and the supervisor: lines of JSON, the greeting, and who waits for which news."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anyio
import orjson
from anyio.abc import SocketStream

State = dict[str, Any]


class Followed:
    """One attempt that somebody waits for. `changed` is set whenever there is something new to look at."""

    __slots__ = ("changed", "delayed", "request", "sent_at", "state")

    def __init__(self, request: bytes | None, state: State | None = None) -> None:
        self.request = request
        self.sent_at: int | None = None
        self.state = state
        self.delayed = ""
        self.changed = asyncio.Event()  # Not anyio's, of which each asks first which loop this is: two for each run.

    def tell(self, state: State) -> None:
        """Wake whoever waits."""
        self.state = state
        self.changed.set()


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def as_line(message: State) -> bytes:
    """A message as it is sent."""
    try:
        return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # A file name that is not UTF-8 is text with lone surrogates, which only this writes (as \udcXX).
        return _ENCODER.encode(message).encode() + b"\n"


def from_line(line: bytes) -> State:
    """A message as it came."""
    try:
        message: State = orjson.loads(line)
    except orjson.JSONDecodeError:  # As above, in an answer.
        message = json.loads(line)
    return message


async def greet(stream: SocketStream, greeting: State) -> tuple[State | None, bytes]:
    """The answer to a greeting; None when the other side went away instead."""
    try:
        await stream.send(as_line(greeting))
        data = b""
        while b"\n" not in data:
            data += await stream.receive(1 << 18)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return None, b""
    head, _, rest = data.partition(b"\n")
    return from_line(head), rest
