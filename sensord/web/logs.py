"""A run's output, as it is or as it grows."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import cast

import anyio
from aiohttp import web
from anyio import to_thread
from msgspec.structs import replace
from sqlalchemy import Connection, select

from notifiers.clock import from_us
from sensord.app import App
from sensord.launchers.command_log import follow_log, read_log
from sensord.ledger.tables import TERMINAL, runs
from sensord.web.endpoint import flag, one, only
from sensord.web.problems import Problem, shown
from sensord.web.runs import no_run

_Found = tuple[str, int, datetime, str]  # The run's job, its newest attempt, when it was asked for, its status.
_PAUSE = 0.1


class Logs:
    """`GET /api/runs/<id>/log`. `closing` ends what is being followed when the server stops."""

    def __init__(self, app: App, closing: anyio.Event) -> None:
        self._app = app
        self._closing = closing

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """The output of one attempt (the newest one by default) as text; with `follow`, until it ended."""
        only(request, "attempt", "follow", "tail")
        run = request.match_info["id"]
        follow, tail = flag(request, "follow"), _number(request, "tail")
        found = await self._app.database.read(lambda conn: _row(conn, run))
        if found is None:
            raise no_run(run)
        job, newest, requested_at, _ = found
        attempt = _number(request, "attempt") or newest
        if attempt > newest:
            raise Problem(404, f"the run has {newest} attempts; attempt {attempt} is none of them")
        launcher = self._app.launchers.get(job)
        path = None if launcher is None else launcher.log(run, attempt, requested_at)
        while follow and not await _is_there(path) and not self._over(found, attempt) and launcher is not None:
            await self._app.clock.sleep(_PAUSE)  # It waits for a slot, or its log is made this very moment.
            if request.transport is None or request.transport.is_closing():
                break  # Whoever asked has gone.
            found = await self._app.database.read(lambda conn: _row(conn, run)) or found
            path = launcher.log(run, attempt, requested_at)
        if path is None or not await _is_there(path):
            raise Problem(404, f"there is no output of attempt {attempt}: none was written yet, or it was old")
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        if request.method != "HEAD":
            over = self._over(found, attempt)
            pieces = self._follow(path, run, attempt, tail, over=over) if follow else _whole(path, tail)
            async with aclosing(pieces):
                async for piece in pieces:
                    await response.write(piece)
        return response

    def _over(self, found: _Found, attempt: int) -> bool:
        return found[3] in TERMINAL or attempt < found[1] or self._closing.is_set()

    def _follow(
        self, path: Path, run: str, attempt: int, tail: int | None, *, over: bool
    ) -> AsyncGenerator[bytes, None]:
        """The log while its attempt goes on: between two looks at the file, its row is looked at."""

        async def pause(seconds: float) -> None:
            nonlocal over
            await self._app.clock.sleep(seconds)
            found = await self._app.database.read(lambda conn: _row(conn, run))
            over = found is None or self._over(found, attempt)

        clock = replace(self._app.clock, sleep=pause)
        pieces = follow_log(path, lambda: over, clock=clock, tail_bytes=tail)
        return cast("AsyncGenerator[bytes, None]", pieces)


async def _is_there(path: Path | None) -> bool:
    return path is not None and await anyio.Path(path).exists()


async def _whole(path: Path, tail: int | None) -> AsyncGenerator[bytes, None]:
    pieces = read_log(path, tail_bytes=tail)
    while (piece := await to_thread.run_sync(next, pieces, None)) is not None:
        yield piece


def _row(conn: Connection, run: str) -> _Found | None:
    query = select(runs.c.job, runs.c.attempt, runs.c.requested_at, runs.c.status).where(runs.c.id == run)
    row = conn.execute(query).first()
    return None if row is None else (row[0], row[1], from_us(row[2]), row[3])


def _number(request: web.Request, name: str) -> int | None:
    text = one(request, name)
    if text is not None and not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise Problem(400, f"{name} is {shown(text)}; give a whole number from 1")
    return None if text is None else int(text)
