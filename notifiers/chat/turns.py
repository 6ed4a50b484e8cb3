"""One thing heard and everything that becomes true because of it, in one transaction with the cursor over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from sqlalchemy import Connection, delete, select, update

from notifiers.bus.embedded import append
from notifiers.chat import Heard, Person
from notifiers.chat.answers import SOURCE, insert_answer
from notifiers.chat.button_tables import chat_numbers
from notifiers.chat.tables import chat_acts, chat_cursors, chat_heard
from notifiers.clock import from_us
from notifiers.database import insert_rows
from notifiers.fanout import insert_deliveries, new_delivery
from notifiers.message import Message
from notifiers.outcomes import storable
from notifiers.owner import Notice, post
from notifiers.store import Waiting
from notifiers.tables import events
from rules.event import Event, Severity

KEPT_US = 2 * 86_400_000_000
"""For how long a number is known again.

Services keep what was not fetched for a day (Telegram), and begin with lower numbers after a week without news: a
lower number that comes later than this is a new one. Ids are kept as long: what was not acknowledged is told again
within minutes, and within a day where an app of Slack asked for that.
"""


class Done(Struct, frozen=True, kw_only=True):
    """Something a person did from a chat, or was refused: an audit row, and an event on `chat.<act>`.

    `told_here` sends the event itself to the place, beside whoever is subscribed.
    """

    act: str
    person: Person
    place: str
    text: str
    allowed: bool = True
    severity: Severity = Severity.info
    detail: Mapping[str, Any] = field(default_factory=dict)
    told_here: bool = False


class Reply(Struct, frozen=True, kw_only=True):
    """What a turn amounts to: an answer to the place, what was done, and a notice to the owner.

    `changed` says that destinations or subscriptions are not what they were. `rows` are deliveries that the turn made
    by itself; `word` is for the eyes of whoever pressed a button, and `then` is called once all of it is durable.
    """

    message: Message | None = None
    done: tuple[Done, ...] = ()
    notice: Callable[[Event], Notice | None] | None = None
    changed: bool = False
    rows: tuple[dict[str, Any], ...] = ()
    word: str | None = None
    then: Callable[[], None] | None = None


Act = Callable[[Connection], Reply]
"""Runs inside the transaction, on the writer's thread, and may run again after a rollback."""


class Turn(Struct, frozen=True, kw_only=True):
    """What is to be settled. `now` in microseconds."""

    heard: Heard
    to: str
    act: Act
    now: int
    new_id: Callable[[], str]


class Settled(Struct, frozen=True):
    """What became of a turn. `again`: it was settled before, and nothing happened now."""

    waiting: tuple[Waiting, ...] = ()
    changed: bool = False
    again: bool = False
    word: str | None = None
    then: Callable[[], None] | None = None


def settle(conn: Connection, batch: Sequence[Turn]) -> list[Settled]:
    """Carry turns out, each once however often it is heard."""
    return [_settle(conn, turn) for turn in batch]


def _settle(conn: Connection, turn: Turn) -> Settled:
    if not _first_time(conn, turn.heard, turn.now):
        return Settled(again=True)
    reply = turn.act(conn)
    rows = list(reply.rows)
    for done in reply.done:
        rows += _record(conn, done, turn)
    if reply.notice is not None and reply.done:
        notice = reply.notice(_event(turn.new_id(), reply.done[0], turn.now))
        if notice is not None:
            post(conn, notice)
    if reply.message is not None:
        rows.append(insert_answer(conn, reply.message, turn.to, new_id=turn.new_id, now=turn.now))
    waiting = tuple(Waiting(row["id"], row["destination"], row["severity"], row["event_seq"]) for row in rows)
    return Settled(waiting, reply.changed, word=reply.word, then=reply.then)


def read_cursor(conn: Connection, of: str, now: int) -> int | None:
    """The number of the last thing heard that had an effect; None where that is too long ago to matter."""
    row = conn.execute(select(chat_cursors).where(chat_cursors.c.name == of)).mappings().first()
    return None if row is None or now - row["at"] > KEPT_US else int(row["number"])


def heard_before(conn: Connection, heard: Heard) -> bool:
    """Whether something with an id of its own was settled already."""
    here = (chat_heard.c.of == heard.of) & (chat_heard.c.id == heard.id)
    return conn.execute(select(chat_heard.c.at).where(here)).first() is not None


def _first_time(conn: Connection, heard: Heard, now: int) -> bool:
    """Note it, or its id, and move the cursor over it. False: it was heard before."""
    if heard.id is not None:
        row = {"of": heard.of, "id": heard.id, "at": now}
        return insert_rows(conn, chat_heard, [row], conflict=("of", "id")) == 1
    last = read_cursor(conn, heard.of, now)
    passed = last is not None and heard.number <= last
    if passed and heard.ordered:
        return False
    this = (chat_numbers.c.name == heard.of) & (chat_numbers.c.number == heard.number)
    before = conn.scalar(select(chat_numbers.c.at).where(this))
    if before is not None and now - before <= KEPT_US:
        return False
    conn.execute(delete(chat_numbers).where(this))
    conn.execute(chat_numbers.insert().values(name=heard.of, number=heard.number, at=now))
    if passed:
        return True
    here = chat_cursors.c.name == heard.of
    moved = update(chat_cursors).where(here).values(number=heard.number, at=now)
    if not conn.execute(moved).rowcount:
        conn.execute(chat_cursors.insert().values(name=heard.of, number=heard.number, at=now))
    return True


def record_act(conn: Connection, done: Done, id_: str, now: int) -> Event:
    """Leave an audit row and an event of that id, in the transaction of what was done; the event."""
    event = _event(id_, done, now)
    append(conn, [event])
    conn.execute(
        chat_acts.insert().values(
            id=event.id,
            at=now,
            person=done.person.id,
            name=storable(done.person.name),
            place=done.place,
            act=done.act,
            allowed=done.allowed,
            detail=storable(done.text),
        )
    )
    return event


def _record(conn: Connection, done: Done, turn: Turn) -> list[dict[str, Any]]:
    event = record_act(conn, done, turn.new_id(), turn.now)
    if not done.told_here:
        return []
    seq = conn.scalar(select(events.c.seq).where(events.c.id == event.id)) or 0
    row = new_delivery(turn.new_id(), event, seq, subscription="chat.test", destination=done.place, now_us=turn.now)
    insert_deliveries(conn, [row])
    return [row]


def _event(id_: str, done: Done, now: int) -> Event:
    data = {"person": done.person.id, "name": storable(done.person.name), "place": done.place, "allowed": done.allowed}
    return Event(
        id=id_,
        type=f"chat.{done.act}",
        topic=f"chat.{done.act}",
        time=from_us(now),
        source=SOURCE,
        severity=done.severity,
        message=storable(done.text),
        data={**data, **done.detail},
    )
