"""`/run JOB` as a form, where a chat can show one: all of the job's parameters at once, and the word to run with them.

A form is a dialogue of one step that nothing said in the chat answers (see `dialogues`), and what it carries is a
nonce: kept before it is shown, so that whoever sends it is known after a restart, and used up by the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace
from sqlalchemy import Connection

from notifiers.chat import Daemon, Filled, Parameter, Place, Room, Said
from notifiers.chat import run_wording as words
from notifiers.chat.asking import Ask, asked
from notifiers.chat.button_wording import UNKNOWN
from notifiers.chat.buttons import new_nonces
from notifiers.chat.dialogues import HELD_US, Choice, Dialogue, Offer, begin, find_choice, first_nonce
from notifiers.chat.orders import Orders
from notifiers.chat.presses import Rights
from notifiers.chat.speaking import NOTHING
from notifiers.chat.turns import Act
from notifiers.clock import Clock, to_us
from notifiers.database import Database
from notifiers.reading import ENGLISH, Reading
from notifiers.reading.language import Language, language
from rules.commands import CommandError, parse
from rules.phrases import why

_PLACE: Final = "form "
_LEFT_OUT: Final = object()


class Form(Struct, frozen=True, kw_only=True):
    """What is to be shown to one person: fields for the parameters, in their order, and the nonce to send with them."""

    job: str
    nonce: str
    parameters: Sequence[Parameter]
    reading: Reading = NOTHING
    tongue: Language = field(default_factory=lambda: language(ENGLISH))


class Answered(Struct, frozen=True, kw_only=True):
    """What became of a form: `act`, to be settled, answers `ask`; else what is wrong, by the places of fields."""

    act: Act | None = None
    ask: Ask | None = None
    wrong: Mapping[int, str] = field(default_factory=dict)
    word: str | None = None
    tongue: Language = field(default_factory=lambda: language(ENGLISH))


class Forms:
    """Makes forms, and takes what is sent with them. `rights` reads what somebody may do, and what a place is told."""

    def __init__(self, database: Database, daemon: Daemon, orders: Orders, clock: Clock, *, rights: Rights) -> None:
        self._database = database
        self._daemon = daemon
        self._orders = orders
        self._clock = clock
        self._rights = rights

    async def asked(self, said: Said, room: Room) -> Form | None:
        """The form that somebody asks for by `/run JOB`. None: it is no such command, or they may not run that."""
        command = parse(said.text, said.me)
        if command is None or command.name != "run" or len(command.words) != 1:
            return None
        ask = await self._ask(said, room)
        return await self._open(ask, command.words[0]) if ask.grants else None

    async def sent(self, filled: Filled, room: Room) -> Answered:
        """What becomes of a form that was sent."""
        offer = await self._database.read(lambda conn: find_choice(conn, filled.data))
        if offer is None or offer.choice.what != "form":
            return Answered(word=UNKNOWN)
        to = offer.dialogue.place.removeprefix(_PLACE)
        place = Place(to, to.partition("/")[0], private=to == offer.dialogue.person)
        ask = await self._ask(Said(heard=filled.heard, place=place, person=filled.person, text=""), room)
        return await self._take(ask, offer, filled.values)

    async def _ask(self, said: Said, room: Room) -> Ask:
        known = await self._database.read(lambda conn: self._rights(conn, said))
        return asked(said, known, room, to_us(self._clock.now()), "run")

    async def _open(self, ask: Ask, job: str) -> Form | None:
        try:
            if await self._orders.refusal(ask, job) is not None:
                return None
        except CommandError:
            return None
        parameters = await self._daemon.parameters(job)
        dialogue = Dialogue(
            id=f"{_PLACE}{ask.said.heard.of} {ask.said.heard.id}",
            person=ask.person.id,
            place=_PLACE + ask.place.destination,
            job=job,
            given={},
            skipped=(),
            asked=None,
            step=0,
            expires_at=ask.now + HELD_US,
        )
        (nonce,) = new_nonces(1)
        # The fields as they are shown: the schema may be another one when they come back.
        fields = [[one.name, list(one.choices)] for one in parameters]
        choice = Choice(nonce=nonce, what="form", value=fields)
        kept = await self._database.write(partial(_keep, now=ask.now), (dialogue, choice))
        return Form(job=job, nonce=kept, parameters=parameters, reading=ask.reading)

    async def _take(self, ask: Ask, offer: Offer, values: Mapping[int, str | None]) -> Answered:
        dialogue = offer.dialogue
        if dialogue.person != ask.person.id:
            return Answered(word=words.NOT_YOURS, ask=ask)
        if offer.ended or dialogue.expires_at <= ask.now:
            return Answered(word=words.OVER, ask=ask)
        given: dict[str, Any] = {}
        wrong: dict[int, str] = {}
        parameters = {one.name: one for one in await self._daemon.parameters(dialogue.job)}
        for place, (name, choices) in enumerate(offer.choice.value):
            try:
                value = await self._value(dialogue.job, parameters.get(name), name, choices, values.get(place))
            except ValueError as error:
                wrong[place] = why(error)
            else:
                given |= {} if value is _LEFT_OUT else {name: value}
        if wrong:
            return Answered(wrong=wrong, ask=ask)
        try:
            run = Choice(nonce=offer.choice.nonce, what="run")
            act = await self._orders.chosen(ask, replace(dialogue, given=given), run)
            return Answered(act=act, ask=ask)
        except CommandError as error:
            last = len(offer.choice.value) - 1
            return Answered(word=error.text, ask=ask) if last < 0 else Answered(wrong={last: error.text}, ask=ask)

    async def _value(
        self, job: str, parameter: Parameter | None, name: str, choices: Sequence[Any], text: str | None
    ) -> Any:
        """What a field says; ValueError says what is wrong with it."""
        if text is None or not text.strip():
            if parameter is not None and parameter.required:
                if not parameter.has_default:
                    raise ValueError(words.NEEDED)
                return parameter.default
            return _LEFT_OUT
        if not choices:
            return await self._daemon.value(job, name, text)
        if not text.isdecimal() or int(text) >= len(choices):
            raise ValueError(words.NO_CHOICE)
        return choices[int(text)]


def _keep(conn: Connection, batch: Sequence[tuple[Dialogue, Choice]], *, now: int) -> list[str]:
    """Keep forms; the nonce of each, which for one that is there already is the one that it has."""
    nonces: list[str] = []
    for dialogue, choice in batch:
        kept = first_nonce(conn, dialogue.id)
        if kept is None:
            begin(conn, dialogue, [choice], now)
        nonces.append(kept or choice.nonce)
    return nonces
