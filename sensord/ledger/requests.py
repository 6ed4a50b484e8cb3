"""The first of the two transactions that carry everything: what was sensed becomes runs, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, select, tuple_, update

from notifiers.bus.embedded import append
from notifiers.database import insert_rows
from rules.event import Event
from sensord.ledger.tables import run_keys, runs, seen, sensors, ticks


# Never changed once made. `frozen` would say so and make them take twice as long, and a burst makes thousands.
@dataclass(slots=True, kw_only=True)
class NewRun:
    """A run that is wished for, with the event that says so. `run_key` None: it runs always."""

    id: str
    job: str
    sensor: str | None
    run_key: str | None
    subject: str | None
    run_config: str
    tags: str
    partition_key: str | None
    priority: int
    requested_at: int
    event: Event
    claims: bool = True  # False for a run that repeats one whose key it bears without taking it.


@dataclass(slots=True, kw_only=True)
class Tick:
    """One sensed thing and what the rule made of it: runs, or the reason for none (`skipped`, `error`).

    A tick whose outcome is `cursor` moves the cursor and leaves no record of its own.
    """

    sensor: str
    subject: str
    at: int
    mark: int | None = None
    cursor: str | None = None
    runs: tuple[NewRun, ...] = ()
    outcome: str = "requested"
    reason: str | None = None


Held = dict[str, str]
"""run id of a wish → id of the run that has it: its own id if it was claimed, else the run that holds the key."""


def claim_keys(conn: Connection, wishes: Sequence[NewRun]) -> Held:
    """Give each run_key to the first that asked for it, in this batch or ever; say who holds which."""
    keyed = [wish for wish in wishes if wish.claims and wish.run_key is not None]
    held = {wish.id: wish.id for wish in wishes}
    if not keyed:
        return held
    first: dict[tuple[str, str, str], NewRun] = {}
    for wish in keyed:
        first.setdefault(_key(wish), wish)
    rows = [
        {"sensor": key[0], "job": key[1], "run_key": key[2], "run": wish.id, "claimed_at": wish.requested_at}
        for key, wish in first.items()
    ]
    # The database decides who is first, and is then asked who was: never the other way round.
    if insert_rows(conn, run_keys, rows, conflict=("sensor", "job", "run_key")) == len(rows):
        owner = {key: wish.id for key, wish in first.items()}
    else:
        owner = _owners(conn, list(first))
    held.update({wish.id: owner[_key(wish)] for wish in keyed})
    return held


def _key(wish: NewRun) -> tuple[str, str, str]:
    return (wish.sensor or "", wish.job, wish.run_key or "")


def _owners(conn: Connection, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    columns = (run_keys.c.sensor, run_keys.c.job, run_keys.c.run_key)
    owners: dict[tuple[str, str, str], str] = {}
    for start in range(0, len(keys), 300):  # SQLite takes at most 999 values in a statement by default.
        chunk = keys[start : start + 300]
        for row in conn.execute(select(*columns, run_keys.c.run).where(tuple_(*columns).in_(chunk))):
            owners[row[0], row[1], row[2]] = row[3]
    return owners


def add_runs(conn: Connection, wishes: Sequence[NewRun]) -> None:
    """Write the rows of runs whose keys were claimed, and the events that say they are queued.

    After a lost answer to COMMIT the same batch comes again: rows and events that are there already stay.
    """
    insert_rows(conn, runs, [_run_row(wish) for wish in wishes], conflict=("id",))
    append(conn, [wish.event for wish in wishes])


def _run_row(wish: NewRun) -> dict[str, Any]:
    return {
        "id": wish.id,
        "job": wish.job,
        "sensor": wish.sensor,
        "run_key": wish.run_key,
        "subject": wish.subject,
        "status": "queued",
        "attempt": 1,
        "priority": wish.priority,
        "tags": wish.tags,
        "run_config": wish.run_config,
        "partition_key": wish.partition_key,
        "requested_at": wish.requested_at,
        "cancel_requested": False,
        "metadata": "{}",
    }


def commit_ticks(conn: Connection, batch: Sequence[Tick]) -> list[Held]:
    """Claim, queue, remember, and move the cursors: all of a tick or nothing (RELIABILITY 2f, W7, W8)."""
    wishes = [wish for tick in batch for wish in tick.runs]
    held = claim_keys(conn, wishes)
    add_runs(conn, [wish for wish in wishes if held[wish.id] == wish.id])
    insert_rows(conn, ticks, [row for tick in batch for row in _tick_rows(tick, held)])
    marks = [{"sensor": tick.sensor, "mark": tick.mark} for tick in batch if tick.mark is not None]
    insert_rows(conn, seen, marks, conflict=("sensor", "mark"))
    moved = {tick.sensor: tick.cursor for tick in batch if tick.cursor is not None}
    for name, cursor in moved.items():
        statement = update(sensors).where(sensors.c.name == name).values(cursor=cursor)
        if conn.execute(statement).rowcount != 1:
            raise LookupError(f"sensor {name!r} has no row to keep its cursor in")
    return [{wish.id: held[wish.id] for wish in tick.runs} for tick in batch]


def _tick_rows(tick: Tick, held: Held) -> list[dict[str, Any]]:
    if tick.outcome == "cursor":
        return []
    shared = {"sensor": tick.sensor, "subject": tick.subject, "at": tick.at}
    if not tick.runs:
        return [
            {
                **shared,
                "outcome": tick.outcome,
                "reason": tick.reason,
                "job": None,
                "run_key": None,
                "run": None,
            }
        ]
    return [
        {
            **shared,
            "outcome": "requested" if held[wish.id] == wish.id else "duplicate",
            "reason": None if held[wish.id] == wish.id else f"run {held[wish.id]} holds this run_key",
            "job": wish.job,
            "run_key": wish.run_key,
            "run": held[wish.id],
        }
        for wish in tick.runs
    ]


def request_runs(conn: Connection, wishes: Sequence[NewRun]) -> list[str]:
    """Runs asked for by a person or a program rather than a sensor: the id of the run that each wish has."""
    held = claim_keys(conn, wishes)
    add_runs(conn, [wish for wish in wishes if held[wish.id] == wish.id])
    return [held[wish.id] for wish in wishes]


def dump(value: Any) -> str:
    """JSON text of anything sensed, including names that are not UTF-8 (lone surrogates stay escaped)."""
    try:
        return orjson.dumps(value, default=dict).decode()
    except TypeError:
        return json.dumps(value, default=dict)


def storable(text: str) -> str:
    """Text as both databases take it: lone surrogates (bytes of a name that is not UTF-8) and NUL escaped.

    Escaped text ends in U+FFFD, so that it never equals a name that spells the escape out.
    """
    escaped = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return text if escaped == text else f"{escaped}\ufffd"
