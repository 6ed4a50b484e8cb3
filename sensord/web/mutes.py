"""Mutes over HTTP: set, listed, ended. Each act leaves an audit row and an event, as one from a chat does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from notifiers.chat import Person
from notifiers.chat.turns import Done, record_act
from notifiers.clock import from_us, to_us
from notifiers.mutes import LONGEST_S, SHORTEST_S, NewMute, Unmuted, add_mutes, end_mutes, list_mutes
from notifiers.noise import EVERYTHING
from notifiers.settings import parse_duration
from rules.topics import check_pattern
from sensord.app import App
from sensord.config.fields import check_destination
from sensord.web import schemas
from sensord.web.body import read_object, text_of
from sensord.web.endpoint import Endpoint, only
from sensord.web.problems import Problem, answer, shown

PERSON = Person("api", "api")
"""Who acted, where it was somebody with the daemon's token."""


class Mutes:
    """The routes under `/api/mutes`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """Three of them."""
        return [
            Endpoint(
                method="POST",
                path="/api/mutes",
                handler=self._add,
                summary="Hold back what is told to a destination for a while; what is critical is told all the same.",
                body=schemas.NEW_MUTE,
                answers={201: ("the mute", schemas.MUTE)},
            ),
            Endpoint(
                method="GET",
                path="/api/mutes",
                handler=self._list,
                summary="Mutes that hold, and how many messages wait because of each.",
                answers={200: ("all of them", schemas.listing(schemas.MUTE))},
            ),
            Endpoint(
                method="DELETE",
                path="/api/mutes/{id}",
                handler=self._end,
                summary="End a mute: what it held back is told now.",
                body=schemas.NOTHING,
                answers={200: ("it ends", schemas.ANY)},
            ),
        ]

    async def _add(self, request: web.Request) -> web.Response:
        body = await read_object(request, ("destination", "for", "topic", "why"))
        destination, topic = text_of(body, "destination"), text_of(body, "topic") or EVERYTHING
        try:
            if destination is None:
                raise ValueError('say who is not to be told: {"destination": "telegram:-100123", "for": "2h"}')  # noqa: TRY301
            check_destination(destination)
            check_pattern(topic)
            seconds = parse_duration(text_of(body, "for"))
        except ValueError as error:
            raise Problem(400, str(error)) from None
        if not SHORTEST_S <= seconds <= LONGEST_S:
            raise Problem(400, f"for is {shown(str(body['for']))}; a mute lasts from 1m to 30d")
        now, new_id = to_us(self._app.clock.now()), self._app.clock.new_id
        new = NewMute(
            id=new_id(),
            destination=destination,
            until=now + round(seconds * 1e6),
            person=PERSON.id,
            name=PERSON.name,
            now=now,
            pattern=topic,
            why=text_of(body, "why") or "",
        )
        why = f": {new.why}" if new.why else ""
        text = f"{PERSON.name} muted {topic} in {destination} until {from_us(new.until):%Y-%m-%d %H:%M} UTC{why}"
        detail = {"mute": new.id, "pattern": topic, "why": new.why}
        done = Done(act="muted", person=PERSON, place=destination, text=text, detail=detail)
        await self._app.database.write(_muted, (new, done, new_id()))
        await self._changed()
        (made,) = [one for one in await self._read() if one["id"] == new.id]
        return answer(made, 201)

    async def _list(self, request: web.Request) -> web.Response:
        only(request)
        return answer({"items": await self._read(), "next": None})

    async def _read(self) -> list[dict[str, Any]]:
        return await self._app.database.read(list_mutes)

    async def _end(self, request: web.Request) -> web.Response:
        await read_object(request, ())
        id_ = request.match_info["id"]
        found = [one for one in await self._read() if one["id"] == id_]
        if not found:
            raise Problem(404, f"no mute {shown(id_)} holds; GET /api/mutes lists those that do")
        now, place = to_us(self._app.clock.now()), found[0]["destination"]
        text = f"{PERSON.name} unmuted {found[0]['job'] or found[0]['pattern']} in {place}"
        done = Done(act="unmuted", person=PERSON, place=place, text=text, detail={"mute": id_})
        wish = Unmuted(now=now, by=PERSON.id, id=id_)
        await self._app.database.write(_unmuted, (wish, done, self._app.clock.new_id()))
        await self._changed()
        return answer({"id": id_, "held": found[0]["held"]})

    async def _changed(self) -> None:
        await self._app.delivery.refresh()
        self._app.published()


def _muted(conn: Connection, batch: Sequence[tuple[NewMute, Done, str]]) -> list[None]:
    for new, done, act in batch:
        record_act(conn, done, act, new.now)
    return list(add_mutes(conn, [new for new, _, _ in batch]))


def _unmuted(conn: Connection, batch: Sequence[tuple[Unmuted, Done, str]]) -> list[None]:
    end_mutes(conn, [wish for wish, _, _ in batch])
    for wish, done, act in batch:
        record_act(conn, done, act, wish.now)
    return [None] * len(batch)
