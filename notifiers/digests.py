"""Digests: one message in place of many deliveries, each of which ends as the digest's own delivery does.

A digest is made in one transaction with the mark on its members, and its end recorded in one with theirs: whenever the
program ends, a message is waiting, in a digest that is waiting, or told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, exists, select, update

from notifiers.chat.answers import from_json, to_json
from notifiers.clock import from_us
from notifiers.fanout import insert_deliveries, new_delivery
from notifiers.message import Message
from notifiers.noise import DIGEST
from notifiers.noise_tables import digests
from notifiers.tables import deliveries
from rules.event import Event, Severity

SOURCE = "sensord:digests"
_CHUNK = 500
_MENDED = ("held", "dead", "uncertain")


def insert_digest(
    conn: Connection,
    message: Message,
    to: str,
    members: Sequence[str],
    *,
    seq: int,
    new_id: Callable[[], str],
    now: int,
) -> dict[str, Any]:
    """Keep a digest with its delivery, and mark its members, in the caller's transaction; the delivery's row."""
    event = _carrier(new_id(), message.title, message.severity, now)
    conn.execute(
        digests.insert().values(
            id=event.id, at=now, severity=int(message.severity), count=len(members), message=to_json(message)
        )
    )
    row = new_delivery(new_id(), event, seq, subscription=DIGEST, destination=to, now_us=now)
    insert_deliveries(conn, [row])
    for start in range(0, len(members), _CHUNK):
        here = deliveries.c.id.in_(members[start : start + _CHUNK])
        values = {"status": "held", "digest": event.id, "next_attempt_at": None, "error": f"in digest {event.id}"}
        conn.execute(update(deliveries).where(here).values(**values))
    return row


def read_digest(conn: Connection, id_: str) -> tuple[Event, Message]:
    """A digest, and the event that stands for it on its way."""
    row = conn.execute(select(digests).where(digests.c.id == id_)).mappings().one()
    message = from_json(row["message"])
    return _carrier(id_, message.title, message.severity, row["at"]), message


def end_members(
    conn: Connection,
    digest: str,
    status: str,
    receipts: Sequence[Mapping[str, Any] | None],
    error: str | None,
    now: int,
) -> None:
    """End a digest's members as its own delivery ended, and with its receipts."""
    got = [{**receipt, "digest": digest} for receipt in receipts if receipt is not None]
    mine = (deliveries.c.digest == digest) & deliveries.c.status.in_(_MENDED)
    said = None if status == "delivered" else f"in digest {digest}: {error}"
    values = {"status": status, "receipts": orjson.dumps(got).decode(), "error": said, "ended_at": now}
    conn.execute(update(deliveries).where(mine).values(**values))


def dissolve(conn: Connection, digest: str, *, until: int, by: str, why: str) -> None:
    """Let what was to be told in a digest wait for another one."""
    mine = (deliveries.c.digest == digest) & (deliveries.c.status == "held")
    values = {"digest": None, "next_attempt_at": until, "held_by": by, "error": why}
    conn.execute(update(deliveries).where(mine).values(**values))


def has_members(conn: Connection, digest: str) -> bool:
    """Whether something would still be told by it."""
    mine = exists().where(deliveries.c.digest == digest, deliveries.c.status.in_(_MENDED))
    return bool(conn.scalar(select(mine)))


def _carrier(id_: str, title: str, severity: Severity, at: int) -> Event:
    return Event(
        id=id_, type="digest", topic="digest", time=from_us(at), source=SOURCE, severity=severity, message=title
    )
