"""The chats' tables. Times are whole microseconds since 1970 UTC; JSON is text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, String, Table, Text

from notifiers.columns import column, metadata

chat_cursors = Table(
    "chat_cursors",
    metadata,
    column("name", String, primary_key=True),
    column("number", BigInteger),
    column("at", BigInteger),
)
"""The last thing heard from a service that had an effect: moved in the transaction of that effect."""

chat_heard = Table(
    "chat_heard",
    metadata,
    column("of", String, primary_key=True),
    column("id", String, primary_key=True),
    column("at", BigInteger, index=True),
)
"""Something heard that had an effect, by the service's own id: written in the transaction of that effect."""

chat_answers = Table(
    "chat_answers",
    metadata,
    column("id", String, primary_key=True),
    column("at", BigInteger, index=True),
    column("message", Text),
)
"""A message for one chat alone. A delivery whose `event` is its id carries it there."""

chat_invites = Table(
    "chat_invites",
    metadata,
    column("digest", String, primary_key=True),
    column("role", String),
    column("topics", Text),
    column("created_at", BigInteger),
    column("expires_at", BigInteger),
    column("used_at", BigInteger, nullable=True),
    column("used_by", String, nullable=True),
)
"""An invitation: whoever shows its token first gets the role. Of the token, only its SHA-256 is kept."""

chat_guests = Table(
    "chat_guests",
    metadata,
    column("id", String, primary_key=True),
    column("person", String, index=True),
    column("name", Text),
    column("role", String),
    column("topics", Text),
    column("since", BigInteger),
    column("ended_at", BigInteger, nullable=True),
)
"""A role that somebody has by an invitation, until it is taken away."""

chat_acts = Table(
    "chat_acts",
    metadata,
    column("id", String, primary_key=True),
    column("at", BigInteger, index=True),
    column("person", String),
    column("name", Text),
    column("place", String),
    column("act", String),
    column("allowed", Boolean),
    column("detail", Text),
)
"""Who did what from a chat, or was refused it. `id` is that of the event that tells of it."""

chat_readings = Table(
    "chat_readings",
    metadata,
    column("place", String, primary_key=True),
    column("lang", String, nullable=True),
    column("zone", String, nullable=True),
    column("at", BigInteger),
)
"""The language and the clock that `/lang` asked for in a place: of answers, also where it is told of nothing yet."""

chat_granted = Table(
    "chat_granted",
    metadata,
    column("person", String, primary_key=True),
    column("at", BigInteger),
)
"""Who had a role by the configuration when it was last loaded: so it shows who has none any more."""
