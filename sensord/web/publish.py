"""Events from outside: CloudEvents in structured and binary mode, or a few plain keys. Taken once, kept as sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid5

from aiohttp import web

from notifiers.clock import EPOCH, Clock
from rules.event import Event, Severity
from rules.topics import check_topic
from sensord.app import App
from sensord.web.body import (
    JSON_TYPES,
    check_type,
    checked_text,
    kind,
    object_of,
    parse_json,
    read_body,
    text_of,
)
from sensord.web.problems import Problem, answer, shown

CLOUDEVENT = "application/cloudevents+json"
PLAIN_KEYS = ("topic", "message", "data", "severity", "type", "subject", "source", "id", "time", "run", "job", "sensor")
_TYPES = JSON_TYPES | {CLOUDEVENT}
_OURS = "sensord"
_NAMESPACE = UUID("5e4504d0-1d5e-5f43-9c2a-0d6f4b1a7e21")
_RUN = re.compile(r"[0-9a-f-]{36}")
_HEADER = "ce-"


class Intake:
    """`POST /api/events`: the answer 202 comes once the event is durable."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, request: web.Request) -> web.Response:
        """Publish one event. The same (source, id) a second time is answered alike and is no second event."""
        event = await self._read(request)
        (new,) = await self._app.bus.publish([event])
        if new:
            self._app.published()
        return answer({"id": event.id, "duplicate": not new}, 202)

    async def _read(self, request: web.Request) -> Event:
        if request.content_type == "application/cloudevents-batch+json":
            raise Problem(415, "batches of CloudEvents are not taken; send one event a request")
        attributes = {name[len(_HEADER) :].lower(): _decoded(name, value) for name, value in _ce_headers(request)}
        if attributes:
            return cloud_event({**attributes, "data": await _binary_data(request)}, self._app.clock)
        check_type(request, _TYPES)
        body = parse_json(await read_body(request))
        if not isinstance(body, dict):
            raise Problem(400, f"the body is {kind(body)}; send one event, an object")
        if request.content_type == CLOUDEVENT or "specversion" in body:
            return cloud_event(body, self._app.clock)
        return plain_event(body, self._app.clock)


def _ce_headers(request: web.Request) -> list[tuple[str, str]]:
    found = [(name, value) for name, value in request.headers.items() if name[:3].lower() == _HEADER]
    if len({name.lower() for name, _ in found}) < len(found):
        raise Problem(400, "a ce- header comes twice; send each attribute once")
    return found


def _decoded(name: str, value: str) -> str:
    """CloudEvents' HTTP binding percent-encodes what is not printable ASCII in a header."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise Problem(400, f"the header {shown(name)} is not percent-encoded UTF-8") from None


async def _binary_data(request: web.Request) -> Any:
    if not request.body_exists:
        return None
    check_type(request, JSON_TYPES)
    raw = await read_body(request)
    return parse_json(raw) if raw else None


def cloud_event(body: Mapping[str, Any], clock: Clock) -> Event:
    """A CloudEvent 1.0 as an event of ours. Its topic is the attribute `topic`, else its type."""
    if body.get("specversion") != "1.0":
        raise Problem(400, f"specversion is {shown(str(body.get('specversion')))}; CloudEvents 1.0 are taken")
    for name in ("id", "source", "type"):
        if not text_of(body, name):
            raise Problem(400, f"the CloudEvent has no {name}; add one")
    if "data_base64" in body:
        raise Problem(400, "data_base64 is not taken; send the data as JSON in data")
    return _event({"topic": body["type"], **body}, clock)


def plain_event(body: Mapping[str, Any], clock: Clock) -> Event:
    """`{"topic", "message", "data", "severity"}` as an event; with an `id` it is taken once for its `source`."""
    unknown = next((name for name in body if name not in PLAIN_KEYS), None)
    if unknown is not None:
        raise Problem(400, f"{shown(unknown)} is no key of an event; it may have {', '.join(PLAIN_KEYS)}")
    if body.get("topic") is None:
        raise Problem(400, "the event has no topic; add one, e.g. bp.houses.oks")
    return _event({"type": "message", "source": "http", **body}, clock)


def _event(body: Mapping[str, Any], clock: Clock) -> Event:
    topic, type_ = text_of(body, "topic") or "", text_of(body, "type", limit=255) or "message"
    source = text_of(body, "source", limit=1024) or "http"
    if source == _OURS or source.startswith(f"{_OURS}:"):
        raise Problem(400, f"the source {shown(source)} is sensord's own; name another")
    severity = text_of(body, "severity") or "info"
    try:
        check_topic(topic)
        level = Severity.parse(severity)
    except ValueError as error:
        raise Problem(400, str(error)) from None
    given = text_of(body, "id", limit=1024)
    run = text_of(body, "run")
    if run is not None and not _RUN.fullmatch(run):
        raise Problem(400, f"run is {shown(run)}; it is the id of a run, which has 36 characters")
    return Event(
        id=clock.new_id() if given is None else outside_id(source, given),
        type=type_,
        topic=topic,
        time=_time(body, clock),
        source=source,
        severity=level,
        message=text_of(body, "message", limit=100_000, empty=True) or text_of(body, "subject") or type_,
        subject=text_of(body, "subject"),
        run=run,
        job=text_of(body, "job", limit=255),
        sensor=text_of(body, "sensor", limit=255),
        data=_data(body, given),
    )


def outside_id(source: str, given: str) -> str:
    """The id under which an event of another program is kept: the same for the same (source, id), for ever.

    A CloudEvent is identified by both together, so its own id is never used as ours, not even where it is a
    UUID: two sources may use the same one, and nobody can take the id of an event that is yet to come. The id
    that was sent stays in the event's data as `ce_id`.
    """
    return str(uuid5(_NAMESPACE, f"{len(source)} {source} {given}"))


def _data(body: Mapping[str, Any], given: str | None) -> dict[str, Any]:
    """The data as an object, whatever JSON it is, with the id that was sent beside it."""
    value = body.get("data")
    data = object_of(body, "data") if value is None or isinstance(value, dict) else {"value": value}
    return data if given is None else {"ce_id": given, **data}


def _time(body: Mapping[str, Any], clock: Clock) -> datetime:
    text = text_of(body, "time", limit=64)
    if text is None:
        return clock.now()
    try:
        moment = datetime.fromisoformat(checked_text("time", text))
        _ = moment - EPOCH  # TypeError where it has no offset, OverflowError at the edges of the calendar.
        return moment.astimezone(EPOCH.tzinfo)
    except (ValueError, TypeError, OverflowError):
        raise Problem(400, f"time is {shown(text)}; write it as in RFC 3339: 2026-11-21T01:02:03Z") from None
