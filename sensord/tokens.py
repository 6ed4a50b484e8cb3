"""Tokens for programs, each for some topics: made, kept as hashes, looked up in memory, revoked at once.

The process that owns the database is the only one that changes them, so what it has in memory is what holds.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Literal

from msgspec import Struct

from notifiers.clock import Clock, to_us
from notifiers.database import Database
from rules.topics import matches
from sensord.ledger.tokens import NewToken, Revoked, Token, add_tokens, load_tokens, revoke_tokens

Scope = Literal["publish", "read"]

_PREFIX = "sensord_"
_NOBODY = Token(id="", name="", hash=sha256(b"nobody").hexdigest(), publish=(), read=(), expires_at=0)


class Access(Struct, frozen=True):
    """What may be done: patterns of topics to publish on and to read. None: everything, there and elsewhere."""

    name: str | None = None
    publish: Sequence[str] | None = None
    read: Sequence[str] | None = None
    id: str = ""

    @property
    def full(self) -> bool:
        """Whether everything may be done."""
        return self.publish is None

    def allows(self, scope: Scope | None) -> bool:
        """Whether anything at all may be done there; without a scope only those may who may do everything."""
        if self.publish is None or self.read is None:
            return True
        return scope is not None and bool(self.publish if scope == "publish" else self.read)

    def publishes(self, topics: Iterable[str]) -> bool:
        """Whether an event may be published: every topic of it."""
        patterns = self.publish
        return patterns is None or all(any(matches(one, topic) for one in patterns) for topic in topics)

    def reads(self, topics: Iterable[str]) -> bool:
        """Whether an event may be read: by any topic of it."""
        patterns = self.read
        return patterns is None or any(matches(one, topic) for topic in topics for one in patterns)


FULL = Access()


class Tokens:
    """The tokens that hold. `load` before anything else."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._held: dict[str, Token] = {}

    async def load(self) -> None:
        """Take them from the database."""
        self._held = {token.id: token for token in await self._database.read(load_tokens)}

    def find(self, given: str) -> Access | None:
        """What the token that was sent allows; None where there is none such, or no longer.

        Its first half, which is no secret, says which it may be; the secret is compared as a hash, in a time that
        says nothing of it.
        """
        id_, _, secret = given.removeprefix(_PREFIX).partition("_")
        token = self._held.get(id_, _NOBODY) if given.startswith(_PREFIX) else _NOBODY
        good = compare_digest(_hash(secret), token.hash)
        if not good or not self._holds(token):
            return None
        return Access(token.name, token.publish, token.read, token.id)

    def hold(self, access: Access) -> bool:
        """Whether what was found still holds: for answers that go on and on."""
        if access.full:
            return True
        token = self._held.get(access.id)
        return token is not None and self._holds(token)

    def _holds(self, token: Token) -> bool:
        return token.expires_at is None or to_us(self._clock.now()) < token.expires_at

    async def create(
        self, name: str, *, publish: Sequence[str], read: Sequence[str], seconds: float | None
    ) -> Mapping[str, Any] | None:
        """Make a token; with `token`, which nobody can be told again. None: one of that name holds."""
        now = to_us(self._clock.now())
        id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        token = Token(
            id=id_,
            name=name,
            hash=_hash(secret),
            publish=tuple(publish),
            read=tuple(read),
            expires_at=None if seconds is None else now + round(seconds * 1e6),
        )
        if not await self._database.write(add_tokens, NewToken(token, now, self._clock.new_id())):
            return None
        self._held = {key: one for key, one in self._held.items() if one.name != name} | {id_: token}
        return {**token.as_json(), "token": f"{_PREFIX}{id_}_{secret}"}

    async def revoke(self, name: str) -> bool:
        """End a token, at once. False: none of that name holds."""
        now = to_us(self._clock.now())
        if not await self._database.write(revoke_tokens, Revoked(name, now, self._clock.new_id())):
            return False
        self._held = {key: one for key, one in self._held.items() if one.name != name}
        return True


def _hash(secret: str) -> str:
    """A secret of 256 random bits needs no slow hash: there is nothing to guess it from."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
