"""run_keys: claimed by the first that asks, taken over where its sensor's policy says so, let go of by hand."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, delete, select, update

from notifiers.database import execute_rows, insert_rows
from rules.keys import ONCE, Held
from sensord.ledger.tables import TERMINAL, run_keys, runs
from sensord.ledger.wishes import NewRun

Key = tuple[str, str, str]
"""sensor ("" for none), job, run_key."""

_COLUMNS = (run_keys.c.sensor, run_keys.c.job, run_keys.c.run_key)
_SLICE = 5_000  # Keys that one transaction looks at: it holds up nobody for longer than a few hundredths of a second.


def claim_keys(conn: Connection, wishes: Sequence[NewRun]) -> dict[str, str]:
    """Give each run_key to whom its policy gives it; run id of a wish → id of the run that has its key now.

    Of several that ask for a key in one batch the first comes first, and the next finds it held by that one.
    """
    held = {wish.id: wish.id for wish in wishes}
    keyed = [wish for wish in wishes if wish.claims and wish.run_key is not None]
    if not keyed:
        return held
    first: dict[Key, NewRun] = {}
    for wish in keyed:
        first.setdefault(_key(wish), wish)
    rows = [
        {
            "sensor": key[0],
            "job": key[1],
            "run_key": key[2],
            "run": wish.id,
            "claimed_at": wish.requested_at,
            "version": wish.version,
        }
        for key, wish in first.items()
    ]
    # The database decides who is first, and is then asked who was: never the other way round.
    if insert_rows(conn, run_keys, rows, conflict=("sensor", "job", "run_key")) == len(rows):
        owner = {key: wish.id for key, wish in first.items()}
    else:
        owner = {key: run for key, (run, _) in _holders(conn, list(first)).items()}
    held.update({wish.id: owner[_key(wish)] for wish in keyed})
    contested = [wish for wish in keyed if wish.keys != ONCE and held[wish.id] != wish.id]
    if contested:
        _take_over(conn, keyed, contested, held)
    return held


def _key(wish: NewRun) -> Key:
    return (wish.sensor or "", wish.job, wish.run_key or "")


# A join with what is asked for, each found by its primary key, in that order: CROSS JOIN holds SQLite to it. For
# `(a, b, c) IN (…)` it reads the whole table: 30 s for 1,000 keys among 10,000,000.
_ASKED = """
WITH asked (sensor, job, run_key) AS (VALUES {rows})
SELECT held.sensor, held.job, held.run_key, held.run, held.version, held.claimed_at, runs.status
FROM asked CROSS JOIN run_keys held LEFT JOIN runs ON runs.id = held.run
WHERE held.sensor = asked.sensor AND held.job = asked.job AND held.run_key = asked.run_key
"""


def _holders(conn: Connection, keys: Sequence[Key]) -> dict[Key, tuple[str, Held]]:
    """Who holds these keys, and how it stands with the run that does."""
    return {
        (sensor, job, run_key): (run, Held(status=status, version=version, claimed_at=claimed_at))
        for sensor, job, run_key, run, version, claimed_at, status in map(tuple, execute_rows(conn, _ASKED, keys))
    }


def _take_over(conn: Connection, keyed: Sequence[NewRun], contested: Sequence[NewRun], held: dict[str, str]) -> None:
    """One after another, as if each had come by itself; `held` becomes what is true afterwards."""
    batch = {wish.id: wish for wish in keyed}
    holders = _holders(conn, list(dict.fromkeys(map(_key, contested))))
    for wish in contested:
        key = _key(wish)
        run, holder = holders[key]
        if run in batch:  # Its row comes with this transaction.
            holder = replace(holder, status="queued")
        if run != wish.id and wish.keys.takes(holder, wish.version or "", wish.requested_at, newest=wish.newest):
            taken = update(run_keys).where(*_is(key), run_keys.c.run == run)
            conn.execute(taken.values(run=wish.id, claimed_at=wish.requested_at, version=wish.version))
            if wish.keys.policy == "latest_wins":
                _supersede(conn, wish, run, batch)
            run, holder = wish.id, Held("queued", wish.version, wish.requested_at)
            holders[key] = (run, holder)
        held[wish.id] = run


def _supersede(conn: Connection, wish: NewRun, run: str, batch: dict[str, NewRun]) -> None:
    """The run that had the key is to be cancelled, if it has not ended: noted here, done by whoever runs it."""
    if run in batch:
        batch[run].superseded = True
        wish.supersedes = run
        return
    going_on = update(runs).where(runs.c.id == run, runs.c.status.notin_(TERMINAL))
    if conn.execute(going_on.values(cancel_requested=True)).rowcount:
        wish.supersedes = run


def _is(key: Key) -> list[ColumnElement[bool]]:
    return [column == value for column, value in zip(_COLUMNS, key, strict=True)]


def forget_keys(conn: Connection, batch: Sequence[Key]) -> list[str | None]:
    """Let go of run_keys, so that they may run again: the run that held each."""
    return [conn.scalar(delete(run_keys).where(*_is(key)).returning(run_keys.c.run)) for key in batch]


class Expiry(Struct, frozen=True, kw_only=True):
    """Keys to let go of: claimed before that many microseconds since 1970; of one sensor or job, or of all.

    `after` is how far it has come: the last key that was looked at; with an empty run_key, all of that sensor and job.
    """

    before: int
    sensor: str | None = None
    job: str | None = None
    after: Key | None = None


def expire_keys(conn: Connection, batch: Sequence[Expiry]) -> list[tuple[int, Key | None]]:
    """A slice of each expiry: how many keys are gone, and the `after` of the next slice, or None at the end."""
    return [_expire(conn, expiry) for expiry in batch]


def _expire(conn: Connection, expiry: Expiry) -> tuple[int, Key | None]:
    """Within one sensor and job at a time: only so does the primary key lead to where the slice before ended."""
    sensor, job, last = expiry.after or ("", "", "")
    if expiry.after is None or last == "":
        pair = _next_pair(conn, expiry, expiry.after)
        if pair is None:
            return 0, None
        (sensor, job), last = pair, ""
    within = [run_keys.c.sensor == sensor, run_keys.c.job == job, run_keys.c.run_key > last]
    ends = select(run_keys.c.run_key).where(*within).order_by(run_keys.c.run_key).offset(_SLICE - 1).limit(1)
    end = conn.scalar(ends)
    if end is not None:
        within.append(run_keys.c.run_key <= end)
    gone = conn.execute(delete(run_keys).where(*within, run_keys.c.claimed_at < expiry.before)).rowcount
    return gone, (sensor, job, end or "")


def _next_pair(conn: Connection, expiry: Expiry, after: Key | None) -> tuple[str, str] | None:
    """The next sensor and job that have keys, behind those of that key."""
    columns = (run_keys.c.sensor, run_keys.c.job)
    asked = [run_keys.c.job == expiry.job] if expiry.job is not None else []
    if expiry.sensor is not None:
        asked.append(run_keys.c.sensor == expiry.sensor)
    behind: list[list[ColumnElement[bool]]] = [[]]
    if after is not None:
        behind = [[columns[0] == after[0], columns[1] > after[1]], [columns[0] > after[0]]]
    for more in behind:
        row = conn.execute(select(*columns).where(*asked, *more).order_by(*columns).limit(1)).first()
        if row is not None:
            return row[0], row[1]
    return None
