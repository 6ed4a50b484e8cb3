"""What a message of the queue says: S3's own notices, the same wrapped by SNS, and EventBridge's events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_plus

from msgspec import Struct

from sensord.sources.s3_objects import UNVERSIONED

_WRAPPINGS = 3
# Ceph puts keys into its notices as they are; the others encode them as forms are.
_PLAIN = "ceph:"
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Notice(Struct, frozen=True):
    """An object that was made, says a message. `etag` and `size` are None where it does not say.

    `order` tells which of two uploads of one key was the later: it sorts after the other.
    """

    bucket: str
    key: str
    etag: str | None
    size: int | None
    version: str | None
    at: str
    order: str = ""


class News(Struct, frozen=True):
    """What a message says: of which buckets it is, and which objects were made. Other news of objects makes none."""

    buckets: frozenset[str]
    made: Sequence[Notice] = ()


def read_news(body: str) -> News | None:
    """What a message says; None if it is no news of any bucket."""
    message: Any = body
    try:
        for _ in range(_WRAPPINGS):
            message = json.loads(message)
            if not (isinstance(message, dict) and isinstance(message.get("Message"), str)):
                break
            message = message["Message"]
        if not isinstance(message, dict):
            return None
        if message.get("source") == "aws.s3":
            return _of_eventbridge(message)
        if message.get("Event") == "s3:TestEvent":
            return News(frozenset({_text(message["Bucket"])}))
    except _UNREADABLE:
        return None
    return _of_records(message.get("Records"))


def _of_records(records: Any) -> News | None:
    """What can be read of them; None if nothing can be."""
    buckets: set[str] = set()
    made: list[Notice] = []
    for record in records if isinstance(records, list) else ():
        with suppress(*_UNREADABLE):
            notice = _of_record(record)
            if str(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated:"):
                made.append(notice)
            buckets.add(notice.bucket)
    return News(frozenset(buckets), made) if buckets else None


def _of_record(record: Mapping[str, Any]) -> Notice:
    thing = record["s3"]["object"]
    plain = str(record.get("eventSource", "")).startswith(_PLAIN)
    key = _text(thing["key"])
    return _notice(
        record["s3"]["bucket"]["name"],
        key if plain else unquote_plus(key),
        thing.get("eTag"),
        thing.get("size"),
        thing.get("versionId"),
        record.get("eventTime"),
        thing.get("sequencer"),
    )


def _of_eventbridge(event: Mapping[str, Any]) -> News:
    detail = event["detail"]
    thing = detail["object"]
    notice = _notice(
        detail["bucket"]["name"],
        thing["key"],
        thing.get("etag"),
        thing.get("size"),
        thing.get("version-id"),
        event.get("time"),
        thing.get("sequencer"),
    )
    return News(frozenset({notice.bucket}), [notice] if event["detail-type"] == "Object Created" else [])


def _notice(bucket: Any, key: Any, etag: Any, size: Any, version: Any, at: Any, order: Any) -> Notice:
    return Notice(
        bucket=_text(bucket),
        key=_text(key),
        etag=str(etag).strip('"') if etag else None,
        size=None if size is None else int(size),
        version=None if version in UNVERSIONED else str(version),
        at=str(at or ""),
        order=str(order or ""),
    )


def _text(value: Any) -> str:
    """A text that a bucket or a key can be; ValueError if it is none, such as half of a pair of surrogates."""
    text = str(value)
    text.encode()
    return text
