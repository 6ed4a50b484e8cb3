"""Lists for the API and the command line: JSON-ready, newest first, a page at a time.

A list is `{"items": […], "next": cursor or null}`; the cursor is `after` of the next page. Filters are by field;
ValueError names the fields there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Connection, Table, and_, false, func, or_, select

from notifiers.bus.embedded import from_row
from notifiers.clock import from_us
from notifiers.reading import reading_of
from notifiers.since import Begin, Since, begin_of
from notifiers.tables import backlogs, deliveries, events, inbox, subscriptions
from rules.event import Severity, rfc3339
from rules.topics import check_pattern, matches

MAX_LIMIT = 1000
LOOKED_AT = 20_000
"""Rows of the event log that one page looks at, where no index says which they are."""
_STRIDE = 2000
_CHUNK = 500

JSON = dict[str, Any]
Filters = Mapping[str, str]


def list_subscriptions(conn: Connection, filters: Filters, after: str | None = None, limit: int = 100) -> JSON:
    """Subscriptions that hold; `{"ended": "true"}` gives those that ended. Fields: id topic destination origin."""
    rest = dict(filters)
    ended = _boolean("ended", rest.pop("ended", "false"))
    conditions = _equal(subscriptions, rest, ("id", "topic", "destination", "origin"), more=("ended",))
    conditions.append(subscriptions.c.ended_at.is_not(None) if ended else subscriptions.c.ended_at.is_(None))
    rows, following = _page(conn, subscriptions, subscriptions.c.id, conditions, after, limit)
    pasts = _pasts(conn, [row["id"] for row in rows])
    return {"items": [_subscription(row, pasts) for row in rows], "next": following}


def list_deliveries(conn: Connection, filters: Filters, after: str | None = None, limit: int = 100) -> JSON:
    """Deliveries. Fields: id event subscription destination status."""
    conditions = _equal(deliveries, filters, ("id", "event", "subscription", "destination", "status"))
    rows, following = _page(conn, deliveries, deliveries.c.id, conditions, after, limit)
    return {"items": [_delivery(row) for row in rows], "next": following}


def list_events(
    conn: Connection,
    filters: Filters,
    after: str | None = None,
    limit: int = 100,
    *,
    since: Since | None = None,
    oldest: bool = False,
    within: Sequence[str] | None = None,
) -> JSON:
    """Events. Fields: id type source subject run job sensor; topic (a pattern); severity (`error` or `>=warning`).

    `oldest`: oldest first. `within`: only what one of these patterns takes. At most LOOKED_AT events are looked at
    for a page, so that one of few items, or of none, may have a `next` all the same.
    """
    asked = _asked(filters, within)
    begin = Begin(0) if since is None else begin_of(conn, since)
    if begin.at is not None:
        asked.conditions.append(events.c.time >= begin.at)
    # One by one: asked for both at once, SQLite reads the whole log.
    least, most = conn.scalar(select(func.min(events.c.seq))), conn.scalar(select(func.max(events.c.seq)))
    low, high = max(begin.after, (least or 1) - 1), most or 0
    if after is not None:
        low, high = (max(low, _number(after)), high) if oldest else (low, min(high, _number(after) - 1))
    return _walk(conn, asked, low, high, limit=_bounded(limit), oldest=oldest)


class _Asked(Struct, frozen=True):
    """`conditions` hold together. Each of `either` is a way to find some of the events; `narrow`: by an index."""

    conditions: list[ColumnElement[bool]]
    either: Sequence[ColumnElement[bool] | None]
    narrow: bool
    patterns: Sequence[Sequence[str]]

    def takes(self, row: Mapping[str, Any]) -> bool:
        """SQL narrows; the rules decide (SQLite's LIKE knows no case, and `*` is one token only)."""
        topics = [topic for topic in (row["topic"], row["also"]) if topic is not None]
        return all(any(matches(one, topic) for one in several for topic in topics) for several in self.patterns)


def _asked(filters: Filters, within: Sequence[str] | None) -> _Asked:
    rest = dict(filters)
    pattern, severity = rest.pop("topic", None), rest.pop("severity", None)
    known = ("id", "type", "source", "subject", "run", "job", "sensor")
    conditions = _equal(events, rest, known, more=("topic", "severity", "since", "order"))
    if severity is not None:
        least = Severity.parse(severity.removeprefix(">=").strip())
        conditions.append(events.c.severity >= least if severity.startswith(">=") else events.c.severity == least)
    if pattern is not None:
        check_pattern(pattern)
    patterns = [several for several in ([pattern] if pattern is not None else None, within) if several is not None]
    narrow = bool({"id", "subject", "run"} & rest.keys())
    if pattern is not None and not narrow and not {"*", ">"} & set(pattern.split(".")):
        return _Asked(conditions, (events.c.topic == pattern, events.c.also == pattern), True, patterns)
    for several in patterns:
        if ">" not in several:
            like = [_like(column, one) for one in several for column in (events.c.topic, events.c.also)]
            conditions.append(or_(false(), *like))
    return _Asked(conditions, (None,), narrow, patterns)


def _walk(conn: Connection, asked: _Asked, low: int, high: int, *, limit: int, oldest: bool) -> JSON:
    """A page of the events after `low` up to `high`, and where the next one begins."""
    found: list[Mapping[str, Any]] = []
    looked = 0
    while low < high:
        first, last = low, high
        if not asked.narrow:
            first, last = (low, min(high, low + _STRIDE)) if oldest else (max(low, high - _STRIDE), high)
        wanted = limit + 1 - len(found)
        rows = _fetch(conn, asked, first, last, wanted, oldest=oldest)
        for row in rows:
            if asked.takes(row):
                if len(found) == limit:
                    return _events(found, found[-1]["seq"])
                found.append(row)
        if len(rows) == wanted:
            first, last = (first, rows[-1]["seq"]) if oldest else (rows[-1]["seq"] - 1, last)
        low, high = (last, high) if oldest else (low, first)
        looked += last - first
        if not asked.narrow and looked >= LOOKED_AT and low < high:
            return _events(found, low if oldest else high + 1)
    return _events(found, None)


def _events(found: Sequence[Mapping[str, Any]], following: int | None) -> JSON:
    return {
        "items": [from_row(row).to_json() for row in found],
        "next": None if following is None else str(following),
    }


def _fetch(
    conn: Connection, asked: _Asked, first: int, last: int, wanted: int, *, oldest: bool
) -> Sequence[Mapping[str, Any]]:
    """The first rows after `first` up to `last`, at most so many, in order."""
    order = events.c.seq.asc() if oldest else events.c.seq.desc()
    span = (events.c.seq > first, events.c.seq <= last)
    if len(asked.either) == 1:
        query = select(events).where(*span, *asked.conditions).order_by(order).limit(wanted)
        return [dict(row) for row in conn.execute(query).mappings()]
    # Each of them has an index of its own, in the order that is asked for; together they would have none.
    places: set[int] = set()
    for one in asked.either:
        either = () if one is None else (one,)
        query_ = select(events.c.seq).where(*span, *either, *asked.conditions).order_by(order).limit(wanted)
        places.update(conn.scalars(query_))
    chosen = sorted(places, reverse=not oldest)[:wanted]
    whole: list[Mapping[str, Any]] = []
    for start in range(0, len(chosen), _CHUNK):
        query = select(events).where(events.c.seq.in_(chosen[start : start + _CHUNK])).order_by(order)
        whole += [dict(row) for row in conn.execute(query).mappings()]
    return whole


def list_inbox(conn: Connection, filters: Filters, after: str | None = None, limit: int = 100) -> JSON:
    """Messages of the inbox. Fields: id target."""
    conditions = _equal(inbox, filters, ("id", "target"))
    rows, following = _page(conn, inbox, inbox.c.id, conditions, after, limit)
    return {"items": [_inbox(row) for row in rows], "next": following}


def get_subscription(conn: Connection, id_: str) -> JSON | None:
    """One subscription, ended ones too."""
    row = conn.execute(select(subscriptions).where(subscriptions.c.id == id_)).mappings().first()
    return None if row is None else _subscription(dict(row), _pasts(conn, [id_]))


def get_delivery(conn: Connection, id_: str) -> JSON | None:
    """One delivery."""
    row = conn.execute(select(deliveries).where(deliveries.c.id == id_)).mappings().first()
    return None if row is None else _delivery(dict(row))


def get_event(conn: Connection, id_: str) -> JSON | None:
    """One event, as a CloudEvent."""
    row = conn.execute(select(events).where(events.c.id == id_)).mappings().first()
    return None if row is None else from_row(dict(row)).to_json()


def _pasts(conn: Connection, ids: Sequence[str]) -> dict[str, JSON]:
    """How far those that were to be told of the past have come."""
    rows = conn.execute(select(backlogs).where(backlogs.c.subscription.in_(ids))).mappings()
    return {row["subscription"]: {"deliveries": row["made"], "done": row["ended_at"] is not None} for row in rows}


def _subscription(row: Mapping[str, Any], pasts: Mapping[str, JSON]) -> JSON:
    return {
        "id": row["id"],
        "topic": row["topic"],
        "destination": row["destination"],
        "where": orjson.loads(row["where"]),
        "origin": row["origin"],
        **dict(zip(("lang", "zone"), reading_of(orjson.loads(row["options"] or "{}")), strict=True)),
        "created_at": _time(row["created_at"]),
        "ended_at": _time(row["ended_at"]),
        "backlog": pasts.get(row["id"]),
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
