"""`/run`: asks for each parameter of a job, shows them all, and asks for the run once its word is given.

A dialogue is rows: it goes on after a restart, expires, and belongs to one person in one place. What is said moves it
one step by compare-and-set, so that an answer counts once however often it is given; the run is asked for in the
transaction that ends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection

from notifiers.chat import Daemon, Order, Parameter, wording
from notifiers.chat import run_wording as words
from notifiers.chat.asking import Ask, absent, invited, refused
from notifiers.chat.buttons import new_nonces
from notifiers.chat.dialogues import HELD_US, Choice, Dialogue, begin, end, go_on, open_dialogue
from notifiers.chat.questions import Command, answer
from notifiers.chat.turns import Act, Done, Reply
from notifiers.clock import Clock
from notifiers.database import Database
from notifiers.message import Message
from rules.commands import CommandError, typed
from rules.phrases import joined, lines, phrase
from rules.phrases import why as said_by
from rules.rights import Role, may_see

_MOST_CHOICES = 30


class Orders:
    """`/run /cancel`, and what is answered to their questions."""

    def __init__(self, database: Database, daemon: Daemon, clock: Clock) -> None:
        self._database = database
        self._daemon = daemon
        self._clock = clock

    def by_name(self) -> Mapping[str, Command]:
        """Each command's name and what it does."""
        return {"run": self._run, "cancel": self._cancel}

    async def open(self, ask: Ask) -> Dialogue | None:
        """The dialogue that the person has there."""
        return await self._database.read(
            partial(open_dialogue, person=ask.person.id, place=ask.place.destination, now=ask.now)
        )

    async def _run(self, ask: Ask) -> Act:
        if not ask.words:
            topics = self._daemon.jobs
            mine = [job for job in topics if may_see(ask.grants, topics[job], Role.operator)]
            return answer(words.jobs(mine, typed("run")))
        job = ask.words[0]
        if (why := await self.refusal(ask, job)) is not None:
            return lambda _conn: refused(ask, why)
        given = {name: await self._value(job, name, text) for name, text in map(_pair, ask.words[1:])}
        dialogue = Dialogue(
            id=self._clock.new_id(),
            person=ask.person.id,
            place=ask.place.destination,
            job=job,
            given=given,
            skipped=(),
            asked=None,
            step=0,
            expires_at=ask.now + HELD_US,
        )
        dialogue, choices, message = await self._next(ask, dialogue)

        def act(conn: Connection) -> Reply:
            begin(conn, dialogue, choices, ask.now)
            return Reply(message=message)

        return act

    async def _value(self, job: str, name: str, text: str) -> Any:
        try:
            return await self._daemon.value(job, name, text)
        except ValueError as error:
            raise CommandError(joined(": ", [wording.one_line(name, 60), said_by(error)])) from None

    async def refusal(self, ask: Ask, job: str) -> str | None:
        """Why the person may not run that here and now; None: they may. CommandError: there is none for them."""
        topics = self._daemon.jobs.get(job)
        if topics is None or not ask.sees(topics):
            none = phrase("There is no job {job} that you may see. /run lists yours.", job=wording.one_line(job, 60))
            raise CommandError(none)
        if not may_see(ask.grants, topics, Role.operator):
            return words.NOT_OPERATOR if ask.grants else lines(words.NOT_OPERATOR, invited(ask.person))
        return await absent(ask)

    async def _cancel(self, ask: Ask) -> Act:
        dialogue = await self.open(ask)
        if dialogue is None:
            raise CommandError(words.NOBODY_ASKED)
        return self._ended(ask, dialogue)

    def _ended(self, ask: Ask, dialogue: Dialogue) -> Act:
        def act(conn: Connection) -> Reply:
            ended = end(conn, dialogue, ask.now)
            message = wording.said(words.CANCELLED) if ended else None
            return Reply(message=message, word=words.CANCELLED if ended else words.ANSWERED)

        return act

    async def said(self, ask: Ask, dialogue: Dialogue, text: str) -> tuple[Act, bool]:
        """What becomes of an answer that was written, and whether it was one."""
        if (why := await self._stopped(ask, dialogue)) is not None:
            return why, False
        if dialogue.asked is None:
            return answer(wording.said(words.PRESS)), False
        try:
            value = await self._daemon.value(dialogue.job, dialogue.asked, text)
        except ValueError as error:
            return answer(words.wrong(dialogue.asked, said_by(error))), False
        return await self._given(ask, dialogue, value), True

    async def chosen(self, ask: Ask, dialogue: Dialogue, choice: Choice) -> Act:
        """What becomes of an answer that was pressed."""
        if choice.what == "cancel":
            return self._ended(ask, dialogue)
        if (why := await self._stopped(ask, dialogue)) is not None:
            return why
        if choice.what == "run":
            return await self._ordered(ask, dialogue)
        if dialogue.asked is None:
            return answer(wording.said(words.PRESS))
        if choice.what == "skip":
            skipped = replace(dialogue, skipped=(*dialogue.skipped, dialogue.asked))
            return await self._further(ask, skipped)
        return await self._given(ask, dialogue, choice.value)

    async def _stopped(self, ask: Ask, dialogue: Dialogue) -> Act | None:
        """The end of it where it cannot go on: who had the right to run the job may have lost it meanwhile."""
        try:
            why = await self.refusal(ask, dialogue.job)
        except CommandError:
            why = words.NOT_OPERATOR if dialogue.job in self._daemon.jobs else words.GONE
        if why is None:
            return None

        def act(conn: Connection) -> Reply:
            return refused(ask, why) if end(conn, dialogue, ask.now) else Reply(word=words.ANSWERED)

        return act

    async def _given(self, ask: Ask, dialogue: Dialogue, value: Any) -> Act:
        given = {**dialogue.given, str(dialogue.asked): value}
        return await self._further(ask, replace(dialogue, given=given))

    async def _further(self, ask: Ask, dialogue: Dialogue) -> Act:
        further = replace(dialogue, step=dialogue.step + 1, expires_at=ask.now + HELD_US)
        further, choices, message = await self._next(ask, further)

        def act(conn: Connection) -> Reply:
            if not go_on(conn, further, choices, ask.now):
                return Reply(word=words.ANSWERED)
            return Reply(message=message)

        return act

    async def _next(self, ask: Ask, dialogue: Dialogue) -> tuple[Dialogue, Sequence[Choice], Message]:
        """The dialogue with what it waits for, and the message that says so."""
        parameters = await self._daemon.parameters(dialogue.job)
        waiting = [one for one in parameters if one.name not in dialogue.given and one.name not in dialogue.skipped]
        if waiting:
            asked, choices = waiting[0], _choices(waiting[0])
            number = len(parameters) - len(waiting) + 1
            group = not ask.place.private
            message = words.question(dialogue.job, asked, number, len(parameters), choices, group=group)
            return replace(dialogue, asked=asked.name), choices, message
        order = await self._daemon.order(dialogue.job, dialogue.given)
        if isinstance(order, str):
            raise CommandError(order, phrase("/run {job} begins again.", job=dialogue.job))
        choices = _with_nonces(["run", "cancel"], [None, None])
        return replace(dialogue, asked=None), choices, words.confirm(dialogue.job, dialogue.given, choices)

    async def _ordered(self, ask: Ask, dialogue: Dialogue) -> Act:
        order = await self._daemon.order(dialogue.job, dialogue.given)
        if isinstance(order, str):
            raise CommandError(order)
        return partial(self._order, ask=ask, dialogue=dialogue, order=order)

    def _order(self, conn: Connection, *, ask: Ask, dialogue: Dialogue, order: Order) -> Reply:
        if not end(conn, dialogue, ask.now):
            return Reply(word=words.ANSWERED)
        order.place(conn)
        person = ask.person
        text = words.requested_told(dialogue.job, order.run, person.name, person.id)
        detail = {"job": dialogue.job, "new_run": order.run}
        done = Done(act="run", person=person, place=ask.place.destination, text=text, detail=detail)
        message = words.requested(dialogue.job, order.run, person.name)
        return Reply(message=message, done=(done,), then=order.placed)


def _choices(parameter: Parameter) -> list[Choice]:
    found: list[tuple[str, Any]] = [("value", value) for value in parameter.choices[:_MOST_CHOICES]]
    if parameter.has_default and parameter.default not in parameter.choices:
        found.append(("default", parameter.default))
    if not parameter.required:
        found.append(("skip", None))
    found.append(("cancel", None))
    return _with_nonces([what for what, _ in found], [value for _, value in found])


def _with_nonces(whats: Sequence[str], values: Sequence[Any]) -> list[Choice]:
    nonces = new_nonces(len(whats))
    return [
        Choice(nonce=nonce, what=what, value=value) for nonce, what, value in zip(nonces, whats, values, strict=True)
    ]


def _pair(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not equals or not name:
        no_pair = phrase("{word} is no NAME=VALUE.", word=repr(wording.one_line(word, 60)))
        raise CommandError(joined(" ", [no_pair, typed("run")]))
    return name, text
