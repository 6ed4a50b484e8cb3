"""The chats' tables. Times are whole microseconds since 1970 UTC; JSON is text.

They are Core tables, as nobody maps their rows to objects: a mapped class costs each start of the daemon 5 ms.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, String, Table, Text
from sqlmodel import SQLModel

chat_cursors = Table(
    "chat_cursors",
    SQLModel.metadata,
    Column("name", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""The last thing heard from a service that had an effect: moved in the transaction of that effect."""

chat_heard = Table(
    "chat_heard",
    SQLModel.metadata,
    Column("of", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
)
"""Something heard that had an effect, by the service's own id: written in the transaction of that effect."""

chat_answers = Table(
    "chat_answers",
    SQLModel.metadata,
    Column("id", String, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("message", Text, nullable=False),
)
"""A message for one chat alone. A delivery whose `event` is its id carries it there."""

chat_invites = Table(
    "chat_invites",
    SQLModel.metadata,
    Column("digest", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("topics", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("used_by", String),
)
"""An invitation: whoever shows its token first gets the role. Of the token, only its SHA-256 is kept."""

chat_guests = Table(
    "chat_guests",
    SQLModel.metadata,
    Column("id", String, primary_key=True),
    Column("person", String, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("role", String, nullable=False),
    Column("topics", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)
"""A role that somebody has by an invitation, until it is taken away."""

chat_acts = Table(
    "chat_acts",
    SQLModel.metadata,
    Column("id", String, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("person", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("place", String, nullable=False),
    Column("act", String, nullable=False),
    Column("allowed", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Who did what from a chat, or was refused it. `id` is that of the event that tells of it."""
