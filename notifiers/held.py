"""Deliveries that are held, in the database: taken or held at the last moment, held in a burst, released when due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, RowMapping, func, select, update

from notifiers.bus.embedded import from_row
from notifiers.clock import to_us
from notifiers.database import Op
from notifiers.digest_wording import WITH_FILES, Ended, digest_message, digest_title, reminder
from notifiers.digests import dissolve, insert_digest
from notifiers.living import RECOVERY, Ask, Later, only_edits
from notifiers.living_tables import living
from notifiers.mutes import end_due, first_due, remind_due
from notifiers.noise import ASKED_FOR, BURST, DIGEST, SCHEDULE, Held, Noise
from notifiers.reading.templates import Voice
from notifiers.store import Claimed, Waiting
from notifiers.subscriptions import version
from notifiers.tables import deliveries, events
from notifiers.wording import english
from rules.event import Event, Severity
from rules.noise import Queued, singles

MOST = 10_000
"""A digest stands for so many messages at most; more make more digests."""

_CHUNK = 500
_FRESH = (deliveries.c.receipts == "[]") & (deliveries.c.doubtful == 0)
_HELD = (deliveries.c.status == "held") & deliveries.c.digest.is_(None)
# A later state of a run whose message is there changes that message, and is none of its own.
_EDITS = select(living.c.id).where(
    living.c.run == events.c.run, living.c.destination == deliveries.c.destination, living.c.refused.is_(None)
)


class Taking(Struct, frozen=True):
    """A delivery to be taken for a try, unless it is to be held. `edits`: messages can be edited where it goes."""

    ask: Ask
    noise: Noise
    now: datetime
    edits: bool = False


def take(
    conn: Connection, batch: Sequence[Taking], claiming: Op[Ask, Claimed | Later | None]
) -> list[Claimed | Later | Held | None]:
    """Claim deliveries, see `notifiers.living.Living.claim`; those that are to wait by what holds now are held."""
    held: dict[str, Held] = {}
    asking = {one.ask.id: one for one in batch if one.noise.any}
    ids = list(asking)
    for start in range(0, len(ids), _CHUNK):
        here = deliveries.c.id.in_(ids[start : start + _CHUNK]) & (deliveries.c.status == "pending")
        for row in conn.execute(select(deliveries).where(here)).mappings():
            why = _why(conn, row, asking[row["id"]])
            if why is not None:
                held[row["id"]] = why
    found = claiming(conn, [one.ask for one in batch])
    return [held.get(one.ask.id) or claimed for one, claimed in zip(batch, found, strict=True)]


def _why(conn: Connection, row: RowMapping, taking: Taking) -> Held | None:
    to, subscription = row["destination"], row["subscription"]
    if subscription in ASKED_FOR or subscription.startswith(RECOVERY):
        return None  # A recovery changes a message, and nobody is notified of that.
    here = deliveries.c.id == row["id"]
    if subscription == DIGEST:
        # Of what was half sent the other half follows, whatever the hour.
        why = taking.noise.wholly(to, taking.now) if row["receipts"] == "[]" and not row["doubtful"] else None
        if why is not None:
            dissolve(conn, row["event"], until=why.until, by=why.by, why=why.why)
            ended = {"status": "suppressed", "error": f"put off: {why.why}", "ended_at": to_us(taking.now)}
            conn.execute(update(deliveries).where(here).values(**ended, next_attempt_at=None))
        return why
    if not taking.noise.concerns(to, subscription):
        return None
    event = from_row(dict(conn.execute(select(events).where(events.c.id == row["event"])).mappings().one()))
    why = taking.noise.why(event, subscription, to, taking.now, scheduled=False)
    if why is not None and taking.edits and only_edits(conn, event, to):
        return None
    if why is not None:
        hold(conn, [row["id"]], why)
    return why


def hold(conn: Connection, ids: Sequence[str], held: Held) -> None:
    """Let these wait."""
    for start in range(0, len(ids), _CHUNK):
        here = deliveries.c.id.in_(ids[start : start + _CHUNK])
        values = {"status": "held", "held_by": held.by, "next_attempt_at": held.until, "error": held.why}
        conn.execute(update(deliveries).where(here).values(**values))


class Crowd(Struct, frozen=True, kw_only=True):
    """A destination for which too much waits: all but the first few is to be held. `air` is what is being sent."""

    destination: str
    air: frozenset[str]
    singles: int
    held: Held


def hold_crowds(conn: Connection, batch: Sequence[Crowd]) -> list[int]:
    """Hold what waits in a burst; the highest severity of it, or 0 where nothing was to be held."""
    return [_hold_crowd(conn, crowd) for crowd in batch]


def _hold_crowd(conn: Connection, crowd: Crowd) -> int:
    columns = (deliveries.c.id, deliveries.c.severity, deliveries.c.event_seq, events.c.topic)
    query = (
        select(*columns)
        .join(events, events.c.id == deliveries.c.event)
        .where(
            deliveries.c.destination == crowd.destination,
            deliveries.c.status == "pending",
            deliveries.c.severity.between(Severity.debug, Severity.critical - 1),
            deliveries.c.subscription.not_in(ASKED_FOR),
            deliveries.c.subscription.not_like(f"{RECOVERY}%"),
            _FRESH,
            ~_EDITS.exists(),
        )
    )
    queued = [Queued(*row) for row in conn.execute(query) if row[0] not in crowd.air]
    alone = singles(queued, crowd.singles)
    rest = [one for one in queued if one.id not in alone]
    hold(conn, [one.id for one in rest], crowd.held)
    return max((one.severity for one in rest), default=0)


def next_due(conn: Connection) -> int | None:
    """When something is to be released, or a mute ends or reminds (microseconds)."""
    row = conn.scalar(select(func.min(deliveries.c.next_attempt_at)).where(_HELD))
    return min((due for due in (row, first_due(conn)) if due is not None), default=None)


class Release(Struct, frozen=True, kw_only=True):
    """Let out what is due, by what holds as of that version of the subscriptions.

    `storms` are the destinations that are told in digests, and when the next one is. `voice` speaks to a destination
    because of some subscriptions.
    """

    now: datetime
    version: int
    noise: Noise
    storms: Mapping[str, int]
    resolve: Callable[[str], str]
    new_id: Callable[[], str]
    voice: Callable[[str, Sequence[str]], Voice] = lambda _to, _subscriptions: english()
    base_url: str | None = None


class Released(Struct, frozen=True, kw_only=True):
    """`waiting` is to be sent; `changed`: mutes ended; `bursts`: how many of a burst each destination was told."""

    waiting: tuple[Waiting, ...]
    changed: bool
    bursts: Mapping[str, int]


def release(conn: Connection, batch: Sequence[Release]) -> list[Released | None]:
    """Let out what is due and no longer held by anything, as one digest for each destination.

    None: what holds changed meanwhile; nothing was done.
    """
    return [_release(conn, one) if version(conn) == one.version else None for one in batch]


class _Out(Struct):
    """What goes to one destination."""

    rows: list[tuple[RowMapping, Event]]
    ended: list[Ended]


def _release(conn: Connection, one: Release) -> Released:
    now = to_us(one.now)
    over = end_due(conn, one.now, one.noise, one.resolve, one.new_id)
    noise = one.noise.without({ended.mute.id for ended in over})
    out: dict[str, _Out] = {}
    again: dict[Held, list[str]] = {}
    for row in _due(conn, now):
        event = _event(row)
        why = noise.why(event, row["subscription"], row["destination"], one.now, scheduled=row["held_by"] != SCHEDULE)
        if why is None and row["held_by"] == BURST and row["destination"] in one.storms:
            why = Held(one.storms[row["destination"]], BURST, row["error"])
        if why is not None:
            again.setdefault(why, []).append(row["id"])
        else:
            out.setdefault(row["destination"], _Out([], [])).rows.append((row, event))
    for held, ids in again.items():
        hold(conn, ids, held)
    for ended in over:
        by = f"mute:{ended.mute.id}"
        there = out.setdefault(ended.to, _Out([], []))
        there.ended.append(Ended(ended.mute, sum(row["held_by"] == by for row, _ in there.rows), ended.by))
    waiting = [row for to, what in out.items() for row in _let_out(conn, to, what, one)]
    for mute, to, count, end in remind_due(conn, one.now, noise, one.resolve):
        told = reminder(mute, count, end, one.voice(to, ()))
        waiting.append(insert_digest(conn, told, to, [], seq=0, new_id=one.new_id, now=now))
    bursts = {to: sum(row["held_by"] == BURST for row, _ in what.rows) for to, what in out.items()}
    return Released(waiting=tuple(map(_waiting, waiting)), changed=bool(over), bursts=bursts)


def _due(conn: Connection, now: int) -> Sequence[RowMapping]:
    """What is due, oldest first; at most MOST at a time."""
    columns = [column.label(f"e_{column.name}") for column in events.c]
    query = (
        select(deliveries, *columns, _EDITS.exists().label("edits"))
        .join(events, events.c.id == deliveries.c.event)
        .where(_HELD, deliveries.c.next_attempt_at <= now)
        .order_by(deliveries.c.event_seq, deliveries.c.id)
        .limit(MOST)
    )
    return conn.execute(query).mappings().all()


def _event(row: RowMapping) -> Event:
    return from_row({column.name: row[f"e_{column.name}"] for column in events.c})


def _let_out(conn: Connection, to: str, what: _Out, one: Release) -> list[Mapping[str, Any]]:
    """The rows that are to be sent: what was tried before, or changes a message, by itself; the rest as one digest."""
    tried = [row for row, _ in what.rows if row["receipts"] != "[]" or row["doubtful"] or row["edits"]]
    alone = {row["id"] for row in tried}
    fresh = [(row, event) for row, event in what.rows if row["id"] not in alone]
    if len(fresh) == 1 and not what.ended:
        tried, fresh = [*tried, fresh[0][0]], []
    _set_free(conn, [row["id"] for row in tried])
    found: list[Mapping[str, Any]] = [{**row, "next_attempt_at": None, "error": None} for row in tried]
    if fresh or what.ended:
        told = [event for _, event in fresh]
        voice = one.voice(to, [row["subscription"] for row, _ in fresh])
        title = digest_title(len(fresh), [row["held_by"] or "" for row, _ in fresh], what.ended, voice)
        files = to.partition(":")[0] in WITH_FILES
        message = digest_message(title, told, voice, files=files, base_url=one.base_url)
        members = [row["id"] for row, _ in fresh]
        seq = max((row["event_seq"] for row, _ in fresh), default=0)
        found.append(insert_digest(conn, message, to, members, seq=seq, new_id=one.new_id, now=to_us(one.now)))
    return found


def _set_free(conn: Connection, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), _CHUNK):
        here = deliveries.c.id.in_(ids[start : start + _CHUNK])
        free = {"status": "pending", "held_by": None, "next_attempt_at": None, "error": None}
        conn.execute(update(deliveries).where(here).values(**free))


def _waiting(row: Mapping[str, Any]) -> Waiting:
    return Waiting(row["id"], row["destination"], row["severity"], row["event_seq"], row["next_attempt_at"])
