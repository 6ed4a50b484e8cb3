"""What a result of a check means beside the earlier ones: it failed again, it recovered, how it went of late.

Added to an event of a check in the transaction that publishes it, on `quality.<job>.<passed|failed>`: one that comes
again changes nothing. A check is told from others by its job, its name and its `series`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid5

import orjson
from msgspec.structs import replace
from sqlalchemy import Connection, select, update

from notifiers.check_tables import checks
from notifiers.clock import to_us
from notifiers.database import insert_rows
from notifiers.tables import events
from rules.event import Event
from rules.quality import MAX_DETAIL
from rules.trend import TREND, counted, ordinal

_NAMESPACE: Final = UUID("5c8d5a0e-7d0b-5f53-9f0c-2b8a1f6d3e90")
_CHUNK: Final = 500
_NAME: Final = 500
_KEPT: Final = 100  # Contents that are remembered, to tell one that comes again.
_FOUND: Final = 1 << 20  # Characters of what is compared with; more is not remembered.
_MOST: Final = 1 << 53

Row = dict[str, Any]
Key = tuple[str, str, str]


def check_id(job: str, name: str, series: str) -> str:
    """The id of a check, for ever."""
    return str(uuid5(_NAMESPACE, orjson.dumps([job, name, series]).decode()))


def of_checks(batch: Sequence[Event]) -> bool:
    """Whether there are results of checks among the events."""
    return any(event.type.startswith("quality.") for event in batch)


def with_history(conn: Connection, batch: Sequence[Event]) -> list[Event]:
    """The events, those of checks with what the earlier results make of them; the checks' rows are brought up to it."""
    keys = [_key(event) for event in batch]
    told = _published(conn, [event.id for event, key in zip(batch, keys, strict=True) if key is not None])
    rows = _rows(conn, {check_id(*key) for key in keys if key is not None})
    there = set(rows)
    changed: dict[str, Row] = {}
    result: list[Event] = []
    for event, key in zip(batch, keys, strict=True):
        if key is None or event.id in told:
            result.append(event)
            continue
        told.add(event.id)
        id_ = check_id(*key)
        before = rows.get(id_)
        rows[id_] = changed[id_] = _row(id_, key, event, before)
        result.append(_completed(event, rows[id_], before))
    insert_rows(conn, checks, [row for id_, row in changed.items() if id_ not in there], conflict=("id",))
    for id_, row in changed.items():
        if id_ in there:
            conn.execute(update(checks).where(checks.c.id == id_).values(**row))
    return result


def _key(event: Event) -> Key | None:
    """Which check it is a result of; None for what is published elsewhere or names none."""
    what = event.type.partition(".")[2]
    first, _, rest = event.topic.partition(".")
    job, _, last = rest.rpartition(".")
    name, series = event.data.get("check"), event.data.get("series", "")
    if first != "quality" or last != what or what not in ("passed", "failed") or not job:
        return None
    if not isinstance(name, str) or not 0 < len(name) <= _NAME or not isinstance(series, str) or len(series) > _NAME:
        return None
    return job, name, series


def _published(conn: Connection, ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        found.update(conn.scalars(select(events.c.id).where(events.c.id.in_(ids[start : start + _CHUNK]))))
    return found


def _rows(conn: Connection, ids: Iterable[str]) -> dict[str, Row]:
    wanted = sorted(ids)
    found: dict[str, Row] = {}
    for start in range(0, len(wanted), _CHUNK):
        query = select(checks).where(checks.c.id.in_(wanted[start : start + _CHUNK]))
        found.update({row["id"]: dict(row) for row in conn.execute(query).mappings()})
    return found


def _row(id_: str, key: Key, event: Event, before: Row | None) -> Row:
    """The check's row after this result."""
    data, at, passed = event.data, to_us(event.time), event.type == "quality.passed"
    goes_on = before is not None and before["passed"] == passed
    metrics = data.get("metrics")
    earlier: list[int] = orjson.loads(before["trend"]) if before else []
    found = data.get("found") if event.source == "sensord" else None
    accepted = before["accepted"] if before else None
    # What was told once and let through is what the next file is compared with.
    if found is not None and (passed or data.get("severity") == "warn"):
        accepted = _merged(accepted, found)
    return {
        "id": id_,
        "job": key[0],
        "name": key[1],
        "series": key[2],
        "passed": passed,
        "severity": str(data.get("severity") or "")[:20],
        "in_a_row": before["in_a_row"] + 1 if before and goes_on else 1,
        "since": before["since"] if before and goes_on else at,
        "at": at,
        "subject": event.subject,
        "detail": str(data.get("detail") or "")[:MAX_DETAIL].replace("\0", ""),
        "failed": _number(metrics, "failed"),
        "rows": _number(metrics, "rows"),
        "run": event.run,
        "event": event.id,
        "also": before["also"] if passed and before else event.also,
        "trend": orjson.dumps([*earlier, counted(passed, metrics)][-TREND:]).decode(),
        "found": (before["found"] if before else None) if found is None else _kept(found),
        "accepted": accepted,
    }


def _number(metrics: Any, name: str) -> int | None:
    value = metrics.get(name) if isinstance(metrics, Mapping) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < _MOST:
        return None
    return int(value)


def _kept(found: Any) -> str | None:
    text = orjson.dumps(found).decode()
    return text if len(text) <= _FOUND else None


def _merged(accepted: str | None, found: Any) -> str | None:
    """Columns take the place of those before; a content is one more of those that were."""
    if not isinstance(found, list):
        return _kept(found)
    earlier = orjson.loads(accepted) if accepted else []
    return _kept([*found, *(one for one in earlier if one not in found)][:_KEPT])


def _completed(event: Event, row: Row, before: Row | None) -> Event:
    data = {name: value for name, value in event.data.items() if name != "found"}
    data["trend"] = orjson.loads(row["trend"])
    plain = f"check {row['name']} {'passed' if row['passed'] else 'failed'}"
    if not row["passed"]:
        data["in_a_row"] = row["in_a_row"]
        again = f"check {row['name']} failed again, the {ordinal(row['in_a_row'])} time in a row"
        message = event.message.replace(plain, again, 1) if row["in_a_row"] > 1 else event.message
        return replace(event, data=data, message=message)
    if before is None or before["passed"]:
        return replace(event, data=data)
    times = before["in_a_row"]
    data["recovered_after"] = times
    words = f"check {row['name']} recovered after {times:,} failure{'s' if times > 1 else ''}"
    # It is told where the failure was.
    also = before["also"] if event.also is None else event.also
    return replace(event, data=data, message=event.message.replace(plain, words, 1), also=also)


def accepted_by(conn: Connection, job: str, series: str, names: Sequence[str]) -> dict[str, Any]:
    """What these checks compare the next file with; a check that has accepted nothing yet is left out."""
    ids = {check_id(job, name, series): name for name in names}
    return {ids[id_]: orjson.loads(row["accepted"]) for id_, row in _rows(conn, ids).items() if row["accepted"]}


def accept(conn: Connection, ids: Sequence[str]) -> list[bool]:
    """Compare the next file with what was found last; False for a check that compares with nothing."""
    rows = _rows(conn, ids)
    done: list[bool] = []
    for id_ in ids:
        found = rows[id_]["found"] if id_ in rows else None
        if found is not None:
            accepted = _merged(rows[id_]["accepted"], orjson.loads(found))
            conn.execute(update(checks).where(checks.c.id == id_).values(accepted=accepted))
        done.append(found is not None)
    return done
