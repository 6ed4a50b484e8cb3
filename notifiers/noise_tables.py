"""Tables of what is told later: mutes, quiet hours, digests. Times are whole microseconds since 1970 UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text
from sqlmodel import Field

from notifiers.tables import Row, table


class MuteRow(Row, table=True):
    """Silence at a destination about what the pattern takes, or about one job until it succeeds after `since_seq`.

    It ends at `until` at the latest. `person` and `name` are whose wish it is, `why` their reason, `ended_by` what
    ended it. `remind_at` is when the destination is reminded of it next.
    """

    __tablename__ = "mutes"

    id: str = Field(primary_key=True)
    destination: str = Field(index=True)
    pattern: str
    job: str | None = None
    until: int = Field(sa_type=BigInteger)
    since_seq: int = Field(sa_type=BigInteger)
    at: int = Field(sa_type=BigInteger)
    person: str
    name: str = Field(sa_type=Text)
    why: str = Field(sa_type=Text)
    remind_at: int | None = Field(default=None, sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger, index=True)
    ended_by: str | None = Field(default=None, sa_type=Text)


class QuietRow(Row, table=True):
    """A destination's quiet hours, as `rules.quiet` reads them. `origin` is `config` or `user`."""

    __tablename__ = "quiet_hours"

    destination: str = Field(primary_key=True)
    hours: str
    origin: str
    person: str
    at: int = Field(sa_type=BigInteger)


class DigestRow(Row, table=True):
    """One message in place of `count` others. A delivery whose `event` is its id carries it; so do its members'."""

    __tablename__ = "digests"

    id: str = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger, index=True)
    severity: int
    count: int
    message: str = Field(sa_type=Text)


mutes = table(MuteRow)
quiet_hours = table(QuietRow)
digests = table(DigestRow)
