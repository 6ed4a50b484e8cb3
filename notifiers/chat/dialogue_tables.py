"""The tables of dialogues. Times are whole microseconds since 1970 UTC; JSON is text.

They are Core tables, as nobody maps their rows to objects: a mapped class costs each start of the daemon 5 ms.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text
from sqlmodel import SQLModel

chat_dialogues = Table(
    "chat_dialogues",
    SQLModel.metadata,
    Column("id", String, primary_key=True),
    Column("person", String, nullable=False, index=True),
    Column("place", String, nullable=False),
    Column("job", String, nullable=False),
    Column("given", Text, nullable=False),
    Column("skipped", Text, nullable=False),
    Column("asked", Text),
    Column("step", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("ended_at", BigInteger),
)
"""Somebody is asked for a job's parameters in one place.

`given` is what they said so far, by name, and `skipped` the names that they left out; `asked` is the parameter
that is waited for, None where only the word to run is. `step` counts what was said: each counts once.
"""

chat_choices = Table(
    "chat_choices",
    SQLModel.metadata,
    Column("nonce", String, primary_key=True),
    Column("dialogue", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("what", String, nullable=False),
    Column("value", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
"""A button under a question of a dialogue. `what`: `value` (which `value` is), `skip`, `run` or `cancel`."""
