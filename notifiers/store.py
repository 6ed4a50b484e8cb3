"""Deliveries in the database: claimed before each call, ended by compare-and-set, recovered after a crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct
from sqlalchemy import Connection, bindparam, select, update

from notifiers.bus.embedded import from_row
from notifiers.chat import answers
from notifiers.digests import end_members, has_members, read_digest
from notifiers.living_tables import living
from notifiers.marking import UNMARKED, Change, Marks
from notifiers.message import Message
from notifiers.noise import DIGEST
from notifiers.owner import Notice, post
from notifiers.progress import Progress
from notifiers.reading import ENGLISH, Reader
from notifiers.shown import Shown
from notifiers.subscriptions import bump
from notifiers.tables import deliveries, destinations, events
from rules.event import Event

TERMINAL = ("delivered", "suppressed", "uncertain", "dead")
_CHUNK = 500


class Claimed(Struct, frozen=True, kw_only=True):
    """A delivery that is ours to send, once; `attempts` counts this try and is committed. Times in microseconds.

    `answer` is what somebody who asked is told, or a digest; without it the event's own words are, with `marks` on
    them. `change` is a message that is to be changed; then `answer` is said where that is not possible. `replay` is
    that of the row. `living` is what becomes of the message of the run that the event is about, where it has one that
    changes. `reader` is who reads it, set after the claim.
    """

    id: str
    event: Event
    subscription: str
    destination: str
    severity: int
    seq: int
    attempts: int
    progress: Progress
    failing_since: int | None
    answer: Message | None = None
    marks: Marks = UNMARKED
    change: Change | None = None
    replay: int = 0
    living: Shown | None = None
    reader: Reader = ENGLISH

    @property
    def edits(self) -> bool:
        """Whether this try edits a message, and sends none."""
        return self.living is not None and self.living.way == "edit" and not self.progress.receipts


class Result(Struct, frozen=True, kw_only=True):
    """What became of a try: the row's next values. `notice` goes to the owner along with it.

    `destination` differs from the claimed one where it moved; everything waiting for the old one follows.
    `pause` is why the destination gets nothing more for now; its notice is posted only if it was not paused yet.
    `refused_edit` is why the message can be edited no more: the next try sends another.
    `hold` says that the whole destination waits until `next_attempt_at`; `aside`, that the younger may pass.
    """

    claimed: Claimed
    status: str
    progress: Progress
    destination: str
    now: int
    parts: int | None = None
    error: str | None = None
    next_attempt_at: int | None = None
    failing_since: int | None = None
    hold: bool = False
    aside: bool = False
    pause: str | None = None
    notice: Notice | None = None
    refused_edit: str | None = None

    @property
    def changes_more_than_itself(self) -> bool:
        """Whether other deliveries or their destinations changed with it."""
        moved = self.destination != self.claimed.destination
        return moved or self.pause is not None or self.notice is not None


class Waiting(Struct, frozen=True):
    """A pending delivery, as little of it as choosing takes."""

    id: str
    destination: str
    severity: int
    seq: int
    next_attempt_at: int | None = None
    error: str | None = None


def claim(conn: Connection, ids: Sequence[str]) -> list[Claimed | None]:
    """Take pending deliveries for one try each, counted before it is made. None: it is no longer pending."""
    found: dict[str, Claimed] = {}
    for start in range(0, len(ids), _CHUNK):
        here = deliveries.c.id.in_(ids[start : start + _CHUNK]) & (deliveries.c.status == "pending")
        for row in conn.execute(select(deliveries).where(here).with_for_update()).mappings():
            found[row["id"]] = _claimed(dict(row), conn)
        conn.execute(update(deliveries).where(here).values(status="sending", attempts=deliveries.c.attempts + 1))
    return [found.pop(one, None) for one in ids]


def _claimed(row: Mapping[str, Any], conn: Connection) -> Claimed:
    answer: Message | None = None
    if row["subscription"] == answers.SUBSCRIPTION:
        event, answer = answers.read_answer(conn, row["event"])
    elif row["subscription"] == DIGEST:
        event, answer = read_digest(conn, row["event"])
    else:
        event = from_row(dict(conn.execute(select(events).where(events.c.id == row["event"])).mappings().one()))
    return Claimed(
        id=row["id"],
        event=event,
        subscription=row["subscription"],
        destination=row["destination"],
        severity=row["severity"],
        seq=row["event_seq"],
        attempts=row["attempts"] + 1,
        progress=_progress(row),
        failing_since=row["failing_since"],
        answer=answer,
        replay=row["replay"],
    )


def _progress(row: Mapping[str, Any]) -> Progress:
    return Progress(tuple(orjson.loads(row["receipts"])), tuple(orjson.loads(row["doubts"])))


def _progress_values(progress: Progress) -> dict[str, Any]:
    return {
        "receipts": orjson.dumps(progress.receipts).decode(),
        "doubts": orjson.dumps(progress.doubts).decode(),
        "doubtful": len(progress.doubts),
    }


_COLUMNS = (
    "status",
    "destination",
    "receipts",
    "doubts",
    "doubtful",
    "parts",
    "error",
    "next_attempt_at",
    "failing_since",
    "ended_at",
)
_RECORD = (
    update(deliveries)
    .where(
        deliveries.c.id == bindparam("p_id"),
        deliveries.c.status == "sending",
        deliveries.c.attempts == bindparam("p_attempts"),
    )
    .values({name: bindparam(f"p_{name}") for name in _COLUMNS})
)


def record(conn: Connection, batch: Sequence[Result]) -> list[bool]:
    """End tries by compare-and-set, with what follows for their destinations. False: it was not ours any more."""
    ours = _ours(conn, batch)
    rows = [{f"p_{name}": value for name, value in _values(result).items()} for result in ours.values()]
    if rows:
        conn.execute(_RECORD, rows)
    for result in ours.values():
        if result.claimed.subscription == DIGEST and result.status in TERMINAL:
            told = result.progress.receipts
            end_members(conn, result.claimed.event.id, result.status, told, result.error, result.now)
        posted = result.notice is not None
        if result.pause is not None:
            posted = pause(conn, result.claimed.destination, result.pause, result.now) and posted
        if result.destination != result.claimed.destination:
            move(conn, result.claimed.destination, result.destination, result.now)
        if posted and result.notice is not None:
            post(conn, result.notice)
    return [result.claimed.id in ours for result in batch]


def _ours(conn: Connection, batch: Sequence[Result]) -> dict[str, Result]:
    ours: dict[str, Result] = {}
    for start in range(0, len(batch), _CHUNK):
        by_id = {result.claimed.id: result for result in batch[start : start + _CHUNK]}
        sending = deliveries.c.id.in_(by_id) & (deliveries.c.status == "sending")
        query = select(deliveries.c.id, deliveries.c.attempts).where(sending).with_for_update()
        for one, attempts in conn.execute(query):
            if by_id[one].claimed.attempts == attempts:
                ours[one] = by_id[one]
    return ours


def _values(result: Result) -> dict[str, Any]:
    return {
        "id": result.claimed.id,
        "attempts": result.claimed.attempts,
        "status": result.status,
        "destination": result.destination,
        "parts": result.parts,
        "error": result.error,
        "next_attempt_at": result.next_attempt_at,
        "failing_since": result.failing_since,
        "ended_at": result.now if result.status in TERMINAL else None,
        **_progress_values(result.progress),
    }


def pause(conn: Connection, destination: str, reason: str, now: int) -> bool:
    """Hold everything for a destination until it is resumed. False: it was paused already."""
    row = conn.execute(select(destinations).where(destinations.c.destination == destination)).mappings().first()
    if row is not None and row["state"] == "paused":
        return False
    _know(conn, destination, state="paused", reason=reason, since=now)
    return True


def resume(conn: Connection, batch: Sequence[tuple[str, int]]) -> list[bool]:
    """Let destinations get messages again, (destination, now) each. False: it was not paused."""
    results: list[bool] = []
    for destination, now in batch:
        paused = (destinations.c.destination == destination) & (destinations.c.state == "paused")
        active = update(destinations).where(paused).values(state="active", reason=None, since=now)
        results.append(conn.execute(active).rowcount == 1)
    if any(results):
        bump(conn)
    return results


def move(conn: Connection, old: str, new: str, now: int) -> None:
    """Send from now on to `new` what is for `old`, and what waits for it."""
    _know(conn, old, state="moved", moved_to=new, since=now, reason=None)
    # A destination that was itself moved away once is where messages go now.
    conn.execute(update(destinations).where(destinations.c.destination == new).values(moved_to=None))
    waiting = (deliveries.c.destination == old) & deliveries.c.status.in_(("pending", "held"))
    conn.execute(update(deliveries).where(waiting).values(destination=new))
    # So do the messages of runs; where a run has one under both names, each stays what it is.
    there = select(living.c.run).where(living.c.destination == new).scalar_subquery()
    here = (living.c.destination == old) & living.c.run.not_in(there)
    conn.execute(update(living).where(here).values(destination=new))


def _know(conn: Connection, destination: str, **values: Any) -> None:
    here = destinations.c.destination == destination
    if not conn.execute(update(destinations).where(here).values(**values)).rowcount:
        conn.execute(destinations.insert().values(destination=destination, **values))
    bump(conn)


def recover(conn: Connection, batch: Sequence[int]) -> list[list[str]]:
    """At start, for the time: what was on its way may have arrived, so its answer counts as lost. Where it went."""
    return [_recover(conn, now) for now in batch]


def _recover(conn: Connection, now: int) -> list[str]:
    rows = conn.execute(select(deliveries).where(deliveries.c.status == "sending")).mappings().all()
    for row in rows:
        error = "answer_lost: the program ended while this was on its way"
        values = {
            "status": "pending",
            "error": error,
            "next_attempt_at": now,
            **_progress_values(_progress(dict(row)).lost()),
        }
        conn.execute(update(deliveries).where(deliveries.c.id == row["id"]).values(**values))
    return [row["destination"] for row in rows]


def requeue(conn: Connection, ids: Sequence[str]) -> list[bool]:
    """Asked for explicitly: what ended without being delivered is pending again. False: it is in no such state.

    A dead one goes on with the parts that did not arrive; an uncertain one is sent anew, marked as a repeat. One that
    was in a digest is sent by itself; a digest is sent again as long as anything would be told by it.
    """
    again = {
        "status": "pending",
        "error": None,
        "next_attempt_at": None,
        "failing_since": None,
        "ended_at": None,
        "held_by": None,
        "digest": None,
    }
    anew = {**again, "receipts": "[]", "doubts": "[0]", "doubtful": 1}
    results: list[bool] = []
    for one in ids:
        digest = conn.scalar(
            select(deliveries.c.event).where(deliveries.c.id == one, deliveries.c.subscription == DIGEST)
        )
        if digest is not None and not has_members(conn, digest):
            results.append(False)
            continue
        here = update(deliveries).where(deliveries.c.id == one)
        resent = conn.execute(here.where(deliveries.c.status == "uncertain").values(**anew)).rowcount
        tried = conn.execute(here.where(deliveries.c.status.in_(("dead", "suppressed"))).values(**again)).rowcount
        results.append(bool(resent + tried))
    return results
