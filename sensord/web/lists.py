"""The lists of the API, `{"items": […], "next": …}` each, and one thing of a list by its id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection

from notifiers.listing import (
    get_delivery,
    get_subscription,
    list_deliveries,
    list_inbox,
    list_subscriptions,
)
from sensord.app import App
from sensord.ledger.backfill_pages import BACKFILL_FILTERS, list_backfills
from sensord.ledger.queries import (
    KEY_FILTERS,
    RUN_FILTERS,
    TICK_FILTERS,
    get_run,
    list_keys,
    list_runs,
    list_ticks,
)
from sensord.web import schemas
from sensord.web.backfill_routes import BACKFILL
from sensord.web.endpoint import ID, NAME, Endpoint, Page, only, read_page
from sensord.web.overview import list_destinations
from sensord.web.problems import Problem, answer, shown
from sensord.web.sensors import JOB_FILTERS, SENSOR_FILTERS, Jobs, Sensors, page_of

_NUMBER = "[0-9]{1,18}"

Answer = dict[str, Any]


class Listing(Struct, frozen=True, kw_only=True):
    """A list: its path, the fields that it can be filtered by, the form of its cursor, and who reads it.

    A filter given more than once means any of the values where `several` says so.
    """

    name: str
    what: str
    filters: tuple[str, ...]
    cursor: str
    item: schemas.Schema
    read: Callable[[Page], Awaitable[Answer]]
    several: bool = True


class Lists:
    """Every list, and everything that has an id."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """One route for each list, and one for each kind of thing by id."""
        return [
            *(self._list(listing) for listing in self._listings()),
            self._one("runs", "run", schemas.RUN, get_run),
            self._one("subscriptions", "subscription", schemas.SUBSCRIPTION, get_subscription),
            self._one("deliveries", "delivery", schemas.DELIVERY, get_delivery),
            Endpoint(
                method="GET",
                path="/api/destinations",
                handler=self._destinations,
                summary="Destinations that are, or were, not plainly well.",
                answers={200: ("all of them", schemas.listing(schemas.DESTINATION))},
            ),
        ]

    def _listings(self) -> list[Listing]:
        sensors, jobs = Sensors(self._app), Jobs(self._app)

        async def read_sensors(page: Page) -> Answer:
            return page_of(await sensors.items(), page)

        async def read_jobs(page: Page) -> Answer:
            return page_of(await jobs.items(), page)

        return [
            Listing(
                name="runs",
                what="Runs",
                filters=RUN_FILTERS,
                cursor=ID,
                item=schemas.RUN,
                read=self._ledger(list_runs),
            ),
            Listing(
                name="ticks",
                what="What was made of sensed things",
                filters=TICK_FILTERS,
                cursor=_NUMBER,
                item=schemas.TICK,
                read=self._ledger(list_ticks),
            ),
            Listing(
                name="keys",
                what="Held run_keys (sensor `-`: those that no sensor asked for)",
                filters=KEY_FILTERS,
                cursor=ID,
                item=schemas.HELD_KEY,
                read=self._ledger(list_keys),
            ),
            Listing(
                name="sensors",
                what="Sensors, by name",
                filters=SENSOR_FILTERS,
                cursor=NAME,
                item=schemas.SENSOR,
                read=read_sensors,
            ),
            Listing(
                name="jobs", what="Jobs, by name", filters=JOB_FILTERS, cursor=NAME, item=schemas.JOB, read=read_jobs
            ),
            Listing(
                name="backfills",
                what="Backfills",
                filters=BACKFILL_FILTERS,
                cursor=ID,
                item=BACKFILL,
                read=self._backfills,
            ),
            *self._told(),
        ]

    def _told(self) -> list[Listing]:
        return [
            Listing(
                name="subscriptions",
                what="Subscriptions that hold (or, with `ended=true`, that ended)",
                filters=("id", "topic", "destination", "origin", "ended"),
                cursor=ID,
                item=schemas.SUBSCRIPTION,
                read=self._bus(list_subscriptions),
                several=False,
            ),
            Listing(
                name="deliveries",
                what="Deliveries",
                filters=("id", "event", "subscription", "destination", "status"),
                cursor=ID,
                item=schemas.DELIVERY,
                read=self._bus(list_deliveries),
                several=False,
            ),
            Listing(
                name="inbox",
                what="Messages of the inbox",
                filters=("id", "target"),
                cursor=ID,
                item=schemas.INBOX,
                read=self._bus(list_inbox),
                several=False,
            ),
        ]

    async def _backfills(self, page: Page) -> Answer:
        standing = self._app.backfilling.standing()
        return await self._app.database.read(
            lambda conn: list_backfills(conn, page.filters, standing, limit=page.limit, after=page.after)
        )

    def _ledger(self, query: Callable[..., Answer]) -> Callable[[Page], Awaitable[Answer]]:
        async def read(page: Page) -> Answer:
            return await self._app.database.read(
                lambda conn: query(conn, page.filters, limit=page.limit, after=page.after)
            )

        return read

    def _bus(
        self, query: Callable[[Connection, Mapping[str, str], str | None, int], Answer]
    ) -> Callable[[Page], Awaitable[Answer]]:
        async def read(page: Page) -> Answer:
            filters = {name: values[0] for name, values in page.filters.items()}
            try:
                return await self._app.database.read(lambda conn: query(conn, filters, page.after, page.limit))
            except ValueError as error:
                raise Problem(400, str(error)) from None

        return read

    def _list(self, listing: Listing) -> Endpoint:
        async def read(request: web.Request) -> web.Response:
            page = read_page(request, listing.filters, cursor=listing.cursor)
            if not listing.several and (twice := [name for name, given in page.filters.items() if len(given) > 1]):
                raise Problem(400, f"{twice[0]} comes more than once; this list takes one value of it")
            return answer(await listing.read(page))

        cursor = ({"type": "string", "pattern": f"^{listing.cursor}$"}, "the `next` of the page before")
        value: schemas.Schema = {"type": "array", "items": schemas.TEXT} if listing.several else schemas.TEXT
        return Endpoint(
            method="GET",
            path=f"/api/{listing.name}",
            handler=read,
            summary=f"{listing.what}.",
            query={
                "limit": ({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "how many at most"),
                "after": cursor,
                **dict.fromkeys(listing.filters, (value, "a filter")),
            },
            answers={200: ("a page", schemas.listing(listing.item))},
        )

    def _one(
        self, name: str, what: str, schema: schemas.Schema, query: Callable[[Connection, str], Answer | None]
    ) -> Endpoint:
        async def read(request: web.Request) -> web.Response:
            only(request)
            id_ = request.match_info["id"]
            found = await self._app.database.read(lambda conn: query(conn, id_))
            if found is None:
                raise Problem(404, f"there is no {what} {shown(id_)}; GET /api/{name} lists those there are")
            return answer(found)

        return Endpoint(
            method="GET",
            path=f"/api/{name}/{{id}}",
            handler=read,
            summary=f"One {what}.",
            answers={200: (f"the {what}", schema)},
        )

    async def _destinations(self, request: web.Request) -> web.Response:
        only(request)
        return answer({"items": await self._app.database.read(list_destinations), "next": None})
