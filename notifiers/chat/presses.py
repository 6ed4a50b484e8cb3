"""What a press on a button amounts to: rights are checked now, and whatever acts acts once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace
from sqlalchemy import Connection

from notifiers.chat import Daemon, Order, Pressed, Room, Said
from notifiers.chat import button_wording as words
from notifiers.chat import run_wording as asking
from notifiers.chat.asking import UNSURE, Ask, Known, absent, asked
from notifiers.chat.buttons import Offered, Showing, find, show, use
from notifiers.chat.dialogues import Offer, find_choice
from notifiers.chat.floods import Floods, Once, Turnout
from notifiers.chat.orders import Orders
from notifiers.chat.questions import Command
from notifiers.chat.turns import Act, Done, Reply
from notifiers.clock import Clock, to_us
from notifiers.database import Database
from notifiers.message import Message
from notifiers.mutes import mute_until_fixed
from rules.commands import CommandError
from rules.event import Severity
from rules.phrases import joined
from rules.rights import Role, may_see

log = logging.getLogger(__name__)

ASKS = {"details": "why", "log": "log"}
"""The command that a looking button stands for."""

_AUDITED_S = 86_400.0
"""The same person is audited for the same wrong press once in this time."""

Rights = Callable[[Connection, Said], Known]


class Outcome(NamedTuple):
    """What is to be settled, if anything, and what the presser is shown where the settling has no word for it."""

    act: Act | None
    word: str


class Presses:
    """Decides about presses.

    `rights` reads what somebody may do, and what the place is told of; `say` says a message as a destination reads it.
    """

    def __init__(
        self,
        database: Database,
        daemon: Daemon,
        clock: Clock,
        *,
        commands: Mapping[str, Command],
        orders: Orders,
        rights: Rights,
        floods: Floods,
        say: Callable[[Connection, Message, str], Message],
    ) -> None:
        self._database = database
        self._daemon = daemon
        self._clock = clock
        self._commands = commands
        self._orders = orders
        self._rights = rights
        self._floods = floods
        self._say = say
        self._audited = Once(_AUDITED_S)
        self._acting: Mapping[str, Callable[[Ask, Pressed, Offered], Awaitable[Outcome]]] = {
            "acknowledge": self._note,
            "mute": self._note,
            "rerun": self._rerun,
        }

    async def press(self, pressed: Pressed, room: Room) -> Outcome:
        """What becomes of a press."""
        said = Said(heard=pressed.heard, place=pressed.place, person=pressed.person, text="", language=pressed.language)

        def read(conn: Connection) -> tuple[Offered | None, Offer | None, Known]:
            button = find(conn, pressed.data, pressed.place, pressed.message)
            offer = find_choice(conn, pressed.data) if button is None else None
            return button, offer, self._rights(conn, said)

        button, offer, known = await self._database.read(read)
        ask = asked(said, known, room, to_us(self._clock.now()), "run")
        if offer is not None and offer.dialogue.place == pressed.place.destination:
            return await self._choose(ask, offer)
        if button is None:
            # Forged, copied from another chat, or forgotten: which of them is nobody's business.
            return self._refused(pressed, None, words.UNKNOWN)
        if button.expires_at <= ask.now:
            return Outcome(None, words.EXPIRED)
        return await self._on_run(replace(ask, name=button.deed, words=(button.run,)), pressed, button)

    async def _on_run(self, ask: Ask, pressed: Pressed, button: Offered) -> Outcome:
        """A button under a run's message."""
        if (why := self._forbidden(ask, button)) is not None:
            return self._refused(pressed, button, why)
        if button.used is not None:
            return Outcome(None, words.already(button.deed, button.used))
        # Many presses are many questions to the service, and so come second.
        if not button.acts and self._is_flood(ask):
            return Outcome(None, words.FLOOD)
        if (why := await absent(ask)) is not None:
            return self._refused(pressed, button, why)
        if not button.acts:
            return await self._look(ask, button)
        return await self._acting[button.deed](ask, pressed, button)

    def _is_flood(self, ask: Ask) -> bool:
        return self._floods.one_more(ask.place.chat, self._clock.monotonic()) is not Turnout.answered

    def _forbidden(self, ask: Ask, button: Offered) -> str | None:
        """Why the person may not press that; None: they may, if they are in the chat."""
        topics = self._daemon.jobs.get(button.job, ())
        if not ask.grants and (ask.place.private or button.acts):
            return words.NO_ROLE
        if button.acts and not may_see(ask.grants, topics, Role.operator):
            return words.NOT_YOURS
        # The end of a log stands in the message; the rest of it is not for everybody who reads along.
        if not (may_see(ask.grants, topics) if button.deed == "log" else ask.sees(topics)):
            return words.HIDDEN
        return None

    def _refused(self, pressed: Pressed, button: Offered | None, why: str) -> Outcome:
        """The word; and once in a while an audit row."""
        key = f"{pressed.person.id} {pressed.place.chat} {why}"
        if why == UNSURE or not self._audited.first(key, self._clock.monotonic()):
            return Outcome(None, why)
        text = "a button that means nothing there" if button is None else f"{button.deed} of run {button.run}"
        text = f"{pressed.person.name} ({pressed.person.id}) pressed {text} in {pressed.place.destination}"
        log.warning("chat.press_refused", extra={"person": pressed.person.id, "reason": why})
        done = Done(
            act="denied",
            person=pressed.person,
            place=pressed.place.destination,
            text=text,
            allowed=False,
            detail={"reason": why, "button": None if button is None else button.deed},
        )
        return Outcome(lambda _conn: Reply(done=(done,)), why)

    async def _look(self, ask: Ask, button: Offered) -> Outcome:
        command = ASKS[button.deed]
        try:
            act = await self._commands[command](replace(ask, name=command))
        except CommandError as error:
            return Outcome(None, error.text)
        return Outcome(act, words.SHOWN)

    async def _choose(self, ask: Ask, offer: Offer) -> Outcome:
        """An answer to a question of `/run`, from whom it was asked, where it stands now."""
        dialogue = offer.dialogue
        if dialogue.person != ask.person.id:
            return Outcome(None, asking.NOT_YOURS)
        if offer.ended or dialogue.expires_at <= ask.now:
            return Outcome(None, asking.OVER)
        if offer.step != dialogue.step:
            return Outcome(None, asking.ANSWERED)
        try:
            return Outcome(await self._orders.chosen(ask, dialogue, offer.choice), words.TAKEN)
        except CommandError as error:
            return Outcome(None, error.text)

    async def _note(self, ask: Ask, pressed: Pressed, button: Offered) -> Outcome:
        return Outcome(partial(self._do, ask=ask, pressed=pressed, button=button), words.done(button.deed))

    async def _rerun(self, ask: Ask, pressed: Pressed, button: Offered) -> Outcome:
        order = await self._daemon.repeat(button.run)
        if isinstance(order, str):
            return Outcome(None, order)
        return Outcome(partial(self._do, ask=ask, pressed=pressed, button=button, order=order), words.done(button.deed))

    def _do(
        self, conn: Connection, *, ask: Ask, pressed: Pressed, button: Offered, order: Order | None = None
    ) -> Reply:
        """Use the button up, act, and have the messages say so: one transaction with the cursor over the press."""
        person, outcome = ask.person, None if order is None else order.run
        if not use(conn, button, person, now=ask.now, outcome=outcome):
            return Reply(word=words.ALREADY)
        if order is not None:
            order.place(conn)
        if button.deed == "mute":
            mute_until_fixed(
                conn,
                button.destination,
                button.job,
                person=person.id,
                name=person.name,
                id_=self._clock.new_id(),
                now=ask.now,
            )
        text = words.told(button.deed, person.name, person.id, button.job, button.run, outcome)
        title = joined(": ", [button.job, words.line(button.deed, person.name, ask.now, outcome)])
        instead = Message(title=title, severity=Severity.info)
        showing = Showing(button=button, message=pressed.message, instead=instead, say=self._say)
        detail = {"run": button.run, "job": button.job, "about": button.event, "new_run": outcome}
        done = Done(act=words.ACTS[button.deed], person=person, place=ask.place.destination, text=text, detail=detail)
        return Reply(
            done=(done,),
            rows=tuple(show(conn, showing, clock=self._clock, now=ask.now)),
            then=None if order is None else order.placed,
            changed=button.deed == "mute",
        )
