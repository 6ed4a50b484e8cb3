"""New events as server-sent events, in order, resumed where the reader left off."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import anyio
import orjson
from aiohttp import web
from sqlalchemy import Connection, bindparam, func, select

from notifiers.bus.embedded import from_row
from notifiers.since import Since, begin_of, parse_since
from notifiers.tables import events
from rules.event import Event
from rules.topics import check_pattern, matches
from sensord.app import App
from sensord.tokens import Access
from sensord.web.access import access_of
from sensord.web.endpoint import one, only
from sensord.web.events import readable
from sensord.web.problems import Problem, shown

MAX_STREAMS = 200
_BATCH = 500
_HEADS = (
    select(events.c.seq, events.c.topic, events.c.also, events.c.time)
    .where(events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(2 * _BATCH)
)
_WHOLE = select(events).where(events.c.seq.in_(bindparam("places", expanding=True))).order_by(events.c.seq)
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
        """Events after `Last-Event-ID` (or `after`), else `since` then, else from now on; `topic` is a pattern."""
        only(request, "topic", "after", "since")
        pattern, since = one(request, "topic") or ">", one(request, "since")
        after = request.headers.get("Last-Event-ID") or one(request, "after")
        try:
            check_pattern(pattern)
            parsed = None if since is None else parse_since(since, self._app.clock.now())
        except ValueError as error:
            raise Problem(400, str(error)) from None
        if after is not None and not re.fullmatch("[0-9]{1,18}", after):
            raise Problem(400, f"{shown(after)} is no place in the stream; give the id of the last event that came")
        if self._open >= MAX_STREAMS:
            raise Problem(503, f"{MAX_STREAMS} streams are open already; close one", headers={"Retry-After": "10"})
        wanted = _Wanted(pattern, access_of(request))
        start = await self._start(wanted, after, parsed)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        self._open += 1
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                await self._send(response, start, wanted)
        finally:
            self._open -= 1
        return response

    async def _start(self, wanted: _Wanted, after: str | None, since: Since | None) -> int:
        """The place after which the stream begins."""

        def read(conn: Connection) -> int:
            end = newest(conn)
            if after is not None:
                return min(int(after), end)
            if since is None:
                return end
            begin = begin_of(conn, readable(conn, since, wanted.access))
            wanted.old, wanted.least = end, begin.at
            return min(begin.after, end)

        try:
            return await self._app.database.read(read)
        except ValueError as error:
            raise Problem(400, str(error)) from None

    async def _send(self, response: web.StreamResponse, cursor: int, wanted: _Wanted) -> None:
        # An id without data is no event, but where the reader goes on from if the connection breaks here.
        await _write(response, b"retry: 1000\nid: %d\n\n" % cursor)
        told = self._app.clock.monotonic()
        commits = -1
        while not self._closing.is_set() and self._app.tokens.hold(wanted.access):
            more = False
            if commits != self._app.database.commits:  # Nothing was committed since: nothing can be new.
                commits = self._app.database.commits
                found, upto = await self._app.database.read(lambda conn, since=cursor: wanted.read(conn, since))  # type: ignore[misc]
                more, cursor = upto > cursor, upto
                if found:
                    await _write(response, b"".join(_line(seq, event) for seq, event in found))
                    told = self._app.clock.monotonic()
            if self._app.clock.monotonic() - told >= _HEARTBEAT_SECONDS:
                await _write(response, b": still here\nid: %d\n\n" % cursor)
                told = self._app.clock.monotonic()
            if more:
                commits = -1
            else:
                await self._app.clock.sleep(_LOOK_SECONDS)


class _Wanted:
    """Which events a reader gets: what the pattern takes and may be read. Up to the place `old`, none before `least`.

    Microseconds, and no such limit where it is None.
    """

    def __init__(self, pattern: str, access: Access) -> None:
        self.access = access
        self.old = 0
        self.least: int | None = None
        self._pattern = pattern

    def read(self, conn: Connection, after: int) -> tuple[list[tuple[int, Event]], int]:
        """The next of them with their places, and the place up to which there are no others."""
        heads = conn.execute(_HEADS, {"after": after}).all()
        wanted = [row.seq for row in heads if self._takes(row)]
        upto = heads[-1].seq if heads else after
        if len(wanted) > _BATCH:
            wanted = wanted[:_BATCH]
            upto = wanted[-1]
        rows = conn.execute(_WHOLE, {"places": wanted}).mappings() if wanted else ()
        return [(row["seq"], from_row(dict(row))) for row in rows], upto

    def _takes(self, row: Any) -> bool:
        if self.least is not None and row.seq <= self.old and row.time < self.least:
            return False
        topics = [topic for topic in (row.topic, row.also) if topic is not None]
        return any(matches(self._pattern, topic) for topic in topics) and self.access.reads(topics)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """A reader that takes nothing for long is let go: it comes back and goes on where it was."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await response.write(data)
    except TimeoutError:
        raise ConnectionResetError("the reader of the stream is stuck") from None


def _line(seq: int, event: Event) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (seq, orjson.dumps(event.to_json(), default=str))


def newest(conn: Connection) -> int:
    """The place of the newest event."""
    return conn.scalar(select(func.max(events.c.seq))) or 0
