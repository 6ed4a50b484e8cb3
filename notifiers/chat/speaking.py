"""In which language a chat is answered, and answers said in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from anyio import to_thread
from msgspec.structs import replace
from sqlalchemy import Connection

from notifiers.chat.looking import Held, held_by, names_of
from notifiers.chat.tables import chat_readings
from notifiers.chat.turns import Act, Reply
from notifiers.chat.wording import as_typed, one_line
from notifiers.database import Database, insert_rows
from notifiers.message import Block, Message, Pre, Table, Text
from notifiers.reading import ENGLISH, Reader, Reading, language_of
from notifiers.reading.language import Language, language
from rules.phrases import Phrase, spoken

NOTHING: Final[Reading] = (None, None)
_TITLE: Final = 300


def spoken_here(held: Sequence[Held], remembered: Reading, language: str | None) -> Reading:
    """What a place is answered in, as far as anything says so.

    That is what its oldest subscription that says any is told in, else what was asked for with `/lang`; where the place
    is told of nothing, the language in which the person uses the service.
    """
    told = next((one.reading for one in held if any(one.reading)), NOTHING)
    lang = told[0] or remembered[0]
    if lang is None and not held:
        lang = language_of(language)
    return lang, told[1] or remembered[1]


def remembered_for(conn: Connection, destination: str) -> Reading:
    """What was asked for with `/lang` in a place, under whichever of its names."""
    names = names_of(conn, destination)
    rows = conn.execute(chat_readings.select().where(chat_readings.c.place.in_(names))).mappings()
    found = {row["place"]: row for row in rows}
    row = next((found[name] for name in names if name in found), None)
    return NOTHING if row is None else (row["lang"], row["zone"])


def remember(conn: Connection, destination: str, reading: Reading, now: int) -> None:
    """Keep what was asked for; what is not said stays as it was."""
    before = remembered_for(conn, destination)
    conn.execute(chat_readings.delete().where(chat_readings.c.place == destination))
    row = {"place": destination, "lang": reading[0] or before[0], "zone": reading[1] or before[1], "at": now}
    insert_rows(conn, chat_readings, [row])


def said_in(message: Message, language: Language, typed: str = "/") -> Message:
    """An answer as its reader reads it. `typed` stands before commands there. Its title is its first line."""

    def say(text: str) -> str:
        return str(spoken(text, language))

    title, rest = say(message.title), ""
    if isinstance(message.title, Phrase):
        first, _, rest = title.partition("\n")
        title = one_line(first, _TITLE)
    body = [_block(block, say) for block in message.body]
    said = replace(
        message,
        title=title,
        note=say(message.note),
        facts=[(say(label), say(value)) for label, value in message.facts],
        body=[*([Text(rest)] if rest else []), *body],
        buttons=[replace(button, text=say(button.text)) for button in message.buttons],
    )
    return said if typed == "/" else as_typed(said, typed)


def _block(block: Block, say: Callable[[str], str]) -> Block:
    match block:
        case Text(text):
            return Text(say(text))
        case Pre(text, title):
            return Pre(text, say(title))
        case Table(header, rows, title):
            return Table([say(name) for name in header], rows, say(title))
    return block


async def loaded(reader: Reader) -> Language:
    """A reader's language; what was not spoken yet is loaded beside the loop. English is there."""
    return language(reader) if reader.lang == ENGLISH.lang else await to_thread.run_sync(language, reader)


def act_in(act: Act, tongue: Language, typed: str = "/") -> Act:
    """The same act, with its answer in that language; commands are spelt as they are typed there."""

    def said(conn: Connection) -> Reply:
        reply = act(conn)
        return reply if reply.message is None else replace(reply, message=said_in(reply.message, tongue, typed))

    return said


class Speech:
    """Knows in which language each place is answered. `otherwise` is who reads where nothing says so."""

    def __init__(self, database: Database, otherwise: Reader) -> None:
        self._database = database
        self._otherwise = otherwise

    async def to(self, destination: str, code: str | None) -> Language:
        """The language of a place, where a person who uses the service in the language of that IETF tag asks."""
        return await loaded(await self._database.read(lambda conn: self._reader(conn, destination, code)))

    async def by(self, reading: Reading) -> Language:
        """The language that is chosen."""
        return await loaded(self._otherwise.but(*reading))

    def said_to(self, conn: Connection, message: Message, destination: str) -> Message:
        """A message as a destination's readers read it, in the transaction that sends it there."""
        return said_in(message, language(self._reader(conn, destination, None)))

    async def word(self, text: str) -> str:
        """Something for somebody who is in no place that is known: in the configuration's language."""
        return str(spoken(text, await loaded(self._otherwise)))

    def _reader(self, conn: Connection, destination: str, code: str | None) -> Reader:
        here = spoken_here(held_by(conn, destination), remembered_for(conn, destination), code)
        return self._otherwise.but(*here)
