"""JSON Schemas of what the API takes and gives, for /openapi.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "pattern": "^[0-9a-f-]{36}$"}
TIME: Schema = {"type": "string", "format": "date-time"}
OBJECT: Schema = {"type": "object"}
ANY: Schema = {"type": "object"}
NUMBER: Schema = {"type": "integer"}
YES: Schema = {"type": "boolean"}
SEVERITY: Schema = {"type": "string", "enum": ["debug", "info", "warning", "error", "critical"]}


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: Mapping[str, Schema], *, required: tuple[str, ...] = (), closed: bool = False) -> Schema:
    schema: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        schema["required"] = list(required)
    if closed:
        schema["additionalProperties"] = False
    return schema


def _whole(properties: Mapping[str, Schema]) -> Schema:
    return _object(properties, required=tuple(properties))


def listing(item: Schema) -> Schema:
    """A page of such items."""
    return _whole({"items": {"type": "array", "items": item}, "next": nullable(TEXT)})


ERROR = _object({"error": {"type": "string", "description": "a sentence that says what to do"}}, required=("error",))
NOTHING = _object({}, closed=True)

RUN = _object(
    {
        "id": ID,
        "job": TEXT,
        "sensor": nullable(TEXT),
        "run_key": nullable(TEXT),
        "subject": nullable(TEXT),
        "status": {"type": "string", "enum": ["queued", "running", "succeeded", "failed", "cancelled", "lost"]},
        "attempt": NUMBER,
        "priority": NUMBER,
        "tags": OBJECT,
        "run_config": {},
        "partition_key": nullable(TEXT),
        "requested_at": TIME,
        "started_at": nullable(TIME),
        "ended_at": nullable(TIME),
        "next_attempt_at": nullable(TIME),
        "cancel_requested": YES,
        "error": nullable(TEXT),
        "metadata": OBJECT,
        "duplicate": YES,
    },
    required=("id",),
)
TICK = _whole(
    {
        "seq": NUMBER,
        "sensor": TEXT,
        "subject": TEXT,
        "at": TIME,
        "outcome": {"type": "string", "enum": ["requested", "duplicate", "skipped", "error"]},
        "reason": nullable(TEXT),
        "job": nullable(TEXT),
        "run_key": nullable(TEXT),
        "run": nullable(ID),
    }
)
HELD_KEY = _whole(
    {
        "sensor": nullable(TEXT),
        "job": TEXT,
        "run_key": TEXT,
        "run": ID,
        "claimed_at": TIME,
        "version": nullable(TEXT),
    }
)
SENSOR = _whole(
    {
        "name": TEXT,
        "kind": TEXT,
        "jobs": {"type": "array", "items": TEXT},
        "state": TEXT,
        "reason": nullable(TEXT),
        "since": nullable(TIME),
        "cursor": nullable(TEXT),
        "looks": NUMBER,
        "last_look": nullable(TIME),
        "lag_seconds": nullable({"type": "number", "minimum": 0}),
        "last_tick": nullable(TICK),
        "config": OBJECT,
    }
)
JOB = _whole(
    {
        "name": TEXT,
        "kind": TEXT,
        "config_schema": nullable(OBJECT),
        "tags": OBJECT,
        "hooks": OBJECT,
        "concurrency": nullable(NUMBER),
        "priority": NUMBER,
        "timeout": nullable({"type": "number"}),
        "retry": OBJECT,
        "partitions": nullable(OBJECT),
        "sensors": {"type": "array", "items": TEXT},
        "last_run": nullable(RUN),
        "last_24h": OBJECT,
    }
)
EVENT = _object(
    {
        "specversion": {"const": "1.0"},
        "id": ID,
        "source": TEXT,
        "type": TEXT,
        "topic": TEXT,
        "also": TEXT,
        "time": TIME,
        "severity": SEVERITY,
        "message": TEXT,
        "subject": TEXT,
        "run": TEXT,
        "job": TEXT,
        "sensor": TEXT,
        "data": OBJECT,
    },
    required=("id", "source", "type", "topic", "time", "severity", "message"),
)
BACKLOG = nullable(_whole({"deliveries": NUMBER, "done": YES}))
_READING = {"lang": nullable(TEXT), "zone": nullable(TEXT)}
SUBSCRIPTION = _object(
    {"id": ID, "topic": TEXT, "destination": TEXT, "where": OBJECT, "backlog": BACKLOG, **_READING},
    required=("id", "topic"),
)
DELIVERY = _object(
    {
        "id": ID,
        "event": ID,
        "subscription": TEXT,
        "destination": TEXT,
        "status": TEXT,
        "attempts": NUMBER,
        "next_attempt_at": nullable(TIME),
        "error": nullable(TEXT),
        "receipt": {},
    },
    required=("id", "event", "destination", "status"),
)
NEW_MUTE = _object(
    {"destination": TEXT, "for": TEXT, "topic": TEXT, "why": TEXT}, required=("destination", "for"), closed=True
)
MUTE = _whole(
    {
        **dict.fromkeys(("destination", "pattern", "person", "name", "why"), TEXT),
        "id": ID,
        "job": nullable(TEXT),
        "at": TIME,
        "until": TIME,
        "held": NUMBER,
    }
)
DESTINATION = _whole(
    {"destination": TEXT, "state": TEXT, "reason": nullable(TEXT), "since": TIME, "moved_to": nullable(TEXT)}
)
INBOX = _object({"id": TEXT, "at": TIME, "severity": SEVERITY, "title": TEXT, "text": TEXT}, required=("id", "at"))
OVERVIEW = _whole(
    {
        "well": YES,
        "sentence": TEXT,
        "problems": {"type": "array", "items": _whole({"kind": TEXT, "text": TEXT, "link": TEXT})},
        "today": OBJECT,
        "open": OBJECT,
        "undelivered": OBJECT,
        "destinations": {"type": "array", "items": DESTINATION},
        "ready": YES,
        "place": NUMBER,
    }
)

LAUNCH = _object(
    {
        "run_config": OBJECT,
        "tags": {"type": "object", "additionalProperties": TEXT},
        "run_key": nullable(TEXT),
        "partition_key": nullable(TEXT),
        "priority": NUMBER,
    },
    closed=True,
)
PLAIN_EVENT = _object(
    {
        "topic": TEXT,
        "message": TEXT,
        "data": {},
        "severity": SEVERITY,
        "type": TEXT,
        "subject": TEXT,
        "source": TEXT,
        "id": TEXT,
        "time": TIME,
        "run": ID,
        "job": TEXT,
        "sensor": TEXT,
    },
    required=("topic",),
    closed=True,
)
CLOUD_EVENT = _object(
    {"specversion": {"const": "1.0"}, "id": TEXT, "source": TEXT, "type": TEXT, "topic": TEXT, "data": {}},
    required=("specversion", "id", "source", "type"),
)
ANY_EVENT: Schema = {"anyOf": [PLAIN_EVENT, CLOUD_EVENT]}
PUBLISH: Schema = {"anyOf": [PLAIN_EVENT, CLOUD_EVENT, {"type": "array", "items": ANY_EVENT, "maxItems": 1000}]}
_TAKEN_ONE = _whole({"id": ID, "duplicate": YES})
PUBLISHED: Schema = {"anyOf": [_TAKEN_ONE, _whole({"items": {"type": "array", "items": _TAKEN_ONE}})]}
WRONG_EVENT = _object({"error": TEXT, "index": NUMBER}, required=("error",))
_PATTERNS: Schema = {"type": "array", "items": TEXT, "maxItems": 50}
_TOKEN = {"name": TEXT, "publish": _PATTERNS, "read": _PATTERNS, "expires_at": nullable(TIME)}
NEW_TOKEN = _object(
    {"name": TEXT, "publish": _PATTERNS, "read": _PATTERNS, "expires": TEXT}, required=("name",), closed=True
)
MADE_TOKEN = _whole({**_TOKEN, "token": TEXT})
TOKEN = _whole({**_TOKEN, "created_at": TIME, "revoked_at": nullable(TIME), "state": TEXT})
TAKEN = _whole({"id": nullable(ID), "duplicate": YES})
LINEAGE = _object({"eventType": TEXT, "eventTime": TEXT, "run": OBJECT, "job": OBJECT, "producer": TEXT}, required=())
SUBSCRIBE = _object(
    {"topic": TEXT, "to": TEXT, "where": OBJECT, "since": TEXT, "lang": {"enum": ["en", "ru"]}, "zone": TEXT},
    required=("topic", "to"),
    closed=True,
)
SUBSCRIBED = _whole(
    {"id": ID, "topic": TEXT, "destination": TEXT, "where": OBJECT, "duplicate": YES, "backlog": BACKLOG, **_READING}
)
PREVIEW = _whole(
    {
        "event": TEXT,
        "type": TEXT,
        "to": TEXT,
        "lang": TEXT,
        "zone": TEXT,
        "parts": {"type": "array", "items": _whole({"text": TEXT, "payload": OBJECT}), "minItems": 1},
        "broken": {"type": "array", "items": TEXT},
    }
)
REPLAY = _object(
    {
        "status": {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]},
        "destination": TEXT,
        "subscription": TEXT,
        "after": TEXT,
        "dry_run": YES,
    },
    required=("status",),
    closed=True,
)
REPLAYED = _whole({"replayed": NUMBER, "next": nullable(TEXT)})
_COUNT = _whole({"destination": TEXT, "status": TEXT, "count": NUMBER, "paused": YES})
COUNTED = _whole({"dry_run": YES, "count": NUMBER, "destinations": {"type": "array", "items": _COUNT}})
RESUME = _object({"destination": TEXT}, required=("destination",), closed=True)
KEY = _object({"sensor": nullable(TEXT), "job": TEXT, "run_key": TEXT}, required=("job", "run_key"), closed=True)
EXPIRE = _object(
    {"older_than": TEXT, "sensor": TEXT, "job": TEXT, "after": TEXT}, required=("older_than",), closed=True
)
EXPIRED = _whole({"forgotten": NUMBER, "next": nullable(TEXT)})
TICKED = _whole(
    {
        "sensor": TEXT,
        "dry_run": YES,
        "ended": {"type": "boolean", "description": "false: it still looks, and this is what it found so far"},
        "sensed": NUMBER,
        "items": {"type": "array", "items": OBJECT},
    }
)
