"""Events as they are kept: a page of them from a time or a place on, and one by its id."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from notifiers.listing import LOOKED_AT, get_event, list_events
from notifiers.since import Since, parse_since
from sensord.app import App
from sensord.tokens import Access
from sensord.web import schemas
from sensord.web.access import access_of
from sensord.web.endpoint import Endpoint, only, read_page
from sensord.web.problems import Problem, answer, shown

FILTERS = ("id", "type", "source", "subject", "run", "job", "sensor", "topic", "severity")
SINCE = ({"type": "string"}, "a time (RFC 3339), so long ago (2h), or the id of an event: what follows it")
_PLACE = "[0-9]{1,18}"


class Events:
    """`GET /api/events` and one of them."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """Both; whose token reads some topics alone sees those."""
        return [
            Endpoint(
                method="GET",
                path="/api/events",
                handler=self._list,
                summary=f"Events. A page looks at {LOOKED_AT} at most: one of few may have a `next` all the same.",
                query={
                    "limit": ({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "how many at most"),
                    "after": ({"type": "string", "pattern": f"^{_PLACE}$"}, "the `next` of the page before"),
                    "since": SINCE,
                    "order": ({"type": "string", "enum": ["newest", "oldest"]}, "which come first; default newest"),
                    **dict.fromkeys(FILTERS, (schemas.TEXT, "a filter")),
                    "topic": (schemas.TEXT, "a pattern; `*` is one token, `>` the rest"),
                    "severity": (schemas.TEXT, "e.g. `error` or `>=warning`"),
                },
                answers={200: ("a page", schemas.listing(schemas.EVENT))},
                scope="read",
            ),
            Endpoint(
                method="GET",
                path="/api/events/{id}",
                handler=self._one,
                summary="One event.",
                answers={200: ("the event", schemas.EVENT)},
                scope="read",
            ),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        page = read_page(request, (*FILTERS, "since", "order"), cursor=_PLACE)
        if twice := [name for name, given in page.filters.items() if len(given) > 1]:
            raise Problem(400, f"{twice[0]} comes more than once; this list takes one value of it")
        filters = {name: values[0] for name, values in page.filters.items()}
        access = access_of(request)
        since, order = filters.pop("since", None), filters.pop("order", "newest")
        if order not in ("newest", "oldest"):
            raise Problem(400, f"order is {shown(order)}; give newest or oldest")

        def read(conn: Connection) -> dict[str, Any]:
            begin = None if since is None else readable(conn, parse_since(since, self._app.clock.now()), access)
            return list_events(
                conn,
                filters,
                page.after,
                page.limit,
                since=begin,
                oldest=order == "oldest",
                within=access.read,
            )

        try:
            return answer(await self._app.database.read(read))
        except ValueError as error:
            raise Problem(400, str(error)) from None

    async def _one(self, request: web.Request) -> web.Response:
        only(request)
        id_ = request.match_info["id"]
        found = await self._app.database.read(lambda conn: get_event(conn, id_))
        if found is None or not access_of(request).reads(topics_of(found)):
            raise Problem(404, f"there is no event {shown(id_)}; GET /api/events lists those there are")
        return answer(found)


def topics_of(event: dict[str, Any]) -> list[str]:
    """The topics of an event in its JSON form."""
    return [event[name] for name in ("topic", "also") if name in event]


def readable(conn: Connection, since: Since, access: Access) -> Since:
    """The same; ValueError where it names an event that must not be read, as where there is none."""
    if since.event is not None and not access.full:
        found = get_event(conn, since.event)
        if found is None or not access.reads(topics_of(found)):
            return Since(event="")
    return since
