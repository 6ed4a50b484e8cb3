"""What survives a crash. Times are whole microseconds since 1970 UTC; JSON is text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Text, text
from sqlmodel import Field

from notifiers.tables import Row, Sequence64, table

TERMINAL = ("succeeded", "failed", "cancelled", "lost")

# Most runs are of no partition, and have no place in their index.
_HAS_PARTITION = text("partition_key IS NOT NULL")
_BY_PARTITION = Index("runs_by_partition", "job", "partition_key", "id", sqlite_where=_HAS_PARTITION)


class RunRow(Row, table=True):
    """One execution of a job. A row that is `queued` is the intent to start attempt `attempt`."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_by_status", "status", "id"),
        Index("runs_by_job", "job", "id"),
        Index("runs_by_key", "run_key"),
        Index("runs_by_subject", "subject"),
        _BY_PARTITION,
    )

    id: str = Field(primary_key=True)
    job: str
    sensor: str | None = None
    run_key: str | None = Field(default=None, sa_type=Text)
    subject: str | None = Field(default=None, sa_type=Text)
    status: str
    attempt: int = 1
    priority: int = 0
    tags: str = Field(default="{}", sa_type=Text)
    run_config: str = Field(default="{}", sa_type=Text)
    partition_key: str | None = None
    requested_at: int = Field(sa_type=BigInteger)
    started_at: int | None = Field(default=None, sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)
    next_attempt_at: int | None = Field(default=None, sa_type=BigInteger)
    cancel_requested: bool = False
    error: str | None = Field(default=None, sa_type=Text)
    result: str = Field(default="{}", sa_column=Column("metadata", Text, nullable=False))


class RunKeyRow(Row, table=True):
    """Who holds a run_key. Never pruned: this is what makes a request that comes again no second run."""

    __tablename__ = "run_keys"
    __table_args__ = (Index("run_keys_by_run", "run"), {"sqlite_with_rowid": False})

    sensor: str = Field(primary_key=True)
    job: str = Field(primary_key=True)
    run_key: str = Field(primary_key=True)
    run: str
    claimed_at: int = Field(sa_type=BigInteger)
    version: str | None = Field(default=None, sa_type=Text)


class TickRow(Row, table=True):
    """What was made of one sensed thing: `requested`, `duplicate`, `skipped` or `error`, and why."""

    __tablename__ = "ticks"
    __table_args__ = (
        Index("ticks_by_subject", "subject"),
        Index("ticks_by_sensor", "sensor", "seq"),
        Index("ticks_by_time", "at"),
        {"sqlite_autoincrement": True},
    )

    seq: int | None = Field(default=None, sa_column=Column(Sequence64, primary_key=True, autoincrement=True))
    sensor: str
    subject: str = Field(sa_type=Text)
    at: int = Field(sa_type=BigInteger)
    outcome: str
    reason: str | None = Field(default=None, sa_type=Text)
    job: str | None = None
    run_key: str | None = Field(default=None, sa_type=Text)
    run: str | None = None


class SeenRow(Row, table=True):
    """The marks of what a source has emitted: its memory, moved in the transaction of what was decided."""

    __tablename__ = "seen"
    __table_args__ = ({"sqlite_with_rowid": False},)

    sensor: str = Field(primary_key=True)
    mark: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))


class SensorRow(Row, table=True):
    """How far a sensor has read, and how it does."""

    __tablename__ = "sensors"

    name: str = Field(primary_key=True)
    cursor: str | None = Field(default=None, sa_type=Text)
    state: str = "active"
    reason: str | None = Field(default=None, sa_type=Text)
    since: int = Field(sa_type=BigInteger)
    last_sensed_at: int | None = Field(default=None, sa_type=BigInteger)


class BackfillRow(Row, table=True):
    """A wish that a job run for many partitions. The first `claimed` of them, in their order, have a run.

    `status` is `preparing` until every partition is written down, then `running`, and at last `succeeded`, `failed`
    (some did not succeed) or `cancelled`. `ended_at` is when the last of its runs had ended, with `counts` of how.
    """

    __tablename__ = "backfills"
    __table_args__ = (Index("backfills_by_status", "status", "id"), Index("backfills_by_job", "job", "id"))

    id: str = Field(primary_key=True)
    job: str
    first_key: str
    last_key: str
    selection: str
    ordering: str
    concurrency: int
    run_config: str = Field(default="{}", sa_type=Text)
    status: str
    total: int = 0
    claimed: int = 0
    created_at: int = Field(sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)
    counts: str = Field(default="{}", sa_type=Text)


class BackfillPartitionRow(Row, table=True):
    """One partition of a backfill, at its place in the backfill's order; its window, and its run once it has one."""

    __tablename__ = "backfill_partitions"
    __table_args__ = ({"sqlite_with_rowid": False},)

    backfill: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    partition_key: str
    starts_at: int | None = Field(default=None, sa_type=BigInteger)
    ends_at: int | None = Field(default=None, sa_type=BigInteger)
    run: str | None = None


class TokenRow(Row, table=True):
    """What a program may publish and read with. `hash` is that of the secret, which is kept nowhere."""

    __tablename__ = "tokens"

    name: str = Field(primary_key=True)
    id: str
    hash: str
    publish: str = Field(sa_type=Text)
    read: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int | None = Field(default=None, sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


runs = table(RunRow)
run_keys = table(RunKeyRow)
ticks = table(TickRow)
seen = table(SeenRow)
sensors = table(SensorRow)
backfills = table(BackfillRow)
backfill_partitions = table(BackfillPartitionRow)
tokens = table(TokenRow)


def prepare_postgresql() -> None:
    """Complete what PostgreSQL is to be told of the tables. Said with them, its dialect would be loaded for SQLite."""
    _BY_PARTITION.dialect_kwargs["postgresql_where"] = _HAS_PARTITION
