"""Commands about silence: `/mute /unmute /quiet`. What is held back by them is told afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from notifiers.chat import wording as words
from notifiers.chat.asking import Ask, refused
from notifiers.chat.looking import names_of
from notifiers.chat.questions import Command, answer
from notifiers.chat.turns import Act, Done, Reply
from notifiers.clock import Clock, from_us
from notifiers.database import Database
from notifiers.message import Message, Text
from notifiers.mutes import LONGEST_S, SHORTEST_S, NewMute, Unmuted, add_mutes, end_mutes, list_mutes
from notifiers.noise import EVERYTHING, hours
from notifiers.quiet_hours import QuietWish, quiet_of, set_quiet
from notifiers.settings import parse_duration
from rules.commands import CommandError, typed
from rules.noise import Mute
from rules.topics import check_pattern

_MOST_WORDS = 500
_CRITICAL = "What is critical is told at once all the same."


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
            raise CommandError(f"{error}. {typed('mute')}") from None
        if (why := await ask.refusal()) is not None:
            return lambda _conn: refused(ask, why)
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
            until = f"{from_us(new.until):%d %b %H:%M} UTC"
            text = f"{_who(ask)} muted {about} in {new.destination} until {until}" + (f": {new.why}" if new.why else "")
            hint = f"What comes meanwhile is told then, in one message. {_CRITICAL} /unmute ends it."
            return Reply(
                message=Message(title=f"Muted until {until}: {about}", body=[Text(hint)]),
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
            raise CommandError("Nothing like that is muted here. /mute without more lists what is.")
        if (why := await ask.refusal()) is not None:
            return lambda _conn: refused(ask, why)

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
            return answer(words.said(f"Quiet hours: {text or 'none'}\n{typed('quiet')}\n{_CRITICAL}"))
        wanted: str | None = None
        if ask.words[0].lower() != "off":
            try:
                quiet = hours(" ".join(ask.words))
            except ValueError as error:
                text = str(error)
                raise CommandError(f"{text[:1].upper()}{text[1:]}.") from None
            wanted = quiet.text
        if (why := await ask.refusal()) is not None:
            return lambda _conn: refused(ask, why)

        def act(conn: Connection) -> Reply:
            wish = QuietWish(destination=here, hours=wanted, person=ask.person.id, now=ask.now)
            set_quiet(conn, [wish])
            said = f"set the quiet hours of {here} to {wanted}" if wanted else f"ended the quiet hours of {here}"
            hint = f"What comes in them is told afterwards, in one message. {_CRITICAL}"
            title = f"Quiet hours: {wanted}" if wanted else "There are no quiet hours any more"
            return Reply(
                message=Message(title=title, body=[Text(hint)] if wanted else []),
                done=(_done(ask, "quiet", f"{_who(ask)} {said}", hours=wanted),),
                changed=True,
            )

        return act


def duration(text: str) -> float:
    """How long a mute is, in seconds; CommandError says what to type."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise CommandError(f"{text[:40]!r} is no time: type 30m, 2h or 1d. {typed('mute')}") from None
    if not SHORTEST_S <= seconds <= LONGEST_S:
        days = timedelta(seconds=LONGEST_S).days
        raise CommandError(f"A mute lasts from a minute to {days} days. {typed('mute')}")
    return seconds


def _list(held: Sequence[Mapping[str, Any]]) -> Message:
    if not held:
        return words.said(f"Nothing is muted here.\n{typed('mute')}")
    facts = [(one["job"] or one["pattern"], _line(one)) for one in held]
    return Message(title="Muted here", facts=facts, body=[Text("/unmute ends all of it, /unmute PATTERN one.")])


def _line(one: Mapping[str, Any]) -> str:
    why = f": {one['why']}" if one["why"] else ""
    until = "until it succeeds" if one["job"] else f"until {one['until'][:16].replace('T', ' ')} UTC"
    return f"{until}, by {one['name']}{why}; {one['held']} waiting"


def _who(ask: Ask) -> str:
    return f"{ask.person.name} ({ask.person.id})"


def _done(ask: Ask, act: str, text: str, **detail: Any) -> Done:
    return Done(act=act, person=ask.person, place=ask.place.destination, text=text, detail=detail)
