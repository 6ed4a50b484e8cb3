"""The tables of dialogues. Times are whole microseconds since 1970 UTC; JSON is text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text
from sqlmodel import Field

from notifiers.tables import Row, table


class ChatDialogueRow(Row, table=True):
    """Somebody is asked for a job's parameters in one place.

    `given` is what they said so far, by name, and `skipped` the names that they left out; `asked` is the parameter
    that is waited for, None where only the word to run is. `step` counts what was said: each counts once.
    """

    __tablename__ = "chat_dialogues"

    id: str = Field(primary_key=True)
    person: str = Field(index=True)
    place: str
    job: str
    given: str = Field(sa_type=Text)
    skipped: str = Field(sa_type=Text)
    asked: str | None = Field(default=None, sa_type=Text)
    step: int
    expires_at: int = Field(sa_type=BigInteger, index=True)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)


class ChatChoiceRow(Row, table=True):
    """A button under a question of a dialogue. `what`: `value` (which `value` is), `skip`, `run` or `cancel`."""

    __tablename__ = "chat_choices"

    nonce: str = Field(primary_key=True)
    dialogue: str
    step: int
    what: str
    value: str = Field(sa_type=Text)
    expires_at: int = Field(sa_type=BigInteger, index=True)


chat_dialogues = table(ChatDialogueRow)
chat_choices = table(ChatChoiceRow)
