"""The table of living messages: those that change as their runs go on."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text, UniqueConstraint
from sqlmodel import Field

from notifiers.tables import Row, table


class LivingRow(Row, table=True):
    """The one message that a destination has of a run. Times are microseconds since 1970 UTC.

    `receipt` is JSON: what it takes to edit it. `event`, `event_seq` and `state` are what it shows; what it is to show
    are the deliveries that have not ended. `touched_at` is when it was sent or last edited, or when that was last
    tried; `edits` counts those that were made. `refused` is why the service lets it be edited no more. `subscription`
    is who wanted the state that it shows. `open_failure` is the job, while the message shows a failure that no later
    success made good; `recovered_by` is the event of that success.
    """

    __tablename__ = "living"
    __table_args__ = (UniqueConstraint("run", "destination"),)

    id: str = Field(primary_key=True)
    run: str
    destination: str = Field(index=True)
    subscription: str
    receipt: str = Field(sa_type=Text)
    event: str
    event_seq: int = Field(sa_type=BigInteger)
    state: str
    edits: int = 0
    touched_at: int = Field(sa_type=BigInteger, index=True)
    refused: str | None = Field(default=None, sa_type=Text)
    open_failure: str | None = Field(default=None, index=True)
    recovered_by: str | None = None


living = table(LivingRow)
