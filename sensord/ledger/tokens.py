"""Tokens in the database: a row a name, the secret as a hash, and an event for each that comes or goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct
from sqlalchemy import Connection, or_, select, update

from notifiers.bus.embedded import append
from notifiers.clock import from_us
from notifiers.database import insert_into
from rules.event import Event, Severity, rfc3339
from sensord.ledger.tables import tokens

SOURCE = "sensord:tokens"


class Token(Struct, frozen=True, kw_only=True):
    """One that holds. `hash` is the SHA-256 of its secret half, in hexadecimal. Times in microseconds."""

    id: str
    name: str
    hash: str
    publish: tuple[str, ...]
    read: tuple[str, ...]
    expires_at: int | None

    def as_json(self) -> dict[str, Any]:
        """What may be shown of it."""
        return {"name": self.name, "publish": self.publish, "read": self.read, "expires_at": _time(self.expires_at)}


class NewToken(Struct, frozen=True):
    """Somebody makes a token; `event` is the id of the event that says so."""

    token: Token
    now: int
    event: str


class Revoked(Struct, frozen=True):
    """Somebody ends a token; `event` is the id of the event that says so."""

    name: str
    now: int
    event: str


def add_tokens(conn: Connection, batch: Sequence[NewToken]) -> list[bool]:
    """Keep new tokens. False: one of that name holds; one that ended gives its name away."""
    return [_add(conn, new) for new in batch]


def _add(conn: Connection, new: NewToken) -> bool:
    token = new.token
    row = {
        "name": token.name,
        "id": token.id,
        "hash": token.hash,
        "publish": orjson.dumps(token.publish).decode(),
        "read": orjson.dumps(token.read).decode(),
        "created_at": new.now,
        "expires_at": token.expires_at,
        "revoked_at": None,
    }
    ended = or_(tokens.c.revoked_at.is_not(None), tokens.c.expires_at <= new.now)
    statement = insert_into(tokens, conn.dialect).values(row)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_=row, where=ended)
    if conn.execute(statement.returning(tokens.c.name)).first() is None:
        return False
    append(conn, [_event("created", token.name, new.now, new.event, token.as_json())])
    return True


def revoke_tokens(conn: Connection, batch: Sequence[Revoked]) -> list[bool]:
    """End tokens. False: none of that name holds."""
    results: list[bool] = []
    for one in batch:
        holds = (tokens.c.name == one.name) & tokens.c.revoked_at.is_(None)
        gone = conn.execute(update(tokens).where(holds).values(revoked_at=one.now)).rowcount == 1
        if gone:
            append(conn, [_event("revoked", one.name, one.now, one.event, {"name": one.name})])
        results.append(gone)
    return results


def load_tokens(conn: Connection) -> list[Token]:
    """Those that were not revoked; some of them may be over."""
    rows = conn.execute(select(tokens).where(tokens.c.revoked_at.is_(None))).mappings()
    return [_token(dict(row)) for row in rows]


def list_tokens(conn: Connection, now: int) -> list[dict[str, Any]]:
    """Every token as it may be shown, with its state, by name."""
    rows = map(dict, conn.execute(select(tokens).order_by(tokens.c.name)).mappings())
    return [
        {
            **_token(row).as_json(),
            "created_at": _time(row["created_at"]),
            "revoked_at": _time(row["revoked_at"]),
            "state": _state(row, now),
        }
        for row in rows
    ]


def _state(row: Mapping[str, Any], now: int) -> str:
    if row["revoked_at"] is not None:
        return "revoked"
    return "expired" if row["expires_at"] is not None and row["expires_at"] <= now else "active"


def _token(row: Mapping[str, Any]) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        hash=row["hash"],
        publish=tuple(orjson.loads(row["publish"])),
        read=tuple(orjson.loads(row["read"])),
        expires_at=row["expires_at"],
    )


def _time(us: int | None) -> str | None:
    return None if us is None else rfc3339(from_us(us))


def _event(what: str, name: str, now: int, id_: str, data: Mapping[str, Any]) -> Event:
    return Event(
        id=id_,
        type="message",
        topic=f"tokens.{what}",
        time=from_us(now),
        source=SOURCE,
        severity=Severity.info,
        message=f"The token {name} was {what}",
        subject=name,
        data=dict(data),
    )
