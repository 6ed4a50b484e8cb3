"""New events as server-sent events, in order, resumed where the reader left off."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import anyio
import orjson
from aiohttp import web
from sqlalchemy import Connection, func, select

from notifiers.bus.embedded import from_row
from notifiers.tables import events
from rules.event import Event
from rules.topics import check_pattern, matches
from sensord.app import App
from sensord.web.endpoint import one, only
from sensord.web.problems import Problem, shown

MAX_STREAMS = 200
_BATCH = 500
_LOOK_SECONDS = 0.1
_HEARTBEAT_SECONDS = 15.0
_PATIENCE = 30.0


class Stream:
    """`GET /api/stream`. The place of an event in the log is its SSE id, so a reader that comes back misses none.

    The log has one writer, so places become visible in their order, and nothing is passed over.
    """

    def __init__(self, app: App, closing: anyio.Event) -> None:
        self._app = app
        self._closing = closing
        self._open = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Events after `Last-Event-ID` (or `after`), else those from now on; `topic` is a pattern."""
        only(request, "topic", "after")
        pattern, after = one(request, "topic"), request.headers.get("Last-Event-ID") or one(request, "after")
        try:
            check_pattern(pattern if pattern is not None else ">")
        except ValueError as error:
            raise Problem(400, str(error)) from None
        if after is not None and not re.fullmatch("[0-9]{1,18}", after):
            raise Problem(400, f"{shown(after)} is no place in the stream; give the id of the last event that came")
        if self._open >= MAX_STREAMS:
            raise Problem(503, f"{MAX_STREAMS} streams are open already; close one", headers={"Retry-After": "10"})
        end = await self._app.database.read(newest)
        start = end if after is None else min(int(after), end)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        self._open += 1
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                await self._send(response, start, pattern)
        finally:
            self._open -= 1
        return response

    async def _send(self, response: web.StreamResponse, cursor: int, pattern: str | None) -> None:
        # An id without data is no event, but where the reader goes on from if the connection breaks here.
        await _write(response, b"retry: 1000\nid: %d\n\n" % cursor)
        told = self._app.clock.monotonic()
        commits = -1
        while not self._closing.is_set():
            if commits != self._app.database.commits:  # Nothing was committed since: nothing can be new.
                commits = self._app.database.commits
                found = await self._app.database.read(lambda conn, since=cursor: _after(conn, since))  # type: ignore[misc]
                if found:
                    cursor = found[-1][0]
                    if lines := b"".join(_line(seq, event) for seq, event in found if _wanted(event, pattern)):
                        await _write(response, lines)
                        told = self._app.clock.monotonic()
                    commits = -1
                    continue
            if self._app.clock.monotonic() - told >= _HEARTBEAT_SECONDS:
                await _write(response, b": still here\nid: %d\n\n" % cursor)
                told = self._app.clock.monotonic()
            await self._app.clock.sleep(_LOOK_SECONDS)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """A reader that takes nothing for long is let go: it comes back and goes on where it was."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await response.write(data)
    except TimeoutError:
        raise ConnectionResetError("the reader of the stream is stuck") from None


def _wanted(event: Event, pattern: str | None) -> bool:
    return pattern is None or any(matches(pattern, topic) for topic in event.topics)


def _line(seq: int, event: Event) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (seq, orjson.dumps(event.to_json(), default=str))


def newest(conn: Connection) -> int:
    """The place of the newest event."""
    return conn.scalar(select(func.max(events.c.seq))) or 0


def _after(conn: Connection, cursor: int) -> Sequence[tuple[int, Event]]:
    query = select(events).where(events.c.seq > cursor).order_by(events.c.seq).limit(_BATCH)
    return [(row["seq"], from_row(dict(row))) for row in conn.execute(query).mappings()]
