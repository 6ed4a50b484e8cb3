"""Lists for the API and the command line: JSON-ready, newest first, a page at a time.

A list is `{"items": […], "next": cursor or null}`; the cursor is `after` of the next page. Filters are by field;
ValueError names the fields there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Column, ColumnElement, Connection, Table, and_, func, or_, select

from notifiers.bus.embedded import from_row
from notifiers.clock import from_us
from notifiers.tables import deliveries, events, inbox, subscriptions
from rules.event import Severity, rfc3339
from rules.topics import check_pattern, matches

MAX_LIMIT = 1000

JSON = dict[str, Any]
Filters = Mapping[str, str]


def list_subscriptions(conn: Connection, filters: Filters, after: str | None = None, limit: int = 100) -> JSON:
    """Subscriptions that hold; `{"ended": "true"}` gives those that ended. Fields: id topic destination origin."""
    rest = dict(filters)
    ended = _boolean("ended", rest.pop("ended", "false"))
    conditions = _equal(subscriptions, rest, ("id", "topic", "destination", "origin"), more=("ended",))
    conditions.append(subscriptions.c.ended_at.is_not(None) if ended else subscriptions.c.ended_at.is_(None))
    rows, following = _page(conn, subscriptions, subscriptions.c.id, conditions, after, limit)
    return {"items": [_subscription(row) for row in rows], "next": following}


def list_deliveries(conn: Connection, filters: Filters, after: str | None = None, limit: int = 100) -> JSON:
    """Deliveries. Fields: id event subscription destination status."""
    conditions = _equal(deliveries, filters, ("id", "event", "subscription", "destination", "status"))
    rows, following = _page(conn, deliveries, deliveries.c.id, conditions, after, limit)
    return {"items": [_delivery(row) for row in rows], "next": following}


def list_events(conn: Connection, filters: Filters, after: str | None = None, limit: int = 100) -> JSON:
    """Events. Fields: id type source subject run job sensor; topic (a pattern); severity (`error` or `>=warning`)."""
    rest = dict(filters)
    pattern, severity = rest.pop("topic", None), rest.pop("severity", None)
    known = ("id", "type", "source", "subject", "run", "job", "sensor")
    conditions = _equal(events, rest, known, more=("topic", "severity"))
    if severity is not None:
        least = Severity.parse(severity.removeprefix(">=").strip())
        conditions.append(events.c.severity >= least if severity.startswith(">=") else events.c.severity == least)
    if pattern is not None:
        check_pattern(pattern)
        conditions.append(or_(_like(events.c.topic, pattern), _like(events.c.also, pattern)))
    items: list[JSON] = []
    while True:
        rows, after = _page(conn, events, events.c.seq, conditions, after, limit)
        for row in rows:
            # SQL narrows; the rules decide (SQLite's LIKE knows no case, and `*` is one token only).
            if pattern is None or any(matches(pattern, topic) for topic in (row["topic"], row["also"]) if topic):
                items.append(from_row(row).to_json())
                if len(items) == _bounded(limit):
                    more = after is not None or row is not rows[-1]
                    return {"items": items, "next": str(row["seq"]) if more else None}
        if after is None:
            return {"items": items, "next": None}


def list_inbox(conn: Connection, filters: Filters, after: str | None = None, limit: int = 100) -> JSON:
    """Messages of the inbox. Fields: id target."""
    conditions = _equal(inbox, filters, ("id", "target"))
    rows, following = _page(conn, inbox, inbox.c.id, conditions, after, limit)
    return {"items": [_inbox(row) for row in rows], "next": following}


def get_subscription(conn: Connection, id_: str) -> JSON | None:
    """One subscription, ended ones too."""
    row = conn.execute(select(subscriptions).where(subscriptions.c.id == id_)).mappings().first()
    return None if row is None else _subscription(dict(row))


def get_delivery(conn: Connection, id_: str) -> JSON | None:
    """One delivery."""
    row = conn.execute(select(deliveries).where(deliveries.c.id == id_)).mappings().first()
    return None if row is None else _delivery(dict(row))


def get_event(conn: Connection, id_: str) -> JSON | None:
    """One event, as a CloudEvent."""
    row = conn.execute(select(events).where(events.c.id == id_)).mappings().first()
    return None if row is None else from_row(dict(row)).to_json()


def _subscription(row: Mapping[str, Any]) -> JSON:
    return {
        "id": row["id"],
        "topic": row["topic"],
        "destination": row["destination"],
        "where": orjson.loads(row["where"]),
        "origin": row["origin"],
        "created_at": _time(row["created_at"]),
        "ended_at": _time(row["ended_at"]),
    }


def _delivery(row: Mapping[str, Any]) -> JSON:
    receipts = [receipt for receipt in orjson.loads(row["receipts"]) if receipt is not None]
    receipt = receipts[0] if receipts else None
    if receipt is not None and len(receipts) > 1:
        receipt = {**receipt, "parts": receipts}
    return {
        "id": row["id"],
        "event": row["event"],
        "subscription": row["subscription"],
        "destination": row["destination"],
        "status": row["status"],
        "attempts": row["attempts"],
        "next_attempt_at": _time(row["next_attempt_at"]),
        "error": row["error"],
        "receipt": receipt,
    }


def _inbox(row: Mapping[str, Any]) -> JSON:
    return {
        "id": row["id"],
        "target": row["target"],
        "at": _time(row["at"]),
        "severity": Severity(row["severity"]).name,
        "title": row["title"],
        "text": row["text"],
        "message": orjson.loads(row["message"]),
    }


def _time(us: int | None) -> str | None:
    return None if us is None else rfc3339(from_us(us))


def _equal(table: Table, filters: Filters, known: Sequence[str], more: Sequence[str] = ()) -> list[ColumnElement[bool]]:
    for name in filters:
        if name not in known:
            raise ValueError(f"{table.name} have no filter {name!r}; there are {', '.join((*known, *more))}")
    return [table.c[name] == value for name, value in filters.items()]


def _boolean(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError(f"{name} is true or false, found {value!r}")
    return value == "true"


def _bounded(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit is 1 to {MAX_LIMIT}, found {limit}")
    return limit


def _page(
    conn: Connection,
    table: Table,
    key: Column[Any],
    conditions: Sequence[ColumnElement[bool]],
    after: str | None,
    limit: int,
) -> tuple[list[Mapping[str, Any]], str | None]:
    """Rows after a key, newest first, and the key to go on from if there are more."""
    query = select(table).where(*conditions).order_by(key.desc()).limit(_bounded(limit) + 1)
    if after is not None:
        query = query.where(key < (_number(after) if key is events.c.seq else after))
    rows: list[Mapping[str, Any]] = [dict(row) for row in conn.execute(query).mappings()]
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], str(rows[limit - 1][key.name])


def _number(after: str) -> int:
    if not after.isdecimal() or len(after) > len(str(2**62)):
        raise ValueError(f"after is the `next` of the page before, found {after[:40]!r}")
    return int(after)


def _like(column: Column[Any], pattern: str) -> ColumnElement[bool]:
    """At least what the pattern takes: each wildcard as LIKE's, and the right number of tokens."""
    if not {"*", ">"} & set(pattern.split(".")):
        return column == pattern
    tokens = pattern.split(".")
    text = ".".join("%" if token in {"*", ">"} else _escaped(token) for token in tokens)
    dots = func.length(column) - func.length(func.replace(column, ".", ""))
    enough = dots >= len(tokens) - 1 if tokens[-1] == ">" else dots == len(tokens) - 1
    return and_(column.like(text, escape="\\"), enough)


def _escaped(token: str) -> str:
    return token.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
