"""What a message of the queue says: S3's own notices, the same wrapped by SNS, and EventBridge's events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

_WRAPPINGS = 3
# Ceph puts keys into its notices as they are; the others encode them as forms are.
_PLAIN = "ceph:"
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Notice:
    """An object that was made, says a message. `etag` and `size` are None where it does not say."""

    bucket: str
    key: str
    etag: str | None
    size: int | None
    version: str | None
    at: str


def read_notices(body: str) -> list[Notice] | None:
    """The objects that a message says were made; none for other news of objects, None if it is no notice at all."""
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
            return list(_of_eventbridge(message))
    except _UNREADABLE:
        return None
    return _of_records(message.get("Records"))


def _of_records(records: Any) -> list[Notice] | None:
    """What can be read of them; None if nothing can be."""
    notices: list[Notice] = []
    readable = False
    for record in records if isinstance(records, list) else ():
        with suppress(*_UNREADABLE):
            notices += _of_record(record)
            readable = True
    return notices if readable else None


def _of_record(record: Mapping[str, Any]) -> Iterator[Notice]:
    thing = record["s3"]["object"]
    if not str(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated:"):
        return
    plain = str(record.get("eventSource", "")).startswith(_PLAIN)
    key = str(thing["key"])
    yield _notice(
        str(record["s3"]["bucket"]["name"]),
        key if plain else unquote_plus(key),
        thing.get("eTag"),
        thing.get("size"),
        thing.get("versionId"),
        record.get("eventTime"),
    )


def _of_eventbridge(event: Mapping[str, Any]) -> Iterator[Notice]:
    detail = event["detail"]
    thing = detail["object"]
    if event["detail-type"] == "Object Created":
        yield _notice(
            str(detail["bucket"]["name"]),
            str(thing["key"]),
            thing.get("etag"),
            thing.get("size"),
            thing.get("version-id"),
            event.get("time"),
        )


def _notice(bucket: str, key: str, etag: Any, size: Any, version: Any, at: Any) -> Notice:
    return Notice(
        bucket=bucket,
        key=key,
        etag=str(etag).strip('"') if etag else None,
        size=None if size is None else int(size),
        version=str(version) if version and version != "null" else None,
        at=str(at or ""),
    )
