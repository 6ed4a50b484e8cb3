"""The table of living messages: those that change as their runs go on.

It is a Core table, as nobody maps its rows to objects: a mapped class costs each start of the daemon 5 ms.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, UniqueConstraint
from sqlmodel import SQLModel

living = Table(
    "living",
    SQLModel.metadata,
    Column("id", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("destination", String, nullable=False, index=True),
    Column("subscription", String, nullable=False),
    Column("receipt", Text, nullable=False),
    Column("event", String, nullable=False),
    Column("event_seq", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("edits", Integer, nullable=False, default=0),
    Column("touched_at", BigInteger, nullable=False, index=True),
    Column("refused", Text),
    Column("open_failure", String, index=True),
    Column("recovered_by", String),
    Column("reader", String),
    UniqueConstraint("run", "destination"),
)
"""The one message that a destination has of a run. Times are microseconds since 1970 UTC.

`receipt` is JSON: what it takes to edit it. `event`, `event_seq` and `state` are what it shows; what it is to show
are the deliveries that have not ended. `touched_at` is when it was sent or last edited, or when that was last
tried; `edits` counts those that were made. `refused` is why the service lets it be edited no more. `subscription`
is who wanted the state that it shows. `open_failure` is the job, while the message shows a failure that no later
success made good; `recovered_by` is the event of that success. `reader` is who it was written for first, see
`notifiers.reading.Reader.text`: an edit does not change the language.
"""
