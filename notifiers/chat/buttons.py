"""Buttons under run messages: made as a delivery is claimed, used once where they act.

A button is a row, and what it carries is the row's name: a random one that says nothing. The rows are committed with
the claim, so before the message can go out; a crash between leaves rows that nobody can press, and a message that is
sent again carries the same ones.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, RowMapping, select, update

from notifiers.bus.embedded import from_row
from notifiers.chat import Person, Place
from notifiers.chat import button_wording as words
from notifiers.chat.answers import insert_answer
from notifiers.chat.button_tables import chat_buttons, chat_changes
from notifiers.chat.looking import names_of
from notifiers.clock import Clock, from_us, to_us
from notifiers.database import insert_rows
from notifiers.living import RECOVERY, reader_of
from notifiers.living_tables import living
from notifiers.marking import UNMARKED, Change, Line, Marks
from notifiers.message import Button, Message
from notifiers.outcomes import storable
from notifiers.progress import Progress
from notifiers.store import Claimed, claim
from notifiers.tables import deliveries, events
from rules.event import Event
from rules.living import state_named

LOOKING: Final = ("details", "log")
ACTING: Final = ("rerun", "acknowledge", "mute")
LOCAL: Final = ("mute",)
"""Of those that act, what is done for one chat alone; the others are done once, wherever the event was told."""

OFFERED: Final[Mapping[str, tuple[str, ...]]] = {
    "run.failed": ("details", "log", "rerun", "acknowledge", "mute"),
    "run.lost": ("details", "log", "rerun", "acknowledge", "mute"),
    "run.cancelled": ("details", "log", "rerun"),
    "run.succeeded": ("details",),
}
"""Which buttons the messages of an event have. Acting ones are used up; looking ones stay."""

HELD_US: Final = 7 * 86_400_000_000
"""For so long a button can be pressed."""

_NONCE_BYTES = 24
_NONCE = re.compile("[A-Za-z0-9_-]{32}")
_CHUNK = 500


class Offered(Struct, frozen=True, kw_only=True):
    """A button as it is kept. `used` is who used it."""

    nonce: str
    delivery: str
    event: str
    deed: str
    run: str
    job: str
    destination: str
    expires_at: int
    used: str | None

    @property
    def acts(self) -> bool:
        """Whether it changes something."""
        return self.deed in ACTING


def new_nonces(count: int) -> list[str]:
    """So many times 192 random bits, as 32 characters each; the system is asked once."""
    raw = secrets.token_bytes(_NONCE_BYTES * count)
    return [
        base64.urlsafe_b64encode(raw[start : start + _NONCE_BYTES]).decode()
        for start in range(0, len(raw), _NONCE_BYTES)
    ]


class Buttons:
    """Claims deliveries as `notifiers.store.claim` does, and gives those their buttons that go where one may press."""

    def __init__(self, channels: Collection[str], clock: Clock) -> None:
        self._channels = frozenset(channels)
        self._clock = clock

    def claim(self, conn: Connection, ids: Sequence[str]) -> list[Claimed | None]:
        """Take deliveries for one try each, with what stands on their messages."""
        claimed = claim(conn, ids)
        offering = {one.id: one for one in claimed if one is not None and self._offers(one)}
        found = self._marks(conn, offering) if offering else {}
        found |= {one.id: _kept(conn, one) for one in claimed if one is not None and _of_recovery(one)}
        changes = _changes(conn, [one.event.id for one in claimed if one is not None and one.answer is not None])
        return [
            None if one is None else replace(one, marks=found.get(one.id, one.marks), change=changes.get(one.event.id))
            for one in claimed
        ]

    def _offers(self, claimed: Claimed) -> bool:
        event = claimed.event
        there = claimed.destination.partition(":")[0] in self._channels
        of_run = claimed.answer is None and bool(event.run and event.job) and not _of_recovery(claimed)
        return there and of_run and event.type in OFFERED

    def _marks(self, conn: Connection, offering: Mapping[str, Claimed]) -> dict[str, Marks]:
        kept = rows_of(conn, {one.event.id for one in offering.values()})
        there = {(row["delivery"], row["deed"]) for row in kept}
        done = {(row["event"], row["deed"]) for row in kept if row["used_at"] is not None and row["deed"] not in LOCAL}
        wanted = [
            (one, deed)
            for one in offering.values()
            for deed in OFFERED[one.event.type]
            if (one.id, deed) not in there and (one.event.id, deed) not in done
        ]
        now = to_us(self._clock.now())
        made = [_row(nonce, one, deed, now) for nonce, (one, deed) in zip(new_nonces(len(wanted)), wanted, strict=True)]
        insert_rows(conn, chat_buttons, made)
        return {one.id: marks_of([*kept, *made], one.id, one.destination, one.event) for one in offering.values()}


def _of_recovery(claimed: Claimed) -> bool:
    return claimed.subscription.startswith(RECOVERY)


def _kept(conn: Connection, claimed: Claimed) -> Marks:
    """What was done about a failure stays on its message when that comes to say that the job recovered."""
    here = living.c.id == claimed.subscription.removeprefix(RECOVERY)
    row = conn.execute(select(events).join(living, living.c.event == events.c.id).where(here)).mappings().first()
    if row is None:
        return UNMARKED
    failure = from_row(dict(row))
    return Marks(lines=marks_of(rows_of(conn, [failure.id]), "", claimed.destination, failure).lines)


def _row(nonce: str, claimed: Claimed, deed: str, now: int) -> dict[str, Any]:
    return {
        "nonce": nonce,
        "delivery": claimed.id,
        "event": claimed.event.id,
        "deed": deed,
        "run": claimed.event.run,
        "job": claimed.event.job,
        "destination": claimed.destination,
        "made_at": now,
        "expires_at": now + HELD_US,
        "used_at": None,
        "used_by": None,
        "used_name": None,
        "outcome": None,
    }


def rows_of(conn: Connection, of: Iterable[str]) -> list[dict[str, Any]]:
    """Every button under the messages of these events."""
    wanted = list(of)
    found: list[dict[str, Any]] = []
    for start in range(0, len(wanted), _CHUNK):
        query = select(chat_buttons).where(chat_buttons.c.event.in_(wanted[start : start + _CHUNK]))
        found += [dict(row) for row in conn.execute(query).mappings()]
    return found


def marks_of(rows: Sequence[Mapping[str, Any]], delivery: str, destination: str, event: Event) -> Marks:
    """What stands on the message of a delivery: buttons that can be pressed, and what was done about the event."""
    mine = [row for row in rows if row["event"] == event.id]
    here = [row for row in mine if row["destination"] == destination or row["deed"] not in LOCAL]
    done = {row["deed"]: row for row in here if row["used_at"] is not None}
    own = {row["deed"]: row["nonce"] for row in mine if row["delivery"] == delivery and row["used_at"] is None}
    buttons = [
        Button(words.LABELS[deed][0], own[deed], words.LABELS[deed][1])
        for deed in OFFERED.get(event.type, ())
        if deed in own
    ]
    lines = [
        Line(deed, row["used_name"] or "", from_us(row["used_at"]), row["outcome"])
        for deed, row in sorted(done.items(), key=lambda one: one[1]["used_at"])
    ]
    return Marks(tuple(buttons), tuple(lines))


def find(conn: Connection, nonce: str, place: Place, message: str) -> Offered | None:
    """The button that carries the nonce, if it stands in that chat; None otherwise."""
    if _NONCE.fullmatch(nonce) is None:  # Anything can be sent as one; not all of it can be asked of a database.
        return None
    row = conn.execute(select(chat_buttons).where(chat_buttons.c.nonce == nonce)).mappings().first()
    if row is None:
        return None
    found = Offered(
        **{name: row[name] for name in ("nonce", "delivery", "event", "deed", "run", "job", "destination")},
        expires_at=row["expires_at"],
        used=None if row["used_at"] is None else row["used_name"] or "",
    )
    return found if _stands_in(conn, found, place, message) else None


def _stands_in(conn: Connection, button: Offered, place: Place, message: str) -> bool:
    chats = {_chat(name) for name in names_of(conn, place.chat)}
    if _chat(button.destination) in chats:
        return True
    # It may be configured by another name than it has, e.g. @name: then its receipt says where that is.
    receipts = conn.scalar(select(deliveries.c.receipts).where(deliveries.c.id == button.delivery))
    here = place.chat.partition(":")[2]
    mine = [one for one in orjson.loads(receipts or "[]") if one is not None and one["id"] == message]
    rooms = {str(one.get(name)) for one in mine for name in ("chat_id", "channel")}
    # A direct conversation of Slack's is called as the person is, and may be configured by its own id.
    return here in rooms or (place.private and any(room.startswith("D") for room in rooms))


def _chat(destination: str) -> str:
    return destination.partition("/")[0]


def use(conn: Connection, button: Offered, person: Person, *, now: int, outcome: str | None = None) -> bool:
    """Do what a button stands for, once for its event. False: it was done, or the button is too old."""
    mine = (chat_buttons.c.nonce == button.nonce) & (chat_buttons.c.expires_at > now)
    name = storable(person.name)
    used = {"used_at": now, "used_by": person.id, "used_name": name, "outcome": outcome}
    unused = chat_buttons.c.used_at.is_(None)
    if conn.execute(update(chat_buttons).where(mine, unused).values(**used)).rowcount != 1:
        return False
    conn.execute(update(chat_buttons).where(_same(button), unused).values(**used))
    return True


def _same(button: Offered) -> ColumnElement[bool]:
    """The buttons that stand for the same act."""
    same = (chat_buttons.c.event == button.event) & (chat_buttons.c.deed == button.deed)
    return same & (chat_buttons.c.destination == button.destination) if button.deed in LOCAL else same


class Showing(Struct, frozen=True, kw_only=True):
    """What messages are to say from now on. `instead` is said where a message cannot be changed any more.

    `say` says it as a destination reads it.
    """

    button: Offered
    message: str
    instead: Message
    say: Callable[[Connection, Message, str], Message] = lambda _conn, message, _to: message


def show(conn: Connection, showing: Showing, *, clock: Clock, now: int) -> list[dict[str, Any]]:
    """Have every message of the button's event say what was done, those in other chats too; the deliveries' rows."""
    mine = select(chat_buttons.c.delivery).where(_same(showing.button))
    rows = conn.execute(select(deliveries).where(deliveries.c.id.in_(mine)).order_by(deliveries.c.id)).mappings()
    made: list[dict[str, Any]] = []
    for row in rows.all():
        pressed = row["id"] == showing.button.delivery
        # What is not out yet gets its marks as it is claimed.
        if not pressed and row["receipts"] == "[]" and row["status"] != "sending":
            continue
        instead = showing.say(conn, showing.instead, row["destination"])
        carrier = insert_answer(conn, instead, row["destination"], new_id=clock.new_id, now=now)
        message = showing.message if pressed else ""
        conn.execute(chat_changes.insert().values(id=carrier["event"], at=now, delivery=row["id"], message=message))
        made.append(carrier)
    return made


def _changes(conn: Connection, ids: Sequence[str]) -> dict[str, Change]:
    """The changes that these answers carry; one whose message is forgotten is an answer like any other."""
    found: dict[str, Change] = {}
    for start in range(0, len(ids), _CHUNK):
        query = (
            select(chat_changes.c.id.label("carrier"), chat_changes.c.message.label("pressed"), deliveries)
            .join(deliveries, deliveries.c.id == chat_changes.c.delivery)
            .where(chat_changes.c.id.in_(ids[start : start + _CHUNK]))
        )
        for row in conn.execute(query).mappings().all():
            event = conn.execute(select(events).where(events.c.id == row["event"])).mappings().first()
            if event is None:
                continue
            made = from_row(dict(event))
            if row["digest"] is not None or _shows_another(conn, row, made):
                continue  # What was done is said in a message of its own, and nothing newer is written over.
            found[row["carrier"]] = Change(
                event=made,
                progress=Progress(tuple(orjson.loads(row["receipts"])), tuple(orjson.loads(row["doubts"]))),
                marks=marks_of(rows_of(conn, [made.id]), row["id"], row["destination"], made),
                message=row["pressed"],
                subscription=row["subscription"],
                reader=reader_of(conn, made, row["destination"]),
            )
    return found


def _shows_another(conn: Connection, row: RowMapping, event: Event) -> bool:
    """Whether the message that tells of the event has come to tell of another state of its run."""
    here = (living.c.run == event.run) & (living.c.destination == row["destination"])
    shown = conn.execute(select(living.c.event, living.c.state).where(here)).first()
    return shown is not None and (shown.event != event.id or state_named(event.type) != shown.state)
