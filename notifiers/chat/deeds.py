"""Commands that act: what a chat is told, and invitations. Each leaves an audit row and an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection

from notifiers.chat import wording as words
from notifiers.chat.asking import Ask, invited, refused
from notifiers.chat.looking import Held
from notifiers.chat.people import use_invite
from notifiers.chat.questions import Command, Questions, answer
from notifiers.chat.tongues import asked, chosen
from notifiers.chat.turns import Act, Done, Reply
from notifiers.clock import Clock
from notifiers.message import Message, Text
from notifiers.subscriptions import Ended, Wanted, add_subscriptions, end_subscriptions, set_reading
from rules.commands import CommandError, Invited, Shown, opened, reading_of, split, typed, wanted
from rules.phrases import joined, lines, phrase
from rules.rights import Role
from rules.topics import matches

_BAD_INVITE = phrase("This invitation is not valid: it was used already, or is too old. Ask for another one.")
_NO_LIMIT = phrase(
    "limit=5 is of lists, as in /runs limit=5. Whoever is told of too much subscribes to less, e.g. with "
    "severity>=warning, or types /mute 2h."
)
_COMES_BACK = phrase("What sensord.yaml names comes back at the daemon's next start, unless it is removed there.")
_FOR_ROLES = phrase("A test message is for people with a role.")
_ROLES = {Role.viewer: phrase("viewer"), Role.operator: phrase("operator"), Role.owner: phrase("owner")}


class Deeds:
    """`/start /subscribe /unsubscribe /test`."""

    def __init__(self, questions: Questions, clock: Clock) -> None:
        self._questions = questions
        self._clock = clock

    def by_name(self) -> Mapping[str, Command]:
        """Each command's name and what it does."""
        return {
            "start": self._start,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "test": self._test,
        }

    async def _start(self, ask: Ask) -> Act:
        payload = opened(ask.words[0]) if ask.words else None
        if isinstance(payload, Invited):
            return self._accept(ask, payload.token)
        if isinstance(payload, Shown):
            message = await self._questions.topics(ask, payload.topic)
            hint = phrase("To be told here of what is said on it: /subscribe {topic}", topic=payload.topic)
            return answer(replace(message, body=[*message.body, Text(hint)]))
        message = words.help_text(phrase("sensord tells this chat what became of jobs and their data"))
        if not ask.grants:
            message = replace(message, body=[*message.body, Text(invited(ask.person))])
        return answer(message)

    def _accept(self, ask: Ask, token: str) -> Act:
        guest = self._clock.new_id()

        def act(conn: Connection) -> Reply:
            grant = use_invite(conn, token, ask.person, guest=guest, now=ask.now)
            if grant is None:
                return refused(ask, _BAD_INVITE)
            topics = ", ".join(grant.topics)
            text = f"{_who(ask)} accepted an invitation: {grant.role.name} of {topics}"
            role = phrase("You are {role} of {topics}.", role=_ROLES[grant.role], topics=topics)
            title = phrase("Welcome, {name}", name=ask.person.name)
            return Reply(
                message=words.said(role, typed("subscribe"), phrase("/topics shows what there is."), title=title),
                done=(_done(ask, "joined", text, role=grant.role.name, topics=list(grant.topics)),),
            )

        return act

    async def _subscribe(self, ask: Ask) -> Act:
        words_left, lang, zone = reading_of(ask.words)
        if split(words_left, ("limit",))[1]:
            raise CommandError(_NO_LIMIT)
        pattern, where = wanted(words_left)
        reading = chosen(ask, lang, zone)
        if (why := await ask.refusal(pattern)) is not None:
            return lambda _conn: refused(ask, why)
        destination = ask.place.destination
        one = Wanted(
            id=self._clock.new_id(), topic=pattern, destination=destination, at=ask.now, where=where, options=reading
        )
        line = words.subscription_line(Held(one.id, pattern, where, "user"))
        same = [held.id for held in ask.held if held.topic == pattern and held.where == where]
        retold = asked(lang, zone)

        def act(conn: Connection) -> Reply:
            if same or not add_subscriptions(conn, [one])[0][1]:
                changed = set_reading(conn, same, *retold)
                return Reply(message=words.said(phrase("This chat is told of that already"), line), changed=changed)
            text = f"{_who(ask)} subscribed {destination} to {line}"
            hint = phrase("/test sends a test message, /subs lists what this chat is told, /unsubscribe ends it.")
            title = phrase("This chat is told of {subscription} from now on", subscription=line)
            return Reply(
                message=Message(title=title, body=[Text(hint)]),
                done=(_done(ask, "subscribed", text, subscription=one.id, topic=pattern, where=where),),
            )

        return act

    async def _unsubscribe(self, ask: Ask) -> Act:
        if not ask.words:
            say = joined(" ", [phrase("Say which topic."), typed("unsubscribe")])
            raise CommandError(say, phrase("/subs lists what this chat is told."))
        which = ask.words[0]
        ending = [held for held in ask.held if which.lower() == "all" or held.topic == which]
        if not ending:
            topic = words.one_line(which, 80)
            none = phrase("This chat is not told of {topic}. /subs lists what it is told of.", topic=topic)
            raise CommandError(none)
        if (why := await ask.refusal()) is not None:
            return lambda _conn: refused(ask, why)

        def act(conn: Connection) -> Reply:
            ended = end_subscriptions(conn, [Ended(id=held.id, at=ask.now) for held in ending])
            gone = [held for held, did in zip(ending, ended, strict=True) if did]
            told = [words.subscription_line(held) for held in gone]
            body = [Text("\n".join(told))]
            if any(held.origin == "config" for held in gone):
                body.append(Text(_COMES_BACK))
            return Reply(
                message=Message(title=phrase("This chat is no longer told of"), body=body),
                done=tuple(
                    _done(
                        ask,
                        "unsubscribed",
                        f"{_who(ask)} unsubscribed {ask.place.destination} from {line}",
                        subscription=held.id,
                        topic=held.topic,
                    )
                    for held, line in zip(gone, told, strict=True)
                ),
                changed=True,
            )

        return act

    async def _test(self, ask: Ask) -> Act:
        if not ask.grants:
            return lambda _conn: refused(ask, lines(_FOR_ROLES, invited(ask.person)))
        text = f"Test message, asked for by {ask.person.name}. What this chat is subscribed to arrives the same way."
        done = _done(ask, "test", text, subscriptions=[words.subscription_line(held) for held in ask.held])
        # A chat that is told of everything gets it by its subscription.
        anyway = any(matches(held.topic, "chat.test") and not held.where for held in ask.held)
        return lambda _conn: Reply(done=(replace(done, told_here=not anyway),))


def _who(ask: Ask) -> str:
    return f"{ask.person.name} ({ask.person.id})"


def _done(ask: Ask, act: str, text: str, **detail: Any) -> Done:
    return Done(act=act, person=ask.person, place=ask.place.destination, text=text, detail=detail)
