"""Checks of data over HTTP: how each does, its last results, and accepting what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from aiohttp import web
from sqlalchemy import Connection, select

from notifiers.bus.embedded import from_row
from notifiers.check_history import accept
from notifiers.check_tables import checks
from notifiers.tables import events
from rules.event import rfc3339
from rules.trend import TREND, sparkline
from sensord.app import App
from sensord.ledger.queries import time
from sensord.web import schemas
from sensord.web.body import read_object
from sensord.web.endpoint import ID, Endpoint, only, read_page
from sensord.web.problems import Problem, answer, shown

FILTERS = ("job", "check", "series", "status", "severity")
_CHUNK, _FAR = 100, 2000  # So many results of one job are looked at for those of one check.


def _whole(properties: Mapping[str, schemas.Schema]) -> schemas.Schema:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


_RESULT = _whole(
    {
        "at": schemas.TIME,
        "status": {"type": "string", "enum": ["passed", "failed"]},
        "subject": schemas.nullable(schemas.TEXT),
        "detail": schemas.TEXT,
        "metrics": schemas.OBJECT,
        "run": schemas.nullable(schemas.TEXT),
        "event": schemas.TEXT,
    }
)
CHECK: schemas.Schema = _whole(
    {
        "id": schemas.ID,
        "job": schemas.TEXT,
        "check": schemas.TEXT,
        "series": schemas.TEXT,
        "status": {"type": "string", "enum": ["passed", "failed"]},
        "severity": schemas.TEXT,
        "in_a_row": schemas.NUMBER,
        "since": schemas.TIME,
        "at": schemas.TIME,
        "subject": schemas.nullable(schemas.TEXT),
        "detail": schemas.TEXT,
        "failed": schemas.nullable(schemas.NUMBER),
        "rows": schemas.nullable(schemas.NUMBER),
        "run": schemas.nullable(schemas.TEXT),
        "event": schemas.TEXT,
        "trend": {"type": "array", "items": schemas.NUMBER},
        "line": schemas.TEXT,
    }
)


class Checks:
    """The routes under `/api/checks`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """Three of them."""
        text: schemas.Schema = {"type": "array", "items": schemas.TEXT}
        cursor = ({"type": "string", "pattern": f"^{ID}$"}, "the `next` of the page before")
        one = _whole({**CHECK["properties"], "results": {"type": "array", "items": _RESULT}})
        limit = ({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "how many at most")
        return [
            Endpoint(
                method="GET",
                path="/api/checks",
                handler=self._list,
                summary="Checks of data and how they do: those that fail first, then by job and name.",
                query={"limit": limit, "after": cursor, **dict.fromkeys(FILTERS, (text, "a filter"))},
                answers={200: ("a page", schemas.listing(CHECK))},
            ),
            Endpoint(
                method="GET",
                path="/api/checks/{id}",
                handler=self._show,
                summary="One check, with its last results, the newest first.",
                answers={200: ("the check", one)},
            ),
            Endpoint(
                method="POST",
                path="/api/checks/{id}/accept",
                handler=self._accept,
                summary="Compare the next file with what this check found last: its columns are as they should be.",
                body=schemas.NOTHING,
                answers={200: ("the check", CHECK), 409: ("it compares with no earlier file", schemas.ERROR)},
            ),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        page = read_page(request, FILTERS, cursor=ID)
        found = await self._app.database.read(lambda conn: list(_checks(conn)))
        fits = [one for one in found if all(one[name] in values for name, values in page.filters.items())]
        places = {one["id"]: place for place, one in enumerate(fits, 1)}
        start = 0 if page.after is None else places.get(page.after, len(fits))
        items = fits[start : start + page.limit]
        more = start + page.limit < len(fits)
        return answer({"items": items, "next": items[-1]["id"] if more else None})

    async def _show(self, request: web.Request) -> web.Response:
        only(request)
        id_ = request.match_info["id"]
        found = await self._app.database.read(lambda conn: _one(conn, id_))
        if found is None:
            raise _unknown(id_)
        return answer(found)

    async def _accept(self, request: web.Request) -> web.Response:
        await read_object(request, ())
        id_ = request.match_info["id"]
        done = await self._app.database.write(accept, id_)
        found = await self._app.database.read(lambda conn: _one(conn, id_))
        if found is None:
            raise _unknown(id_)
        if not done:
            raise Problem(409, f"check {shown(found['check'])} compares with no earlier file, or has seen none yet")
        del found["results"]
        return answer(found)


def _unknown(id_: str) -> Problem:
    return Problem(404, f"there is no check {shown(id_)}; GET /api/checks lists those that had a result")


def _checks(conn: Connection) -> Iterator[dict[str, Any]]:
    """All of them: there are as many as somebody wrote down."""
    query = select(checks).order_by(checks.c.passed, checks.c.job, checks.c.name, checks.c.series)
    return (_json(dict(row)) for row in conn.execute(query).mappings())


def _json(row: Mapping[str, Any]) -> dict[str, Any]:
    trend = orjson.loads(row["trend"])
    same = ("id", "job", "series", "severity", "in_a_row", "subject", "detail", "failed", "rows", "run", "event")
    return {name: row[name] for name in same} | {
        "check": row["name"],
        "status": "passed" if row["passed"] else "failed",
        "since": time(row["since"]),
        "at": time(row["at"]),
        "trend": trend,
        "line": sparkline(trend),
    }


def _one(conn: Connection, id_: str) -> dict[str, Any] | None:
    row = conn.execute(select(checks).where(checks.c.id == id_)).mappings().first()
    return None if row is None else {**_json(dict(row)), "results": list(_results(conn, dict(row)))}


def _results(conn: Connection, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The last results of a check that the event log still has, the newest first."""
    topics = [f"quality.{row['job']}.{what}" for what in ("passed", "failed")]
    query = select(events).where(events.c.topic.in_(topics)).order_by(events.c.seq.desc())
    place, looked, left = None, 0, TREND
    while looked < _FAR and left:
        page = query if place is None else query.where(events.c.seq < place)
        found = conn.execute(page.limit(_CHUNK)).mappings().all()
        for one in found:
            event = from_row(dict(one))
            if (event.data.get("check"), event.data.get("series", "")) == (row["name"], row["series"]) and left:
                left -= 1
                yield {
                    "at": rfc3339(event.time),
                    "status": event.type.partition(".")[2],
                    "subject": event.subject,
                    "detail": str(event.data.get("detail") or ""),
                    "metrics": event.data.get("metrics") or {},
                    "run": event.run,
                    "event": event.id,
                }
        if len(found) < _CHUNK:
            return
        looked, place = looked + len(found), found[-1]["seq"]
