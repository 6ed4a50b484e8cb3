"""The tables of buttons. Times are whole microseconds since 1970 UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, Table, Text, UniqueConstraint

from notifiers.columns import column, metadata

chat_buttons = Table(
    "chat_buttons",
    metadata,
    column("nonce", String, primary_key=True),
    column("delivery", String),
    column("event", String, index=True),
    column("deed", String),
    column("run", String),
    column("job", String),
    column("destination", String),
    column("made_at", BigInteger),
    column("expires_at", BigInteger, index=True),
    column("used_at", BigInteger, nullable=True),
    column("used_by", String, nullable=True),
    column("used_name", Text, nullable=True),
    column("outcome", String, nullable=True),
    UniqueConstraint("delivery", "deed"),
)
"""A button under the message of one delivery: made before it is sent, and the same each time that it is.

`nonce` is all that the button carries. `used_at`, `used_by`, `used_name` say who did what it stands for, and
`outcome` what came of it (the id of the new run); they are the same under every message of the event.
"""

chat_changes = Table(
    "chat_changes",
    metadata,
    column("id", String, primary_key=True),
    column("at", BigInteger, index=True),
    column("delivery", String),
    column("message", String),
)
"""A message that is to show what was done: carried by the delivery of the answer with the same id.

`delivery` is the one whose message it is, `message` the id of that message where it was pressed, else empty.
"""

chat_numbers = Table(
    "chat_numbers",
    metadata,
    column("name", String, primary_key=True),
    column("number", BigInteger, primary_key=True),
    column("at", BigInteger, index=True),
)
"""Something heard from a service that had an effect. What is posted to us need not come in its order."""
