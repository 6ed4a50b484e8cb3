"""What survives a crash. Times are whole microseconds since 1970 UTC; JSON is text.

As objects these rows are in `sensord.models`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Table, Text, text

from notifiers.columns import column, metadata
from notifiers.tables import Sequence64

TERMINAL = ("succeeded", "failed", "cancelled", "lost")

# Most runs are of no partition, and have no place in their index.
_HAS_PARTITION = text("partition_key IS NOT NULL")
_BY_PARTITION = Index("runs_by_partition", "job", "partition_key", "id", sqlite_where=_HAS_PARTITION)

runs = Table(
    "runs",
    metadata,
    column("id", String, primary_key=True),
    column("job", String),
    column("sensor", String, nullable=True),
    column("run_key", Text, nullable=True),
    column("subject", Text, nullable=True),
    column("status", String),
    column("attempt", Integer, default=1),
    column("priority", Integer, default=0),
    column("tags", Text, default="{}"),
    column("run_config", Text, default="{}"),
    column("partition_key", String, nullable=True),
    column("requested_at", BigInteger),
    column("started_at", BigInteger, nullable=True),
    column("ended_at", BigInteger, nullable=True),
    column("next_attempt_at", BigInteger, nullable=True),
    column("cancel_requested", Boolean, default=False),
    column("error", Text, nullable=True),
    column("metadata", Text),
    Index("runs_by_status", "status", "id"),
    Index("runs_by_job", "job", "id"),
    Index("runs_by_key", "run_key"),
    Index("runs_by_subject", "subject"),
    _BY_PARTITION,
)
"""One execution of a job. A row that is `queued` is the intent to start attempt `attempt`."""

run_keys = Table(
    "run_keys",
    metadata,
    column("sensor", String, primary_key=True),
    column("job", String, primary_key=True),
    column("run_key", String, primary_key=True),
    column("run", String),
    column("claimed_at", BigInteger),
    column("version", Text, nullable=True),
    Index("run_keys_by_run", "run"),
    sqlite_with_rowid=False,
)
"""Who holds a run_key. Never pruned: this is what makes a request that comes again no second run."""

ticks = Table(
    "ticks",
    metadata,
    column("seq", Sequence64, primary_key=True, autoincrement=True),
    column("sensor", String),
    column("subject", Text),
    column("at", BigInteger),
    column("outcome", String),
    column("reason", Text, nullable=True),
    column("job", String, nullable=True),
    column("run_key", Text, nullable=True),
    column("run", String, nullable=True),
    Index("ticks_by_subject", "subject"),
    Index("ticks_by_sensor", "sensor", "seq"),
    Index("ticks_by_time", "at"),
    sqlite_autoincrement=True,
)
"""What was made of one sensed thing: `requested`, `duplicate`, `skipped` or `error`, and why."""

seen = Table(
    "seen",
    metadata,
    column("sensor", String, primary_key=True),
    column("mark", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""The marks of what a source has emitted: its memory, moved in the transaction of what was decided."""

sensors = Table(
    "sensors",
    metadata,
    column("name", String, primary_key=True),
    column("cursor", Text, nullable=True),
    column("state", String, default="active"),
    column("reason", Text, nullable=True),
    column("since", BigInteger),
    column("last_sensed_at", BigInteger, nullable=True),
)
"""How far a sensor has read, and how it does."""

backfills = Table(
    "backfills",
    metadata,
    column("id", String, primary_key=True),
    column("job", String),
    column("first_key", String),
    column("last_key", String),
    column("selection", String),
    column("ordering", String),
    column("concurrency", Integer),
    column("run_config", Text, default="{}"),
    column("status", String),
    column("total", Integer, default=0),
    column("claimed", Integer, default=0),
    column("created_at", BigInteger),
    column("ended_at", BigInteger, nullable=True),
    column("counts", Text, default="{}"),
    Index("backfills_by_status", "status", "id"),
    Index("backfills_by_job", "job", "id"),
)
"""A wish that a job run for many partitions. The first `claimed` of them, in their order, have a run.

`status` is `preparing` until every partition is written down, then `running`, and at last `succeeded`, `failed`
(some did not succeed) or `cancelled`. `ended_at` is when the last of its runs had ended, with `counts` of how.
"""

backfill_partitions = Table(
    "backfill_partitions",
    metadata,
    column("backfill", String, primary_key=True),
    column("position", Integer, primary_key=True),
    column("partition_key", String),
    column("starts_at", BigInteger, nullable=True),
    column("ends_at", BigInteger, nullable=True),
    column("run", String, nullable=True),
    sqlite_with_rowid=False,
)
"""One partition of a backfill, at its place in the backfill's order; its window, and its run once it has one."""

tokens = Table(
    "tokens",
    metadata,
    column("name", String, primary_key=True),
    column("id", String),
    column("hash", String),
    column("publish", Text),
    column("read", Text),
    column("created_at", BigInteger),
    column("expires_at", BigInteger, nullable=True),
    column("revoked_at", BigInteger, nullable=True),
)
"""What a program may publish and read with. `hash` is that of the secret, which is kept nowhere."""


def prepare_postgresql() -> None:
    """Complete what PostgreSQL is to be told of the tables. Said with them, its dialect would be loaded for SQLite."""
    _BY_PARTITION.dialect_kwargs["postgresql_where"] = _HAS_PARTITION
