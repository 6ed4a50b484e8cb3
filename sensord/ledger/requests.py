"""The first of the two transactions that carry everything: what was sensed becomes runs, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, update

from notifiers.bus.embedded import append
from notifiers.database import insert_rows
from sensord.ledger.keys import claim_keys
from sensord.ledger.tables import runs, seen, sensors, ticks
from sensord.ledger.wishes import NewRun, Tick

Held = dict[str, str]
"""run id of a wish → id of the run that has it: its own id if it was claimed, else the run that holds the key."""


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
        "cancel_requested": wish.superseded,
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
    if text.isascii() and "\0" not in text:
        return text
    escaped = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return text if escaped == text else f"{escaped}\ufffd"
