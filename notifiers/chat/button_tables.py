"""The tables of buttons. Times are whole microseconds since 1970 UTC.

They are Core tables, as nobody maps their rows to objects: a mapped class costs each start of the daemon 5 ms.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table, Text, UniqueConstraint
from sqlmodel import SQLModel

chat_buttons = Table(
    "chat_buttons",
    SQLModel.metadata,
    Column("nonce", String, primary_key=True),
    Column("delivery", String, nullable=False),
    Column("event", String, nullable=False, index=True),
    Column("deed", String, nullable=False),
    Column("run", String, nullable=False),
    Column("job", String, nullable=False),
    Column("destination", String, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("used_at", BigInteger),
    Column("used_by", String),
    Column("used_name", Text),
    Column("outcome", String),
    UniqueConstraint("delivery", "deed"),
)
"""A button under the message of one delivery: made before it is sent, and the same each time that it is.

`nonce` is all that the button carries. `used_at`, `used_by`, `used_name` say who did what it stands for, and
`outcome` what came of it (the id of the new run); they are the same under every message of the event.
"""

chat_changes = Table(
    "chat_changes",
    SQLModel.metadata,
    Column("id", String, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("delivery", String, nullable=False),
    Column("message", String, nullable=False),
)
"""A message that is to show what was done: carried by the delivery of the answer with the same id.

`delivery` is the one whose message it is, `message` the id of that message where it was pressed, else empty.
"""

chat_numbers = Table(
    "chat_numbers",
    SQLModel.metadata,
    Column("name", String, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
)
"""Something heard from a service that had an effect. What is posted to us need not come in its order."""
