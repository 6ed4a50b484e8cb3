"""What is heard from chats, in its order: who may ask is answered, who may not is told so once, and nothing is lost.

An answer is a delivery like any other, made in the transaction that moves the cursor over the question: after a crash
either both are there, or the question is heard again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace
from sqlalchemy import Connection

from notifiers.bus.embedded import append_once
from notifiers.chat import Daemon, Filled, Heard, Moved, Pressed, Room, Said, Shut
from notifiers.chat import wording as words
from notifiers.chat.asking import Ask, Known, asked, invited
from notifiers.chat.button_wording import toast
from notifiers.chat.deeds import Deeds
from notifiers.chat.dialogues import Dialogue, open_dialogue
from notifiers.chat.floods import SECONDS, Floods, Once, Turnout
from notifiers.chat.forms import Answered, Form, Forms
from notifiers.chat.looking import held_by, held_in, paused_in
from notifiers.chat.orders import Orders
from notifiers.chat.people import guest_grants
from notifiers.chat.presses import Presses
from notifiers.chat.questions import Command, Questions, answer
from notifiers.chat.silence import Silence
from notifiers.chat.speaking import Speech, act_in, remembered_for
from notifiers.chat.tongues import Tongues
from notifiers.chat.turns import Act, Done, Reply, Turn, heard_before, read_cursor, settle
from notifiers.clock import Clock, to_us
from notifiers.database import Database
from notifiers.delivery import Delivery
from notifiers.owner import Notice, Owner
from notifiers.reading import ENGLISH, Reader
from notifiers.store import move, pause, resume
from rules.commands import COMMANDS, CommandError, Invited, check, opened, parse
from rules.commands import Command as Typed
from rules.event import Event, Severity
from rules.phrases import phrase
from rules.phrases import spoken as in_tongue
from rules.rights import Grant

log = logging.getLogger(__name__)

STRANGERS_S = 86_400.0
"""Somebody who may nothing is told so once in this time."""


class Conversations:
    """Hears, decides, settles, and lets the answers go."""

    def __init__(
        self,
        database: Database,
        delivery: Delivery,
        daemon: Daemon,
        granted: Mapping[str, tuple[Grant, ...]],
        *,
        clock: Clock,
        owner: Owner,
        published: Callable[[], None],
        reader: Reader = ENGLISH,
    ) -> None:
        self.granted = granted
        self._database = database
        self._delivery = delivery
        self._clock = clock
        self._owner = owner
        self._published = published
        self._speech = speech = Speech(database, reader)
        questions = Questions(database, daemon, clock)
        self._orders = Orders(database, daemon, clock)
        self._commands: Mapping[str, Command] = {
            **questions.by_name(),
            **Deeds(questions, clock).by_name(),
            **Silence(database, clock).by_name(),
            **self._orders.by_name(),
            **Tongues(reader).by_name(),
        }
        self._forms = Forms(database, daemon, self._orders, clock, rights=self._rights)
        self._floods = Floods()
        self._presses = Presses(
            database,
            daemon,
            clock,
            commands=self._commands,
            orders=self._orders,
            rights=self._rights,
            floods=self._floods,
            say=speech.said_to,
        )
        self._strangers = Once(STRANGERS_S)

    async def heard_to(self, of: str) -> int | None:
        """The number of the last thing heard from a service that had an effect, where that still matters."""
        now = to_us(self._clock.now())
        return await self._database.read(lambda conn: read_cursor(conn, of, now))

    async def knows(self, heard: Heard) -> bool:
        """Whether something with an id of its own was settled already: whoever asks first is spared the rest.

        The answer binds nobody: what counts is the transaction that settles it.
        """
        return await self._database.read(lambda conn: heard_before(conn, heard))

    async def hear(self, heard: Said | Shut | Moved | Pressed, room: Room) -> str | None:
        """Take in one thing. What calls for nothing leaves no trace; the cursor need not move over it.

        A word that comes back is for the eyes of whoever pressed a button, at once; all that it says is durable.
        """
        word: str | None = None
        if isinstance(heard, Pressed):
            act, word = await self._presses.press(heard, room)
            to = heard.place.destination
        elif isinstance(heard, Said):
            act, to = await self._asked(heard, room), heard.place.destination
        elif isinstance(heard, Shut):
            act, to = await self._shut(heard), heard.place.destination
        else:
            act, to = self._moved(heard), heard.new
        if act is None and word is None:
            return None
        tongue = await self._speech.to(to, heard.language if isinstance(heard, Said | Pressed) else None)
        if act is not None:
            typed = heard.typed if isinstance(heard, Said) else "/"
            word = await self._settle(heard.heard, to, act_in(act, tongue, typed)) or word
        return None if word is None else toast(in_tongue(word, tongue))

    async def word(self, text: str) -> str:
        """Something for somebody who is in no place that is known: in the configuration's language."""
        return await self._speech.word(text)

    async def _settle(self, heard: Heard, to: str, act: Act) -> str | None:
        """Carry it out, once however often it is heard; what it says to whoever asked for it."""
        now = to_us(self._clock.now())
        turn = Turn(heard=heard, to=to, act=act, now=now, new_id=self._clock.new_id)
        settled = await self._database.write(settle, turn)
        if settled.then is not None:
            settled.then()
        if settled.changed:
            await self._delivery.refresh()
        self._delivery.expect(settled.waiting)
        self._published()
        return settled.word

    async def form(self, said: Said, room: Room) -> Form | None:
        """The form that `/run JOB` asks for, kept. None: this is to be heard as everything else is.

        Whoever showed it says so by `shown`; until then the same command heard again has the same form.
        """
        made = await self._forms.asked(said, room)
        if made is None or self._floods.one_more(said.place.chat, self._clock.monotonic()) is not Turnout.answered:
            return None
        return replace(made, tongue=await self._speech.by(made.reading))

    async def shown(self, said: Said) -> None:
        """The command is carried out: its form stands before whoever typed it."""
        await self._settle(said.heard, said.place.destination, lambda _conn: Reply())

    async def fill(self, filled: Filled, room: Room) -> Answered:
        """What becomes of a form that was sent; whatever its `act` was is settled."""
        answered = await self._forms.sent(filled, room)
        if answered.ask is None:
            return replace(answered, word=answered.word and await self.word(answered.word))
        to, tongue = answered.ask.place.destination, await self._speech.by(answered.ask.reading)
        if answered.act is None:
            wrong = {place: in_tongue(text, tongue) for place, text in answered.wrong.items()}
            word = answered.word and in_tongue(answered.word, tongue)
            return replace(answered, wrong=wrong, word=word, tongue=tongue)
        word = await self._settle(filled.heard, to, act_in(answered.act, tongue))
        return Answered(word=None if word is None else in_tongue(word, tongue), ask=answered.ask, tongue=tongue)

    async def tell(self, event: Event) -> None:
        """Publish an event of the chats' own."""
        await self._database.write(append_once, event)
        self._published()

    async def _asked(self, said: Said, room: Room) -> Act | None:
        command = parse(said.text, said.me)
        if command is None and not said.place.private and not said.replies:
            return None
        answering: Act | None = None
        if command is None or command.name not in COMMANDS:
            answering, taken = await self._answered(said, room)
            if taken:
                return answering
        if command is None and answering is None and not said.place.private:
            return None
        turnout = self._floods.one_more(said.place.chat, self._clock.monotonic())
        return None if turnout is Turnout.ignored else await self._replied(said, command, answering, turnout, room)

    async def _replied(
        self, said: Said, command: Typed | None, answering: Act | None, turnout: Turnout, room: Room
    ) -> Act | None:
        known = await self._database.read(lambda conn: self._rights(conn, said))
        if not known.grants and not (known.held and not said.place.private) and not _invited(command):
            return self._stranger(said)
        if turnout is Turnout.told_off:
            much = phrase("That is more than is answered at a time. Wait {seconds} seconds.", seconds=round(SECONDS))
            return answer(words.said(much))
        if answering is not None:
            return answering
        if command is None:
            return answer(words.help_text(phrase("Only commands are understood here")))
        now = to_us(self._clock.now())
        return await self._carry_out(asked(said, known, room, now, command.name, command.words))

    async def _answered(self, said: Said, room: Room) -> tuple[Act | None, bool]:
        """What becomes of words that answer a question, and whether they are an answer that can be taken.

        Who answers many questions well is no flood.
        """
        now = to_us(self._clock.now())
        place = said.place.destination

        def read(conn: Connection) -> tuple[Dialogue | None, Known]:
            dialogue = open_dialogue(conn, said.person.id, place, now)
            return (None, Known()) if dialogue is None else (dialogue, self._rights(conn, said))

        dialogue, known = await self._database.read(read)
        if dialogue is None or not (said.place.private or said.replies):
            return None, False
        ask = asked(said, known, room, now, "run")
        try:
            return await self._orders.said(ask, dialogue, said.text.strip())
        except CommandError as error:
            return answer(words.said(error.text, severity=Severity.warning)), False

    async def _carry_out(self, ask: Ask) -> Act:
        try:
            check(Typed(ask.name, ask.words))
            return await self._commands[ask.name](ask)
        except CommandError as error:
            return answer(words.said(error.text, severity=Severity.warning))

    def _rights(self, conn: Connection, said: Said) -> Known:
        person = said.person.id
        grants = (*self.granted.get(person, ()), *guest_grants(conn, person))
        place = said.place.destination
        return Known(grants, tuple(held_by(conn, place)), remembered_for(conn, place))

    def _stranger(self, said: Said) -> Act | None:
        if not self._strangers.first(f"{said.person.id} {said.place.chat}", self._clock.monotonic()):
            return None
        text = f"{said.person.name} ({said.person.id}) wrote from {said.place.destination}, and has no role"
        done = Done(act="denied", person=said.person, place=said.place.destination, text=text, allowed=False)
        title = phrase("This bot serves a team, and you have no role here yet")
        message = words.said(invited(said.person), title=title)
        return lambda _conn: Reply(message=message, done=(done,))

    async def _shut(self, heard: Shut) -> Act | None:
        """Who has subscriptions and shuts the bot out is paused, and the owner told; the other way round, resumed."""
        find = paused_in if heard.open else held_in
        found = await self._database.read(lambda conn: find(conn, heard.place.chat))
        if not found:
            return None
        return self._resumed(heard, found) if heard.open else self._paused(heard, found)

    def _paused(self, heard: Shut, destinations: Sequence[str]) -> Act:
        text = f"{heard.place.chat} gets no messages any more: {heard.why}"
        done = _of_bot(heard, "removed", text, Severity.warning)
        now = to_us(self._clock.now())

        def act(conn: Connection) -> Reply:
            fresh = [one for one in destinations if pause(conn, one, heard.why, now)]

            def notice(event: Event) -> Notice | None:
                return self._owner.paused(event, fresh[0], heard.why)

            return Reply(done=(done,), notice=notice, changed=True) if fresh else Reply()

        return act

    def _resumed(self, heard: Shut, destinations: Sequence[str]) -> Act:
        done = _of_bot(heard, "returned", f"{heard.place.chat} gets messages again: {heard.why}", Severity.info)
        now = to_us(self._clock.now())

        def act(conn: Connection) -> Reply:
            resume(conn, [(one, now) for one in destinations])
            return Reply(done=(done,), changed=True)

        return act

    def _moved(self, heard: Moved) -> Act:
        now = to_us(self._clock.now())

        def act(conn: Connection) -> Reply:
            if not held_in(conn, heard.old):
                return Reply()
            move(conn, heard.old, heard.new, now)
            return Reply(changed=True)

        return act


def _invited(command: Typed | None) -> bool:
    return (
        command is not None
        and command.name == "start"
        and len(command.words) == 1
        and isinstance(opened(command.words[0]), Invited)
    )


def _of_bot(heard: Shut, act: str, text: str, severity: Severity) -> Done:
    return Done(act=act, person=heard.person, place=heard.place.chat, text=text, severity=severity)
