"""What is said between the daemon and the supervisor: lines of JSON, the greeting, and who waits for which news."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anyio
import orjson
from anyio.abc import SocketAttribute, SocketStream

State = dict[str, Any]


class Followed:
    """One attempt that somebody waits for: `over` is set when it ended, or was `delayed` for that reason.

    `started` is called once, with microseconds since 1970, as soon as its process is known to exist: on the way, as
    waking somebody for it would cost more than all that there is to do.
    """

    __slots__ = ("_started", "delayed", "over", "request", "sent_at", "state")

    def __init__(self, request: bytes | None, started: Callable[[int], None]) -> None:
        self.request = request
        self.sent_at: int | None = None
        self.state: State | None = None
        self.delayed = ""
        self.over = asyncio.Event()  # Not anyio's, which asks first which loop this is.
        self._started: Callable[[int], None] | None = started

    def tell(self, state: State) -> None:
        """Take what is known of it now."""
        self.state = state
        if state["started"] is not None and self._started is not None:
            started, self._started = self._started, None
            started(state["started"])
        if state["ended"] is not None:
            self.over.set()

    def delay(self, reason: str) -> None:
        """It was not started, and may be asked for again."""
        self.delayed = reason
        self.over.set()


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


async def listen(stream: SocketStream, take: Callable[[bytes], None]) -> None:
    """Hand over what comes until nothing more will. By callback: a task would be woken for each line."""
    loop, link = asyncio.get_running_loop(), stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - anyio's
    gone: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        if gone.done():
            return
        try:
            data = link.recv(1 << 18)
            if data:
                take(data)
            else:
                gone.set_result(None)
        except BlockingIOError:
            return
        except ConnectionError:
            gone.set_result(None)
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits
            gone.set_exception(error)

    loop.add_reader(link, readable)
    try:
        await gone
    finally:
        loop.remove_reader(link)
