"""The table of living messages: those that change as their runs go on."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, String, Table, Text, UniqueConstraint

from notifiers.columns import column, metadata

living = Table(
    "living",
    metadata,
    column("id", String, primary_key=True),
    column("run", String),
    column("destination", String, index=True),
    column("subscription", String),
    column("receipt", Text),
    column("event", String),
    column("event_seq", BigInteger),
    column("state", String),
    column("edits", Integer, default=0),
    column("touched_at", BigInteger, index=True),
    column("refused", Text, nullable=True),
    column("open_failure", String, index=True, nullable=True),
    column("recovered_by", String, nullable=True),
    column("reader", String, nullable=True),
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
