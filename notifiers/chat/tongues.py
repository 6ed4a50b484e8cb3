"""`/lang`: in which language, and by which clock, a place is told."""

from __future__ import annotations

from collections.abc import Mapping

from anyio import to_thread
from sqlalchemy import Connection

from notifiers.chat.asking import Ask, refused
from notifiers.chat.questions import Command, answer
from notifiers.chat.speaking import remember
from notifiers.chat.turns import Act, Done, Reply
from notifiers.message import Message, Text
from notifiers.reading import ENGLISH, Reader, Reading, check_language, language_of
from notifiers.reading.templates import Voice
from notifiers.subscriptions import set_reading
from notifiers.wording import spoken
from notifiers.zones import zone_of
from rules.commands import CommandError, typed
from rules.phrases import joined, sentence
from rules.phrases import why as said_by


class Tongues:
    """`/lang`. `otherwise` is who reads where nothing is chosen."""

    def __init__(self, otherwise: Reader = ENGLISH) -> None:
        self._otherwise = otherwise

    def by_name(self) -> Mapping[str, Command]:
        """The command's name and what it does."""
        return {"lang": self._lang}

    async def _lang(self, ask: Ask) -> Act:
        now = ask.reading
        if not ask.words:
            return answer(_said(await self._voice(*now), self._otherwise.but(*now)))
        lang, zone = asked(ask.words[0], ask.words[1] if len(ask.words) > 1 else None)
        if (why := await ask.refusal()) is not None:
            return lambda _conn: refused(ask, why)
        voice = await self._voice(lang, zone or now[1])
        reader = self._otherwise.but(lang, zone or now[1])
        ids = [held.id for held in ask.held]
        configured = any(held.origin == "config" for held in ask.held)
        text = f"{ask.person.name} ({ask.person.id}) set the language of {ask.place.destination} to {reader.text}"
        detail = {"lang": reader.lang, "zone": reader.zone}

        def act(conn: Connection) -> Reply:
            remember(conn, ask.place.destination, (lang, zone), ask.now)
            set_reading(conn, ids, lang, zone)
            message = _said(voice, reader)
            if configured:
                body = [*message.body, Text(voice.say("lang.configured"))]
                message = Message(title=message.title, body=body)
            done = Done(act="language", person=ask.person, place=ask.place.destination, text=text, detail=detail)
            return Reply(message=message, done=(done,), changed=True)

        return act

    async def _voice(self, lang: str | None, zone: str | None) -> Voice:
        """A voice; a language that was not spoken yet is loaded beside the loop."""
        return await to_thread.run_sync(spoken, self._otherwise.but(lang, zone))


def _said(voice: Voice, reader: Reader) -> Message:
    hint = voice.say("lang.how", typed="/lang en, /lang ru Europe/Moscow")
    return Message(title=voice.say("lang.now", zone=reader.zone), body=[Text(hint)])


def asked(lang: str | None, zone: str | None) -> Reading:
    """A language and a zone as they are typed; CommandError says what to type."""
    try:
        if lang is not None:
            check_language(lang.lower())
        if zone is not None:
            zone_of(zone)
    except ValueError as error:
        raise CommandError(joined(" ", [sentence(said_by(error)), typed("lang")])) from None
    return None if lang is None else lang.lower(), zone


def chosen(ask: Ask, lang: str | None, zone: str | None) -> dict[str, str]:
    """The options of a new subscription: what is typed, else what the place reads, else the person's own language."""
    lang, zone = asked(lang, zone)
    there = ask.reading
    found = {"lang": lang or there[0] or language_of(ask.said.language), "zone": zone or there[1]}
    return {name: value for name, value in found.items() if value is not None}
