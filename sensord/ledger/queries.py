"""What the ledger tells: runs, ticks, keys and sensors as JSON-ready values, newest first, a page at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Select, Table, func, select

from notifiers.clock import from_us, to_us
from rules.event import rfc3339
from sensord.ledger.tables import TERMINAL, run_keys, runs, sensors, ticks

Filters = Mapping[str, Sequence[str]]
"""Field → the values that it may have."""

RUN_FILTERS = ("job", "sensor", "run_key", "subject", "status", "partition_key")
TICK_FILTERS = ("sensor", "outcome", "subject", "job", "run_key", "run")
KEY_FILTERS = ("sensor", "job", "run_key", "run")


def list_runs(conn: Connection, filters: Filters, *, limit: int, after: str | None) -> dict[str, Any]:
    """Runs, newest first: `{"items": […], "next": id or None}`; `after` is a run's id."""
    query = _where(select(runs), runs, filters)
    return _page(conn, query, runs.c.id, after, limit, run_json)


def list_ticks(conn: Connection, filters: Filters, *, limit: int, after: str | None) -> dict[str, Any]:
    """Ticks, newest first; `after` is a tick's `seq`. ValueError where it is no number."""
    query = _where(select(ticks), ticks, filters)
    return _page(conn, query, ticks.c.seq, None if after is None else int(after), limit, tick_json)


def list_keys(conn: Connection, filters: Filters, *, limit: int, after: str | None) -> dict[str, Any]:
    """Held run_keys, the newest run's first; `after` is the id of the run that holds one."""
    given = dict(filters)
    if "sensor" in given:  # A key that was asked for without a sensor is kept under the empty name.
        given["sensor"] = ["" if name == "-" else name for name in given["sensor"]]
    query = _where(select(run_keys), run_keys, given)
    return _page(conn, query, run_keys.c.run, after, limit, key_json)


def get_run(conn: Connection, run: str) -> dict[str, Any] | None:
    """One run."""
    row = conn.execute(select(runs).where(runs.c.id == run)).mappings().first()
    return None if row is None else run_json(dict(row))


def get_sensors(conn: Connection) -> dict[str, dict[str, Any]]:
    """What the ledger knows of each sensor that ever was, by name."""
    return {row["name"]: sensor_json(dict(row)) for row in conn.execute(select(sensors)).mappings()}


def last_ticks(conn: Connection, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The newest tick of each of these sensors that has one."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        query = select(ticks).where(ticks.c.sensor == name).order_by(ticks.c.seq.desc()).limit(1)
        if (row := conn.execute(query).mappings().first()) is not None:
            found[name] = tick_json(dict(row))
    return found


def newest_tick(conn: Connection) -> int:
    """The `seq` of the newest tick of any sensor; 0 where there is none."""
    return conn.scalar(select(func.max(ticks.c.seq))) or 0


def ticks_after(conn: Connection, sensor: str, seq: int, limit: int) -> tuple[int, list[dict[str, Any]]]:
    """What a sensor sensed since: how many things, and the ticks of the first of them in order, at most `limit`."""
    here = (ticks.c.sensor == sensor) & (ticks.c.seq > seq)
    things = select(ticks.c.subject, ticks.c.at).where(here).distinct().subquery()
    count = conn.scalar(select(func.count()).select_from(things)) or 0
    rows = conn.execute(select(ticks).where(here).order_by(ticks.c.seq).limit(limit)).mappings()
    return count, [tick_json(dict(row)) for row in rows]


def last_runs(conn: Connection, jobs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The newest run of each of these jobs that has one."""
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        query = select(runs).where(runs.c.job == job).order_by(runs.c.id.desc()).limit(1)
        if (row := conn.execute(query).mappings().first()) is not None:
            found[job] = run_json(dict(row))
    return found


def count_runs(conn: Connection, since: datetime) -> dict[str, dict[str, int]]:
    """How many runs were requested since then: job → status → number. Ids begin with the time, so this is a range."""
    query = (
        select(runs.c.job, runs.c.status, func.count())
        .where(runs.c.id >= id_floor(since))
        .group_by(runs.c.job, runs.c.status)
    )
    counts: dict[str, dict[str, int]] = {}
    for job, status, number in conn.execute(query):
        counts.setdefault(job, {})[status] = number
    return counts


def count_open(conn: Connection) -> dict[tuple[str, str], int]:
    """(job, status) → how many runs have not ended."""
    query = (
        select(runs.c.job, runs.c.status, func.count())
        .where(runs.c.status.in_(["queued", "running"]))
        .group_by(runs.c.job, runs.c.status)
    )
    return {(job, status): number for job, status, number in conn.execute(query)}


def id_floor(moment: datetime) -> str:
    """Text that is not greater than the UUIDv7 of anything made at that moment or later."""
    milliseconds = f"{max(0, to_us(moment) // 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}"


def run_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run's row as the API shows it."""
    return {
        "id": row["id"],
        "job": row["job"],
        "sensor": row["sensor"],
        "run_key": row["run_key"],
        "subject": row["subject"],
        "status": row["status"],
        "attempt": row["attempt"],
        "priority": row["priority"],
        "tags": loads(row["tags"]),
        "run_config": loads(row["run_config"]),
        "partition_key": row["partition_key"],
        "requested_at": time(row["requested_at"]),
        "started_at": time(row["started_at"]),
        "ended_at": time(row["ended_at"]),
        "next_attempt_at": time(row["next_attempt_at"]),
        "cancel_requested": bool(row["cancel_requested"]) and row["status"] not in TERMINAL,
        "error": row["error"],
        "metadata": loads(row["metadata"]),
    }


def tick_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A tick's row as the API shows it."""
    return {name: row[name] for name in ("seq", "sensor", "subject", "outcome", "reason", "job", "run_key", "run")} | {
        "at": time(row["at"])
    }


def key_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A held key as the API shows it: `sensor` is None for one that no sensor asked for."""
    return {
        "sensor": row["sensor"] or None,
        "job": row["job"],
        "run_key": row["run_key"],
        "run": row["run"],
        "claimed_at": time(row["claimed_at"]),
        "version": row["version"],
    }


def sensor_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A sensor's row as the API shows it."""
    return {
        "name": row["name"],
        "state": row["state"],
        "reason": row["reason"],
        "since": time(row["since"]),
        "cursor": row["cursor"],
    }


def time(us: int | None) -> str | None:
    """Microseconds since 1970 as RFC 3339 in UTC."""
    return None if us is None else rfc3339(from_us(us))


def loads(text: str) -> Any:
    """JSON text of the ledger as a value that can be written as JSON again, whatever names it holds.

    A name that is not UTF-8 is kept as escaped lone surrogates; they are shown as U+FFFD.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _clean(json.loads(text))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _where(query: Select[Any], table: Table, filters: Filters) -> Select[Any]:
    for name, values in filters.items():
        column = table.c[name]
        query = query.where(column == values[0] if len(values) == 1 else column.in_(values))
    return query


def _page(
    conn: Connection,
    query: Select[Any],
    order: ColumnElement[Any],
    after: str | int | None,
    limit: int,
    to_json: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """One page in falling order, and what to go on with where there is more."""
    if after is not None:
        query = query.where(order < after)
    rows = conn.execute(query.order_by(order.desc()).limit(limit + 1)).mappings().all()
    more = len(rows) > limit
    rows = rows[:limit]
    return {"items": [to_json(dict(row)) for row in rows], "next": str(rows[-1][order]) if more else None}
