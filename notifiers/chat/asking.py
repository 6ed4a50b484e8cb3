"""One command somebody typed, with all that decides whether they may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from notifiers.chat import Person, Place, Room, Said, Standing
from notifiers.chat.looking import Held
from notifiers.chat.speaking import NOTHING, spoken_here
from notifiers.chat.turns import Done, Reply
from notifiers.message import Message, Text
from notifiers.reading import Reading
from rules.event import Severity
from rules.phrases import lines, phrase
from rules.rights import Grant, may_see, may_tell
from rules.topics import matches


class Known(NamedTuple):
    """What is known of who asks, and of the place: roles, subscriptions, and what `/lang` asked for there."""

    grants: tuple[Grant, ...] = ()
    held: tuple[Held, ...] = ()
    remembered: Reading = NOTHING


class Ask(Struct, frozen=True, kw_only=True):
    """A command, who typed it where, what they may do, and what the place is told of. `now` in microseconds."""

    said: Said
    name: str
    words: tuple[str, ...]
    grants: tuple[Grant, ...]
    held: tuple[Held, ...]
    room: Room
    now: int
    remembered: Reading = NOTHING

    @property
    def place(self) -> Place:
        """Where it was typed."""
        return self.said.place

    @property
    def person(self) -> Person:
        """Who typed it."""
        return self.said.person

    @property
    def reading(self) -> Reading:
        """What the place is answered in, as far as anything says so."""
        return spoken_here(self.held, self.remembered, self.said.language)

    def sees(self, topics: Iterable[str]) -> bool:
        """Whether something published on these topics may be shown here.

        Everybody in a group may see what the group is told anyway.
        """
        topics = tuple(topics)
        if may_see(self.grants, topics):
            return True
        return not self.place.private and any(matches(held.topic, topic) for held in self.held for topic in topics)

    async def refusal(self, pattern: str | None = None) -> str | None:
        """Why the person may not change what this place is told of `pattern` (None: of nothing new); None: they may."""
        if not self.grants:
            none = phrase("You have no role here, so you cannot change what this chat is told.")
            return lines(none, invited(self.person))
        if pattern is not None and not may_tell(self.grants, pattern):
            allowed = ", ".join(dict.fromkeys(topic for grant in self.grants for topic in grant.topics))
            return phrase(
                "You may subscribe to {allowed} and what is within, not to {pattern}.", allowed=allowed, pattern=pattern
            )
        if self.place.private:
            return None
        standing = await self.room.standing(self.place, self.person)
        if standing is Standing.administrator:
            return None
        if standing is Standing.unknown:
            return phrase("It could not be found out whether you administer this group. Try again in a moment.")
        return phrase("In a group, one of its administrators does that.")


def asked(said: Said, known: Known, room: Room, now: int, name: str, words: tuple[str, ...] = ()) -> Ask:
    """What somebody asks for, with what is known of them and of the place."""
    return Ask(
        said=said,
        name=name,
        words=words,
        grants=known.grants,
        held=known.held,
        remembered=known.remembered,
        room=room,
        now=now,
    )


STRANGER = phrase("You are no longer in this chat.")
UNSURE = phrase("It could not be found out whether you are in this chat. Try again in a moment.")


async def absent(ask: Ask) -> str | None:
    """Why somebody is not taken for a member of the chat at this moment; None: they are one, or it is their own."""
    if ask.place.private:
        return None
    standing = await ask.room.standing(ask.place, ask.person)
    if standing is Standing.unknown:
        return UNSURE
    return STRANGER if standing is Standing.stranger else None


def refused(ask: Ask, why: str) -> Reply:
    """The answer to what somebody may not do, with its audit row."""
    text = f"{ask.person.name} ({ask.person.id}) was refused /{ask.name} in {ask.place.destination}"
    detail = {"command": ask.name, "reason": why}
    return Reply(
        message=Message(title=phrase("Not allowed"), severity=Severity.warning, body=[Text(why)]),
        done=(
            Done(act="denied", person=ask.person, place=ask.place.destination, text=text, allowed=False, detail=detail),
        ),
    )


def invited(person: Person) -> str:
    """How somebody gets a role."""
    return phrase(
        "Your id is {person}: an owner of sensord adds it to chat.roles in sensord.yaml, or sends you an "
        "invitation made by `sensord invite`.",
        person=person.id,
    )
