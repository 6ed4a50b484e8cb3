"""Subscriptions, deliveries and destinations over HTTP: made, ended, sent again, resumed."""

from __future__ import annotations

import json

from aiohttp import web

from notifiers.clock import to_us
from notifiers.reading import check_language
from notifiers.settings import parse_duration
from notifiers.since import parse_since
from notifiers.subscriptions import Ended, Wanted, add_subscriptions, end_subscriptions
from notifiers.zones import zone_of
from rules.routing import compile_where
from rules.topics import check_pattern
from sensord.app import App
from sensord.config.fields import check_destination
from sensord.ledger.keys import Expiry, Key, expire_keys, forget_keys
from sensord.sources import Remembering
from sensord.web.body import object_of, read_object, text_of
from sensord.web.endpoint import only
from sensord.web.problems import Problem, answer, shown


class Telling:
    """The verbs of everything that hangs on the bus."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def subscribe(self, request: web.Request) -> web.Response:
        """201: a new subscription, with `since` told of the past as well. 200: there was one like it, and it holds."""
        body = await read_object(request, ("topic", "to", "where", "since", "lang", "zone"))
        topic, to, where = text_of(body, "topic"), text_of(body, "to"), object_of(body, "where")
        if topic is None or to is None:
            raise Problem(400, 'say what is told to whom: {"topic": "runs.*.failed", "to": "telegram:-100123"}')
        try:
            check_pattern(topic)
            check_destination(to)
            compile_where(where)
            text = text_of(body, "since")
            since = None if text is None else parse_since(text, self._app.clock.now())
            reading = reading_asked(text_of(body, "lang"), text_of(body, "zone"))
            wanted = Wanted(
                id=self._app.clock.new_id(),
                topic=topic,
                destination=to,
                at=to_us(self._app.clock.now()),
                where=where,
                since=since,
                options={name: value for name, value in reading.items() if value is not None},
            )
            found, new = await self._app.database.write(add_subscriptions, wanted)
        except ValueError as error:
            raise Problem(400, str(error)) from None
        shape = {"id": found, "topic": topic, "destination": to, "where": where, "duplicate": not new, **reading}
        if not new or since is None:
            return answer({**shape, "backlog": None}, 201 if new else 200)
        self._app.delivery.catch_up()
        return answer({**shape, "backlog": {"deliveries": 0, "done": False}}, 201)

    async def unsubscribe(self, request: web.Request) -> web.Response:
        """200: it has ended, and what waited because of it is no longer sent."""
        only(request)
        await read_object(request, ())
        subscription = request.match_info["id"]
        ended = Ended(id=subscription, at=to_us(self._app.clock.now()))
        if not await self._app.database.write(end_subscriptions, ended):
            raise Problem(404, f"there is no subscription {shown(subscription)} that holds; it may have ended already")
        await self._app.delivery.refresh()
        return answer({"id": subscription, "ended": True})

    async def replay_delivery(self, request: web.Request) -> web.Response:
        """202: it is tried again. 409 where it was delivered, or is on its way."""
        await read_object(request, ())
        delivery = request.match_info["id"]
        if not await self._app.delivery.replay_delivery(delivery):
            raise Problem(409, f"there is no delivery {shown(delivery)} that ended without having been delivered")
        return answer({"id": delivery}, 202)

    async def replay_event(self, request: web.Request) -> web.Response:
        """202: everyone subscribed now is told again; the new deliveries' ids."""
        await read_object(request, ())
        event = request.match_info["id"]
        try:
            deliveries = await self._app.delivery.replay_event(event)
        except ValueError as error:
            raise Problem(404, str(error)) from None
        return answer({"event": event, "deliveries": deliveries}, 202)

    async def resume(self, request: web.Request) -> web.Response:
        """200: messages go to a paused destination again, first what waited."""
        body = await read_object(request, ("destination",))
        destination = text_of(body, "destination")
        if destination is None or not await self._app.delivery.resume(destination):
            raise Problem(404, f"{shown(destination or '')} is no paused destination; GET /api/destinations lists them")
        return answer({"destination": destination, "state": "active"})

    async def forget(self, request: web.Request) -> web.Response:
        """200: the run_key is free, so that the next request for it is a run."""
        body = await read_object(request, ("sensor", "job", "run_key"))
        sensor, job, run_key = text_of(body, "sensor"), text_of(body, "job"), text_of(body, "run_key")
        if job is None or run_key is None:
            raise Problem(400, 'say which key to forget: {"sensor": "drop", "job": "load", "run_key": "a.csv"}')
        (run,) = await self._app.database.write_many(forget_keys, [(sensor or "", job, run_key)])
        if run is None:
            of = f"sensor {shown(sensor)}" if sensor else "no sensor"
            raise Problem(404, f"nothing holds the run_key {shown(run_key)} of job {shown(job)} and {of}")
        self._offer_again(sensor or "")
        return answer({"sensor": sensor, "job": job, "run_key": run_key, "run": run, "forgotten": True})

    async def expire(self, request: web.Request) -> web.Response:
        """200: a slice of the old keys is forgotten; `next` is the `after` of the next slice, null at the end."""
        body = await read_object(request, ("older_than", "sensor", "job", "after"))
        age, after = text_of(body, "older_than"), text_of(body, "after", limit=100_000)
        try:
            before = to_us(self._app.clock.now()) - round(parse_duration(age or "") * 1_000_000)
            place = None if after is None else _place(after)
        except ValueError as error:
            raise Problem(400, str(error)) from None
        sensor, job = text_of(body, "sensor"), text_of(body, "job")
        expiry = Expiry(before=before, sensor="" if sensor == "-" else sensor, job=job, after=place)
        gone, last = await self._app.database.write(expire_keys, expiry)
        if gone:
            self._offer_again(expiry.sensor)
        return answer({"forgotten": gone, "next": None if last is None else json.dumps(last)})

    def _offer_again(self, sensor: str | None) -> None:
        """Tell the sensor, or all of them, that keys which were held are free."""
        for name, source in self._app.sources.items():
            if sensor in (None, name) and isinstance(source, Remembering):
                source.offer_again()


def reading_asked(lang: str | None, zone: str | None) -> dict[str, str | None]:
    """A language and a zone that somebody asks for; ValueError says which there are."""
    if lang is not None:
        check_language(lang)
    if zone is not None:
        zone_of(zone)
    return {"lang": lang, "zone": zone}


def _place(text: str) -> Key:
    found = json.loads(text)
    if not isinstance(found, list) or len(found) != 3 or not all(isinstance(one, str) for one in found):  # noqa: PLR2004
        raise ValueError(f"after is {shown(text)}; give the `next` of the slice before")
    return found[0], found[1], found[2]
