"""What the ledger tells of backfills, as JSON-ready values: a page of them, one, and the partitions of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, select

from sensord.ledger.backfills import count_runs_of, statuses_of
from sensord.ledger.queries import Filters, loads, time
from sensord.ledger.tables import backfill_partitions, backfills, runs

BACKFILL_FILTERS = ("job", "status")
PARTITION_FILTERS = ("status",)
COUNTED = ("succeeded", "failed", "cancelled", "lost", "running", "queued")


class Standing(Protocol):
    """What a daemon that works on a backfill knows of it: see `sensord.backfilling`."""

    @property
    def ended(self) -> Mapping[str, int]:
        """How many of its runs ended how."""
        ...

    @property
    def open(self) -> Sequence[str]:
        """The ids of its other runs."""
        ...

    @property
    def waits(self) -> str | None:
        """Why it cannot go on."""
        ...


def list_backfills(
    conn: Connection, filters: Filters, standing: Mapping[str, Standing], *, limit: int, after: str | None
) -> dict[str, Any]:
    """Backfills, newest first: `{"items": […], "next": id or None}`; `after` is a backfill's id."""
    query = select(backfills).where(backfills.c.status != "preparing")
    for name, values in filters.items():
        query = query.where(backfills.c[name].in_(values))
    if after is not None:
        query = query.where(backfills.c.id < after)
    rows = conn.execute(query.order_by(backfills.c.id.desc()).limit(limit + 1)).mappings().all()
    items = [_backfill_json(conn, dict(row), standing) for row in rows[:limit]]
    return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}


def get_backfill(conn: Connection, backfill: str, standing: Mapping[str, Standing]) -> dict[str, Any] | None:
    """One backfill."""
    query = select(backfills).where(backfills.c.id == backfill, backfills.c.status != "preparing")
    row = conn.execute(query).mappings().first()
    return None if row is None else _backfill_json(conn, dict(row), standing)


def list_partitions(
    conn: Connection, backfill: str, filters: Filters, *, limit: int, after: int | None
) -> dict[str, Any]:
    """A backfill's partitions in its order, each with its run where it has one; `after` is a position."""
    columns = (runs.c.status, runs.c.error, runs.c.ended_at)
    query = (
        select(backfill_partitions, *columns)
        .select_from(backfill_partitions.outerjoin(runs, runs.c.id == backfill_partitions.c.run))
        .where(backfill_partitions.c.backfill == backfill)
    )
    if values := filters.get("status"):
        query = query.where(runs.c.status.in_(values))
    if after is not None:
        query = query.where(backfill_partitions.c.position > after)
    rows = conn.execute(query.order_by(backfill_partitions.c.position).limit(limit + 1)).mappings().all()
    items = [_partition_json(dict(row)) for row in rows[:limit]]
    return {"items": items, "next": str(items[-1]["position"]) if len(rows) > limit else None}


def _backfill_json(conn: Connection, row: Mapping[str, Any], standing: Mapping[str, Standing]) -> dict[str, Any]:
    """`counts` are of its runs by their status, and `not_started` of the partitions that have none."""
    live = None if row["ended_at"] is not None else standing.get(row["id"])
    if row["ended_at"] is not None:
        found: Mapping[str, int] = loads(row["counts"])
    elif live is not None:
        found = Counter(live.ended) + statuses_of(conn, live.open)
    else:
        found, _ = count_runs_of(conn, row["id"])
    counts = {name: found.get(name, 0) for name in COUNTED}
    return {
        "id": row["id"],
        "job": row["job"],
        "status": row["status"],
        "first": row["first_key"],
        "last": row["last_key"],
        "only": row["selection"],
        "order": row["ordering"],
        "concurrency": row["concurrency"],
        "run_config": loads(row["run_config"]),
        "total": row["total"],
        "counts": counts | {"not_started": row["total"] - sum(counts.values())},
        "waits": None if live is None else live.waits,
        "created_at": time(row["created_at"]),
        "ended_at": time(row["ended_at"]),
    }


def _partition_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "position": row["position"],
        "partition_key": row["partition_key"],
        "start": time(row["starts_at"]),
        "end": time(row["ends_at"]),
        "run": row["run"],
        "status": row["status"],
        "error": row["error"],
        "ended_at": time(row["ended_at"]),
    }
