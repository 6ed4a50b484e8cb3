"""What ended without having arrived: counted, and tried again, all of it or some."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import web

from notifiers.dead import MOST, STATUSES, Ended, count_ended, find_ended
from notifiers.store import requeue
from sensord.app import App
from sensord.web import schemas
from sensord.web.body import kind, read_object, text_of
from sensord.web.endpoint import Endpoint
from sensord.web.problems import Problem, answer, shown


class DeadLetters:
    """`POST /api/deliveries/replay`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """The one."""
        return [
            Endpoint(
                method="POST",
                path="/api/deliveries/replay",
                handler=self._replay,
                summary=f"Try again what ended without having arrived, oldest first, {MOST} at a time; ask again with "
                "`next` as `after`. With `dry_run` they are counted.",
                body=schemas.REPLAY,
                answers={200: ("how many there are", schemas.COUNTED), 202: ("they are tried again", schemas.REPLAYED)},
            )
        ]

    async def _replay(self, request: web.Request) -> web.Response:
        body = await read_object(request, ("status", "destination", "subscription", "after", "dry_run"))
        which = Ended(
            statuses=_statuses(body),
            destination=text_of(body, "destination"),
            subscription=text_of(body, "subscription"),
        )
        dry_run, after = body.get("dry_run", False), text_of(body, "after", limit=36)
        if not isinstance(dry_run, bool):
            raise Problem(400, f"dry_run is {kind(dry_run)}; send true or false")
        if dry_run:
            found = await self._app.database.read(partial(count_ended, which=which))
            total = sum(one["count"] for one in found)
            return answer({"dry_run": True, "count": total, "destinations": found})
        ids = await self._app.database.read(partial(find_ended, which=which, after=after))
        replayed = sum(await self._app.database.write_many(requeue, ids))
        if replayed:
            await self._app.delivery.refresh()
        return answer({"replayed": replayed, "next": ids[-1] if len(ids) == MOST else None}, 202)


def _statuses(body: Mapping[str, Any]) -> tuple[str, ...]:
    given = body.get("status")
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not found:
        raise Problem(400, f"say which are meant, as status: {', '.join(STATUSES)}, or a list of these")
    for one in found:
        if one not in STATUSES:
            raise Problem(400, f"status is {shown(str(one))}; what did not arrive is {' or '.join(STATUSES)}")
    return tuple(found)
