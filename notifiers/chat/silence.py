"""Commands about silence: `/mute /unmute /quiet`. What is held back by them is told afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from notifiers.chat import wording as words
from notifiers.chat.asking import Ask, refused
from notifiers.chat.figures import moment, moment_us
from notifiers.chat.looking import names_of
from notifiers.chat.questions import Command, answer
from notifiers.chat.turns import Act, Done, Reply
from notifiers.clock import Clock
from notifiers.database import Database
from notifiers.message import Message, Text
from notifiers.mutes import LONGEST_S, SHORTEST_S, NewMute, Unmuted, add_mutes, end_mutes, list_mutes
from notifiers.noise import EVERYTHING, hours
from notifiers.quiet_hours import QuietWish, quiet_of, set_quiet
from notifiers.settings import parse_duration
from rules.commands import CommandError, typed
from rules.noise import Mute
from rules.phrases import Phrase, joined, phrase, sentence, why
from rules.topics import check_pattern

_MOST_WORDS = 500
_LATER = phrase("What comes meanwhile is told then, in one message.")
_CRITICAL = phrase("What is critical is told at once all the same.")


class Silence:
    """`/mute /unmute /quiet`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def by_name(self) -> Mapping[str, Command]:
        """Each command's name and what it does."""
        return {"mute": self._mute, "unmute": self._unmute, "quiet": self._quiet}

    async def _mute(self, ask: Ask) -> Act:
        if not ask.words:
            held = await self._database.read(lambda conn: list_mutes(conn, names_of(conn, ask.place.destination)))
            return answer(_list(held))
        seconds = duration(ask.words[0])
        pattern = ask.words[1] if len(ask.words) > 1 else EVERYTHING
        try:
            check_pattern(pattern)
        except ValueError as error:
            raise CommandError(joined(" ", [joined("", [why(error), "."]), typed("mute")])) from None
        if (refusal := await ask.refusal()) is not None:
            return lambda _conn: refused(ask, refusal)
        new = NewMute(
            id=self._clock.new_id(),
            destination=ask.place.destination,
            until=ask.now + round(seconds * 1e6),
            person=ask.person.id,
            name=ask.person.name,
            now=ask.now,
            pattern=pattern,
            why=" ".join(ask.words[2:])[:_MOST_WORDS],
        )

        def act(conn: Connection) -> Reply:
            add_mutes(conn, [new])
            about = Mute(id=new.id, pattern=pattern, until=new.until).about
            until = moment_us(new.until)
            text = f"{_who(ask)} muted {about} in {new.destination} until {until}" + (f": {new.why}" if new.why else "")
            hint = joined(" ", [_LATER, _CRITICAL, phrase("/unmute ends it.")])
            said: str = phrase("everything") if pattern == EVERYTHING else pattern
            return Reply(
                message=Message(title=phrase("Muted until {time}: {what}", time=until, what=said), body=[Text(hint)]),
                done=(_done(ask, "muted", text, mute=new.id, pattern=pattern, why=new.why, until=new.until),),
                changed=True,
            )

        return act

    async def _unmute(self, ask: Ask) -> Act:
        pattern = ask.words[0] if ask.words else None
        if pattern is not None and pattern.lower() == "all":
            pattern = None
        names = await self._database.read(lambda conn: names_of(conn, ask.place.destination))
        held = await self._database.read(lambda conn: list_mutes(conn, names))
        if not [one for one in held if pattern in (None, one["job"] or one["pattern"])]:
            raise CommandError(phrase("Nothing like that is muted here. /mute without more lists what is."))
        if (refusal := await ask.refusal()) is not None:
            return lambda _conn: refused(ask, refusal)

        def act(conn: Connection) -> Reply:
            wish = Unmuted(now=ask.now, by=ask.person.name, destinations=names, pattern=pattern)
            (ended,) = end_mutes(conn, [wish])
            done = [
                _done(ask, "unmuted", f"{_who(ask)} unmuted {one.about} in {ask.place.destination}", mute=one.id)
                for one in ended
            ]
            # What it held comes as a message that says so.
            return Reply(done=tuple(done), changed=True)

        return act

    async def _quiet(self, ask: Ask) -> Act:
        here = ask.place.destination
        if not ask.words:
            text = await self._database.read(lambda conn: quiet_of(conn, here))
            now = phrase("Quiet hours: {hours}", hours=text) if text else phrase("Quiet hours: none")
            return answer(words.said(now, typed("quiet"), _CRITICAL))
        wanted: str | None = None
        if ask.words[0].lower() != "off":
            try:
                quiet = hours(" ".join(ask.words))
            except ValueError as error:
                raise CommandError(sentence(why(error))) from None
            wanted = quiet.text
        if (refusal := await ask.refusal()) is not None:
            return lambda _conn: refused(ask, refusal)

        def act(conn: Connection) -> Reply:
            wish = QuietWish(destination=here, hours=wanted, person=ask.person.id, now=ask.now)
            set_quiet(conn, [wish])
            text = f"set the quiet hours of {here} to {wanted}" if wanted else f"ended the quiet hours of {here}"
            hint = joined(" ", [phrase("What comes in them is told afterwards, in one message."), _CRITICAL])
            none = phrase("There are no quiet hours any more")
            title = phrase("Quiet hours: {hours}", hours=wanted) if wanted else none
            return Reply(
                message=Message(title=title, body=[Text(hint)] if wanted else []),
                done=(_done(ask, "quiet", f"{_who(ask)} {text}", hours=wanted),),
                changed=True,
            )

        return act


def duration(text: str) -> float:
    """How long a mute is, in seconds; CommandError says what to type."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        no_time = phrase("{text} is no time: type 30m, 2h or 1d.", text=repr(text[:40]))
        raise CommandError(joined(" ", [no_time, typed("mute")])) from None
    if not SHORTEST_S <= seconds <= LONGEST_S:
        days = timedelta(seconds=LONGEST_S).days
        bounds = phrase("A mute lasts from a minute to {days} days.", days=days)
        raise CommandError(joined(" ", [bounds, typed("mute")]))
    return seconds


def _list(held: Sequence[Mapping[str, Any]]) -> Message:
    if not held:
        return words.said(phrase("Nothing is muted here."), typed("mute"))
    facts = [(one["job"] or one["pattern"], _line(one)) for one in held]
    hint = phrase("/unmute ends all of it, /unmute PATTERN one.")
    return Message(title=phrase("Muted here"), facts=facts, body=[Text(hint)])


def _line(one: Mapping[str, Any]) -> Phrase:
    name = f"{one['name']}: {one['why']}" if one["why"] else one["name"]
    if one["job"]:
        return phrase("until it succeeds, by {name}; {waiting} waiting", name=name, waiting=one["held"])
    time = moment(datetime.fromisoformat(one["until"]))
    return phrase("until {time}, by {name}; {waiting} waiting", time=time, name=name, waiting=one["held"])


def _who(ask: Ask) -> str:
    return f"{ask.person.name} ({ask.person.id})"


def _done(ask: Ask, act: str, text: str, **detail: Any) -> Done:
    return Done(act=act, person=ask.person, place=ask.place.destination, text=text, detail=detail)
