"""Living messages: as a delivery is claimed it is decided whether it sends, edits, waits, or is shown by another.

The rows are the truth. A run's message is remembered in the transaction that records its sending, and what it shows in
the one that records the edit; what it is to show are the deliveries that have not ended. An edit is the same however
often it is made, so one whose answer is lost, or that a crash cut off, is in no doubt and is simply made again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, and_, select, update

from notifiers import store
from notifiers.bus.embedded import from_row
from notifiers.channels import Receipt
from notifiers.clock import Clock, to_us
from notifiers.database import Op
from notifiers.living_tables import living
from notifiers.reading import Reader, read_reader
from notifiers.shown import Shown, way_of
from notifiers.store import Claimed, Result
from notifiers.tables import deliveries, events
from rules.event import Event, Severity
from rules.living import FAILURES, Place, due, place_of, state_named, state_of

RECOVERY = "recovery:"
"""Before a living message's id, what stands in place of a subscription in the delivery of its recovery."""

_CHUNK = 500
Row = Mapping[Any, Any]


class Ask(Struct, frozen=True):
    """A delivery to claim. `edit_at` is the earliest moment (microseconds) at which it may be an edit."""

    id: str
    edit_at: int | None = None


class Later(Struct, frozen=True):
    """It is not to go before `at` (microseconds), and was not tried."""

    at: int


class Living:
    """Claims and records deliveries as the store does, and lets those of one run at one destination be one message.

    `channels` are those whose messages can be edited; `claiming` is how deliveries are claimed otherwise.
    """

    def __init__(
        self, channels: Collection[str], clock: Clock, claiming: Op[str, Claimed | None] = store.claim
    ) -> None:
        self._channels = frozenset(channels)
        self._clock = clock
        self._claiming = claiming

    def edits(self, destination: str) -> bool:
        """Whether messages can be edited there."""
        return destination.partition(":")[0] in self._channels

    def claim(self, conn: Connection, batch: Sequence[Ask]) -> list[Claimed | Later | None]:
        """Take deliveries for one try each. None: it is not pending, or needs no try any more, as its row now says."""
        claimed = self._claiming(conn, [ask.id for ask in batch])
        now = to_us(self._clock.now())
        return [
            one if one is None or not self._concerns(one) else self._decide(conn, one, ask, now)
            for one, ask in zip(claimed, batch, strict=True)
        ]

    def _concerns(self, one: Claimed) -> bool:
        if not self.edits(one.destination) or one.answer is not None or one.replay:
            return False
        return one.subscription.startswith(RECOVERY) or state_of(one.event) is not None

    def _decide(self, conn: Connection, one: Claimed, ask: Ask, now: int) -> Claimed | Later | None:
        of_recovery = one.subscription.startswith(RECOVERY)
        decided = self._recovery(conn, one) if of_recovery else self._state(conn, one)
        if isinstance(decided, str):
            # Where an answer was lost, somebody may have read it.
            status = "uncertain" if one.progress.doubts else "suppressed"
            _put_back(conn, one, status=status, error=decided, ended_at=now, next_attempt_at=None)
            return None
        shown, row = decided
        if row is not None and shown.way == "edit" and not one.progress.receipts:
            at = max(due(shown.state, one.event.severity, row["edits"], row["touched_at"]), ask.edit_at or 0)
            if at > now:
                _put_back(conn, one, status="pending", next_attempt_at=at)
                return Later(at)
            conn.execute(update(living).where(living.c.id == shown.id).values(touched_at=now))
        return replace(one, living=shown)

    def _state(self, conn: Connection, one: Claimed) -> tuple[Shown, Row | None] | str:
        """What becomes of a state of a run; words for why nothing does."""
        state = state_of(one.event) or ""
        here = (living.c.run == one.event.run) & (living.c.destination == one.destination)
        row: Row | None = conn.execute(select(living).where(here)).mappings().first()
        if (way := way_of(one.progress)) is not None:
            reader = read_reader(row["reader"]) if row else None
            return Shown(id=row["id"] if row else "", way=way, state=state, receipt=_receipt(row), reader=reader), row
        place = place_of(state, one.seq)
        if row is not None and place_of(row["state"], row["event_seq"]) >= place:
            return f"message {_receipt_id(row)} shows a later state of the run: {row['state']}"
        if (later := _later(conn, one, place)) is not None:
            return f"a later state of the run is shown instead: event {later}"
        if row is None:
            return Shown(id=self._clock.new_id(), way="first", state=state), None
        return _change(row, state), row

    def _recovery(self, conn: Connection, one: Claimed) -> tuple[Shown, Row | None] | str:
        id_ = one.subscription.removeprefix(RECOVERY)
        row: Row | None = conn.execute(select(living).where(living.c.id == id_)).mappings().first()
        found = row and conn.execute(select(events).where(events.c.id == row["event"])).mappings().first()
        if row is None or not found:
            return "the message of the failure is too old to be changed"
        shown = _change(row, "recovered")
        if (way := way_of(one.progress)) is not None:
            shown = replace(shown, way=way)
        return replace(shown, failure=from_row(dict(found)), under=row["edits"] > 0), row

    def record(self, conn: Connection, batch: Sequence[Result]) -> list[bool]:
        """End tries as the store does, and remember what the messages show with it."""
        ours = store.record(conn, batch)
        for result, is_ours in zip(batch, ours, strict=True):
            if result.claimed.living is not None and is_ours:
                _remember(conn, result, result.claimed.living)
        return ours

    def recover(self, conn: Connection, batch: Sequence[int]) -> list[list[str]]:
        """At start, for the time, before anything is claimed: edits that were on their way are made again."""
        return [[*_recover_edits(conn, self.edits, now), *store.recover(conn, [now])[0]] for now in batch]


def only_edits(conn: Connection, event: Event, destination: str) -> bool:
    """Whether an event does no more at a destination than change a message that is there: nobody is notified of that.

    What is bad gets a word of its own under the message, and so does the end of a log.
    """
    if state_of(event) is None or event.severity >= Severity.error or event.data.get("log_tail"):
        return False
    here = (living.c.run == event.run) & (living.c.destination == destination) & living.c.refused.is_(None)
    return conn.execute(select(living.c.id).where(here)).first() is not None


def _put_back(conn: Connection, one: Claimed, **values: Any) -> None:
    """Undo a claim: nothing was tried."""
    conn.execute(update(deliveries).where(deliveries.c.id == one.id).values(attempts=one.attempts - 1, **values))


def _change(row: Row, state: str) -> Shown:
    way: Any = "edit" if row["refused"] is None else "again"
    reader = read_reader(row["reader"])
    return Shown(id=row["id"], way=way, state=state, receipt=_receipt(row), refused=row["refused"], reader=reader)


def _receipt(row: Row | None) -> Receipt | None:
    if row is None:
        return None
    found = orjson.loads(row["receipt"])
    return Receipt(id=str(found.pop("id")), data=found)


def reader_of(conn: Connection, event: Event, destination: str) -> Reader | None:
    """Who the message of the event's run was written for at that destination, where it has one that changes."""
    here = (living.c.run == event.run) & (living.c.destination == destination)
    return read_reader(conn.scalar(select(living.c.reader).where(here)))


def _receipt_id(row: Row) -> str:
    return str(orjson.loads(row["receipt"])["id"])


def _states(conn: Connection, run: str | None) -> dict[str, Place]:
    """The events that tell of states of a run, with their places."""
    query = select(events.c.id, events.c.type, events.c.seq).where(events.c.run == run)
    states = [(id_, state_named(type_), seq) for id_, type_, seq in conn.execute(query)]
    return {id_: place_of(state, seq) for id_, state, seq in states if state is not None}


def _later(conn: Connection, one: Claimed, place: Place) -> str | None:
    """The event of a delivery that is to show a later state of the run at the same destination, if there is one."""
    later = {id_: there for id_, there in _states(conn, one.event.run).items() if there > place}
    if not later:
        return None
    waits = deliveries.c.status.in_(("pending", "sending")) & (deliveries.c.destination == one.destination)
    waiting = select(deliveries.c.event).where(deliveries.c.event.in_(later), waits, deliveries.c.replay == 0)
    return max(conn.scalars(waiting), key=lambda id_: later[id_], default=None)


def _remember(conn: Connection, result: Result, shown: Shown) -> None:
    claimed, receipts = result.claimed, result.progress.receipts
    here = living.c.id == shown.id
    if result.refused_edit is not None:
        conn.execute(update(living).where(here).values(refused=result.refused_edit))
        return
    if claimed.progress.receipts:
        return
    first = receipts[0] if receipts else None
    if first is None:
        if shown.way == "edit":
            conn.execute(update(living).where(here).values(touched_at=result.now))
        return
    values: dict[str, Any] = {"state": shown.state, "touched_at": result.now}
    if shown.failure is None:
        _end_earlier(conn, claimed, shown.state, str(first["id"]), result.now)
        values |= {"event": claimed.event.id, "event_seq": claimed.seq, "subscription": claimed.subscription}
        values["open_failure"] = claimed.event.job if shown.state in FAILURES else None
    if shown.way == "edit":
        conn.execute(update(living).where(here).values(**values, edits=living.c.edits + 1))
        return
    values |= {"receipt": orjson.dumps(first).decode(), "refused": None}
    if not conn.execute(update(living).where(here).values(**values)).rowcount:
        about = {"run": claimed.event.run, "destination": claimed.destination}
        made = {"id": shown.id, "edits": 0, "recovered_by": None, "reader": claimed.reader.text}
        conn.execute(living.insert().values(**made, **about, **values))


def _end_earlier(conn: Connection, one: Claimed, state: str, message: str, now: int) -> None:
    """What waits to show an earlier state of the run there need not wait any longer."""
    place = place_of(state, one.seq)
    earlier = [id_ for id_, there in _states(conn, one.event.run).items() if there < place]
    waits = (deliveries.c.status == "pending") & (deliveries.c.receipts == "[]") & (deliveries.c.doubtful == 0)
    here = deliveries.c.event.in_(earlier) & (deliveries.c.destination == one.destination) & waits
    words = f"message {message} shows a later state of the run: {state}"
    end = {"status": "suppressed", "error": words, "ended_at": now, "next_attempt_at": None}
    if earlier:
        conn.execute(update(deliveries).where(here, deliveries.c.replay == 0).values(**end))


def shows_failure(result: Result) -> str | None:
    """The job whose failure a message shows since this try, if it does."""
    shown, claimed = result.claimed.living, result.claimed
    fresh = bool(result.progress.receipts) and not claimed.progress.receipts
    failed = shown is not None and shown.failure is None and shown.state in FAILURES
    return claimed.event.job if failed and fresh else None


def _recover_edits(conn: Connection, edits: Any, now: int) -> list[str]:
    """Edits that were on their way: whether they were made is not asked."""
    of_run = and_(living.c.run == events.c.run, living.c.destination == deliveries.c.destination)
    of_recovery: ColumnElement[bool] = deliveries.c.subscription == RECOVERY + living.c.id
    query = (
        select(deliveries.c.id, deliveries.c.destination, living.c.id.label("message"))
        .join_from(deliveries, events, events.c.id == deliveries.c.event)
        .join(living, of_recovery | (of_run & deliveries.c.subscription.not_like(f"{RECOVERY}%")))
        .where(
            deliveries.c.status == "sending",
            deliveries.c.receipts == "[]",
            deliveries.c.replay == 0,
            living.c.refused.is_(None),
        )
    )
    found = [row for row in conn.execute(query) if edits(row.destination)]
    for row in found:
        again = {"status": "pending", "next_attempt_at": now, "error": "the program ended while this was on its way"}
        conn.execute(update(deliveries).where(deliveries.c.id == row.id).values(**again))
        conn.execute(update(living).where(living.c.id == row.message).values(touched_at=now))
    return [row.destination for row in found]
