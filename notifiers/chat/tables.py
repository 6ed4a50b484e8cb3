"""The chats' tables. Times are whole microseconds since 1970 UTC; JSON is text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text
from sqlmodel import Field

from notifiers.tables import Row, table


class ChatCursorRow(Row, table=True):
    """The last thing heard from a service that had an effect: moved in the transaction of that effect."""

    __tablename__ = "chat_cursors"

    name: str = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    at: int = Field(sa_type=BigInteger)


class ChatHeardRow(Row, table=True):
    """Something heard that had an effect, by the service's own id: written in the transaction of that effect."""

    __tablename__ = "chat_heard"

    of: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger, index=True)


class ChatAnswerRow(Row, table=True):
    """A message for one chat alone. A delivery whose `event` is its id carries it there."""

    __tablename__ = "chat_answers"

    id: str = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger, index=True)
    message: str = Field(sa_type=Text)


class ChatInviteRow(Row, table=True):
    """An invitation: whoever shows its token first gets the role. Of the token, only its SHA-256 is kept."""

    __tablename__ = "chat_invites"

    digest: str = Field(primary_key=True)
    role: str
    topics: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    used_at: int | None = Field(default=None, sa_type=BigInteger)
    used_by: str | None = None


class ChatGuestRow(Row, table=True):
    """A role that somebody has by an invitation, until it is taken away."""

    __tablename__ = "chat_guests"

    id: str = Field(primary_key=True)
    person: str = Field(index=True)
    name: str = Field(sa_type=Text)
    role: str
    topics: str = Field(sa_type=Text)
    since: int = Field(sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)


class ChatActRow(Row, table=True):
    """Who did what from a chat, or was refused it. `id` is that of the event that tells of it."""

    __tablename__ = "chat_acts"

    id: str = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger, index=True)
    person: str
    name: str = Field(sa_type=Text)
    place: str
    act: str
    allowed: bool
    detail: str = Field(sa_type=Text)


chat_cursors = table(ChatCursorRow)
chat_heard = table(ChatHeardRow)
chat_answers = table(ChatAnswerRow)
chat_invites = table(ChatInviteRow)
chat_guests = table(ChatGuestRow)
chat_acts = table(ChatActRow)
