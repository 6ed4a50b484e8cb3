"""The tables of dialogues. Times are whole microseconds since 1970 UTC; JSON is text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, String, Table, Text

from notifiers.columns import column, metadata

chat_dialogues = Table(
    "chat_dialogues",
    metadata,
    column("id", String, primary_key=True),
    column("person", String, index=True),
    column("place", String),
    column("job", String),
    column("given", Text),
    column("skipped", Text),
    column("asked", Text, nullable=True),
    column("step", Integer),
    column("expires_at", BigInteger, index=True),
    column("ended_at", BigInteger, nullable=True),
)
"""Somebody is asked for a job's parameters in one place.

`given` is what they said so far, by name, and `skipped` the names that they left out; `asked` is the parameter
that is waited for, None where only the word to run is. `step` counts what was said: each counts once.
"""

chat_choices = Table(
    "chat_choices",
    metadata,
    column("nonce", String, primary_key=True),
    column("dialogue", String),
    column("step", Integer),
    column("what", String),
    column("value", Text),
    column("expires_at", BigInteger, index=True),
)
"""A button under a question of a dialogue. `what`: `value` (which `value` is), `skip`, `run` or `cancel`."""
