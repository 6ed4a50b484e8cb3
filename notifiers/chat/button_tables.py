"""The tables of buttons. Times are whole microseconds since 1970 UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text, UniqueConstraint
from sqlmodel import Field

from notifiers.tables import Row, table


class ChatButtonRow(Row, table=True):
    """A button under the message of one delivery: made before it is sent, and the same each time that it is.

    `nonce` is all that the button carries. `used_at`, `used_by`, `used_name` say who did what it stands for, and
    `outcome` what came of it (the id of the new run); they are the same under every message of the event.
    """

    __tablename__ = "chat_buttons"
    __table_args__ = (UniqueConstraint("delivery", "deed"),)

    nonce: str = Field(primary_key=True)
    delivery: str
    event: str = Field(index=True)
    deed: str
    run: str
    job: str
    destination: str
    made_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger, index=True)
    used_at: int | None = Field(default=None, sa_type=BigInteger)
    used_by: str | None = None
    used_name: str | None = Field(default=None, sa_type=Text)
    outcome: str | None = None


class ChatChangeRow(Row, table=True):
    """A message that is to show what was done: carried by the delivery of the answer with the same id.

    `delivery` is the one whose message it is, `message` the id of that message where it was pressed, else empty.
    """

    __tablename__ = "chat_changes"

    id: str = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger, index=True)
    delivery: str
    message: str


class ChatNumberRow(Row, table=True):
    """Something heard from a service that had an effect. What is posted to us need not come in its order."""

    __tablename__ = "chat_numbers"

    name: str = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger, primary_key=True)
    at: int = Field(sa_type=BigInteger, index=True)


chat_numbers = table(ChatNumberRow)
chat_buttons = table(ChatButtonRow)
chat_changes = table(ChatChangeRow)
