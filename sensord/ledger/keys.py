"""run_keys: claimed by the first that asks, taken over where its sensor's policy says so, let go of by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select, tuple_, update

from notifiers.database import insert_rows
from rules.keys import ONCE, Held
from sensord.ledger.tables import TERMINAL, run_keys, runs
from sensord.ledger.wishes import NewRun

Key = tuple[str, str, str]
"""sensor ("" for none), job, run_key."""

_COLUMNS = (run_keys.c.sensor, run_keys.c.job, run_keys.c.run_key)
_CHUNK = 300  # SQLite takes at most 999 values in a statement by default.
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
        owner = _owners(conn, list(first))
    held.update({wish.id: owner[_key(wish)] for wish in keyed})
    contested = [wish for wish in keyed if wish.keys != ONCE and held[wish.id] != wish.id]
    if contested:
        _take_over(conn, keyed, contested, held)
    return held


def _key(wish: NewRun) -> Key:
    return (wish.sensor or "", wish.job, wish.run_key or "")


def _owners(conn: Connection, keys: Sequence[Key]) -> dict[Key, str]:
    owners: dict[Key, str] = {}
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        for row in conn.execute(select(*_COLUMNS, run_keys.c.run).where(tuple_(*_COLUMNS).in_(chunk))):
            owners[row[0], row[1], row[2]] = row[3]
    return owners


def _take_over(conn: Connection, keyed: Sequence[NewRun], contested: Sequence[NewRun], held: dict[str, str]) -> None:
    """One after another, as if each had come by itself; `held` becomes what is true afterwards."""
    batch = {wish.id: wish for wish in keyed}
    holders = _holders(conn, list(dict.fromkeys(map(_key, contested))), batch)
    for wish in contested:
        key = _key(wish)
        run, holder = holders[key]
        if run != wish.id and wish.keys.takes(holder, wish.version or "", wish.requested_at):
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


def _holders(conn: Connection, keys: Sequence[Key], batch: dict[str, NewRun]) -> dict[Key, tuple[str, Held]]:
    """Who holds these keys. A run of this same batch has no row yet, and is as good as queued."""
    found: dict[Key, tuple[str, Held]] = {}
    columns = (*_COLUMNS, run_keys.c.run, run_keys.c.version, run_keys.c.claimed_at, runs.c.status)
    for start in range(0, len(keys), _CHUNK):
        both = select(*columns).outerjoin(runs, runs.c.id == run_keys.c.run)
        for row in conn.execute(both.where(tuple_(*_COLUMNS).in_(keys[start : start + _CHUNK]))):
            status = "queued" if row.run in batch else row.status
            found[row.sensor, row.job, row.run_key] = (row.run, Held(status, row.version, row.claimed_at))
    return found


def _is(key: Key) -> list[ColumnElement[bool]]:
    return [column == value for column, value in zip(_COLUMNS, key, strict=True)]


def forget_keys(conn: Connection, batch: Sequence[Key]) -> list[str | None]:
    """Let go of run_keys, so that they may run again: the run that held each."""
    return [conn.scalar(delete(run_keys).where(*_is(key)).returning(run_keys.c.run)) for key in batch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Keys to let go of: claimed before that many microseconds since 1970; of one sensor or job, or of all.

    `after` is how far it has come: the last key that was looked at.
    """

    before: int
    sensor: str | None = None
    job: str | None = None
    after: Key | None = None


def expire_keys(conn: Connection, batch: Sequence[Expiry]) -> list[tuple[int, Key | None]]:
    """A slice of each expiry: how many keys are gone, and the `after` of the next slice, or None at the end."""
    return [_expire(conn, expiry) for expiry in batch]


def _expire(conn: Connection, expiry: Expiry) -> tuple[int, Key | None]:
    chosen = [run_keys.c.sensor == expiry.sensor] if expiry.sensor is not None else []
    if expiry.job is not None:
        chosen.append(run_keys.c.job == expiry.job)
    place = tuple_(*_COLUMNS)
    if expiry.after is not None:
        chosen.append(place > tuple_(*expiry.after))
    last = conn.execute(select(*_COLUMNS).where(*chosen).order_by(*_COLUMNS).offset(_SLICE - 1).limit(1)).first()
    if last is not None:
        chosen.append(place <= tuple_(*last))
    gone = conn.execute(delete(run_keys).where(*chosen, run_keys.c.claimed_at < expiry.before)).rowcount
    return gone, None if last is None else (last[0], last[1], last[2])
