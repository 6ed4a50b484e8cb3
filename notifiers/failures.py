"""How many failures in a row: of one job's runs, or of one of its checks. Counted in the event log."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from notifiers.bus.embedded import from_row
from notifiers.tables import events
from rules.event import Event
from rules.noise import FAILURES, in_a_row

_CHUNK = 100
_FAR = 2000  # So many events of one job are looked at: a check whose last result is further back begins anew.


def failures_before(conn: Connection, event: Event, seq: int, most: int) -> int:
    """How many failures of the same there are up to this one, itself included; counted up to `most`."""
    return 1 + in_a_row(_earlier(conn, event, seq), most - 1) if most > 1 else 1


def _earlier(conn: Connection, event: Event, seq: int) -> Iterator[bool]:
    """Newest first: whether what ended before was a failure."""
    base = event.topic.rpartition(".")[0]
    good = FAILURES[event.type]
    bad = [kind for kind, end in FAILURES.items() if end == good]
    topics = [f"{base}.{kind.partition('.')[2]}" for kind in (*bad, good)]
    check, place, looked = _check(event), seq, 0
    while looked < _FAR:
        query = select(events).where(events.c.topic.in_(topics), events.c.seq < place).order_by(events.c.seq.desc())
        rows = conn.execute(query.limit(_CHUNK)).mappings().all()
        for row in rows:
            earlier = from_row(dict(row))
            if earlier.type in (*bad, good) and _check(earlier) == check:
                yield earlier.type != good
        if len(rows) < _CHUNK:
            return
        looked, place = looked + len(rows), rows[-1]["seq"]


def _check(event: Event) -> tuple[object, object]:
    """What tells a check of a job from its others; nothing of a run."""
    return event.data.get("check"), event.data.get("series")
