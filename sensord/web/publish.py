"""Events from outside: CloudEvents in structured and binary mode, or a few plain keys. Taken once, kept as sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from aiohttp import web

from notifiers.clock import EPOCH, Clock
from rules.event import Event, Severity
from rules.topics import check_topic
from sensord.app import App
from sensord.tokens import FULL, Access
from sensord.web.access import access_of, check_publishing
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
from sensord.web.ids import named_id
from sensord.web.problems import Problem, answer, shown
from sensord.web.quality import taken

CLOUDEVENT = "application/cloudevents+json"
PLAIN_KEYS = ("topic", "message", "data", "severity", "type", "subject", "source", "id", "time", "run", "job", "sensor")
BATCH = "application/cloudevents-batch+json"
MAX_BATCH = 1000
_TYPES = JSON_TYPES | {CLOUDEVENT, BATCH}
_OURS = "sensord"
_NAMESPACE = UUID("5e4504d0-1d5e-5f43-9c2a-0d6f4b1a7e21")
_RUN = re.compile(r"[0-9a-f-]{36}")
_HEADER = "ce-"


class Intake:
    """`POST /api/events`: the answer 202 comes once the event is durable."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, request: web.Request) -> web.Response:
        """Publish one event, or a batch: all of it or nothing. The same (source, id) again is no second event."""
        batch, single = await self._read(request)
        found = await self._app.bus.publish(taken(batch, self._app))
        if any(found):
            self._app.published()
        shapes = [{"id": event.id, "duplicate": not new} for event, new in zip(batch, found, strict=True)]
        return answer(shapes[0] if single else {"items": shapes}, 202)

    async def _read(self, request: web.Request) -> tuple[list[Event], bool]:
        """The events, and whether it is one that came by itself."""
        clock, access = self._app.clock, access_of(request)
        attributes = {name[len(_HEADER) :].lower(): _decoded(name, value) for name, value in _ce_headers(request)}
        if attributes:
            event = cloud_event({**attributes, "data": await _binary_data(request)}, clock)
            check_publishing(access, event)
            return [event], True
        check_type(request, _TYPES)
        body = parse_json(await read_body(request))
        if isinstance(body, list) and request.content_type != CLOUDEVENT:
            return read_batch(body, clock, access, cloud=request.content_type == BATCH), False
        if request.content_type == BATCH:
            raise Problem(400, f"the body is {kind(body)}; send a batch as a list of CloudEvents")
        event = _read_one(body, clock, cloud=request.content_type == CLOUDEVENT)
        check_publishing(access, event)
        return [event], True


def read_batch(body: list[Any], clock: Clock, access: Access = FULL, *, cloud: bool) -> list[Event]:
    """The events of a batch; Problem names the first that is none, or may not be published, and its `index`."""
    if len(body) > MAX_BATCH:
        raise Problem(413, f"the batch has {len(body)} events; at most {MAX_BATCH} are taken, so send several")
    found: list[Event] = []
    for index, one in enumerate(body):
        try:
            event = _read_one(one, clock, cloud=cloud)
            check_publishing(access, event)
        except Problem as problem:
            sentence = f"of the batch, event {index} (the first is 0): {problem.sentence}; nothing was published"
            raise Problem(problem.status, sentence, more={"index": index}) from None
        found.append(event)
    return found


def _read_one(body: Any, clock: Clock, *, cloud: bool) -> Event:
    if not isinstance(body, dict):
        raise Problem(400, f"this is {kind(body)}; an event is an object")
    return cloud_event(body, clock) if cloud or "specversion" in body else plain_event(body, clock)


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
    return named_id(_NAMESPACE, f"{len(source)} {source} {given}")


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
