"""Who may do what: the configuration's roles, and those that came by an invitation."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson
from msgspec import Struct
from sqlalchemy import Connection, select, update

from notifiers.chat import Person
from notifiers.chat.tables import chat_guests, chat_invites
from notifiers.clock import from_us
from notifiers.outcomes import storable
from rules.event import rfc3339
from rules.rights import Grant, Role

new_token: Callable[[], str] = lambda: secrets.token_urlsafe(24)  # noqa: E731 - a value that a test may replace
"""192 random bits as 32 characters of those that a deep link takes."""


class Invite(Struct, frozen=True, kw_only=True):
    """An invitation to be kept. Times in microseconds."""

    token: str
    grant: Grant
    now: int
    expires_at: int


class Removed(Struct, frozen=True, kw_only=True):
    """Somebody is no longer a guest."""

    person: str
    now: int


def add_invites(conn: Connection, batch: Sequence[Invite]) -> list[None]:
    """Keep invitations, each under its token's digest."""
    for invite in batch:
        conn.execute(
            chat_invites.insert().values(
                digest=_digest(invite.token),
                role=invite.grant.role.name,
                topics=orjson.dumps(invite.grant.topics).decode(),
                created_at=invite.now,
                expires_at=invite.expires_at,
                used_at=None,
                used_by=None,
            )
        )
    return [None] * len(batch)


def use_invite(conn: Connection, token: str, person: Person, *, guest: str, now: int) -> Grant | None:
    """Give the person what the invitation gives, once. None: there is none, it was used, or it is too old."""
    here = chat_invites.c.digest == _digest(token)
    fresh = here & chat_invites.c.used_at.is_(None) & (chat_invites.c.expires_at > now)
    if conn.execute(update(chat_invites).where(fresh).values(used_at=now, used_by=person.id)).rowcount != 1:
        return None
    row = conn.execute(select(chat_invites.c.role, chat_invites.c.topics).where(here)).one()
    conn.execute(
        chat_guests.insert().values(
            id=guest,
            person=person.id,
            name=storable(person.name),
            role=row.role,
            topics=row.topics,
            since=now,
            ended_at=None,
        )
    )
    return _grant(row.role, row.topics)


def remove_guests(conn: Connection, batch: Sequence[Removed]) -> list[int]:
    """Take away what invitations gave; how many roles that were, for each."""
    holds = chat_guests.c.ended_at.is_(None)
    return [
        conn.execute(
            update(chat_guests).where(holds, chat_guests.c.person == one.person).values(ended_at=one.now)
        ).rowcount
        for one in batch
    ]


def guest_grants(conn: Connection, person: str) -> tuple[Grant, ...]:
    """What a person may do because of invitations."""
    holds = (chat_guests.c.person == person) & chat_guests.c.ended_at.is_(None)
    rows = conn.execute(select(chat_guests.c.role, chat_guests.c.topics).where(holds).order_by(chat_guests.c.id))
    return tuple(_grant(role, topics) for role, topics in rows)


def list_people(conn: Connection, configured: Mapping[str, Sequence[Grant]]) -> list[dict[str, Any]]:
    """Everybody who may do something, with their role and topics, and since when where it came by an invitation."""
    people: list[dict[str, Any]] = [
        {"person": person, "name": None, "role": grant.role.name, "topics": list(grant.topics), "since": None}
        for person, grants in sorted(configured.items())
        for grant in grants
    ]
    held = select(chat_guests).where(chat_guests.c.ended_at.is_(None)).order_by(chat_guests.c.id)
    for row in conn.execute(held).mappings():
        grant = _grant(row["role"], row["topics"])
        since = rfc3339(from_us(row["since"]))
        more = {"role": grant.role.name, "topics": list(grant.topics), "since": since}
        people.append({"person": row["person"], "name": row["name"], **more})
    return people


def _grant(role: str, topics: str) -> Grant:
    return Grant(Role.parse(role), tuple(orjson.loads(topics)))


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
