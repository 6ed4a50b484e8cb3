"""The inbox: messages kept in the database, for the web page and `sensord inbox`. Needs no account."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sqlalchemy import Connection

from notifiers.channels import DeliveryError, Part, Reason, Receipt
from notifiers.clock import SYSTEM, Clock, to_us
from notifiers.database import Database, insert_rows
from notifiers.message import Block, Message, Pre, Table, Text
from notifiers.tables import inbox
from rules.pacing import Window

_ID_LENGTH = 36


class Inbox:
    """Each message is a row: its title and text to be read and searched, and its structure as JSON."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def render(self, message: Message) -> Sequence[Part]:
        """One part, whatever the length; its payload keeps the structure."""
        text = "\n".join(_lines(message))
        return [Part(text=_storable(text), payload={"severity": int(message.severity), **_structure(message)})]

    def windows(self, target: str) -> Sequence[Window]:  # noqa: ARG002 - the contract's
        """No limits."""
        return ()

    async def send(self, target: str, part: Part) -> Receipt:
        """Return once the row is durable; its id is the receipt's. A part that is here already stays as it was."""
        row = {
            # The delivery's own id, where there is one: so a repeat after a crash is no second message.
            "id": part.key[:_ID_LENGTH] or self._clock.new_id(),
            "target": target,
            "at": to_us(self._clock.now()),
            "severity": part.payload["severity"],
            "title": part.payload["title"],
            "text": part.text,
            "message": orjson.dumps(part.payload).decode(),
        }
        try:
            await self._database.write(insert_messages, row)
        except OSError as error:
            raise DeliveryError(f"the database is away: {type(error).__name__}", Reason.unreachable) from error
        return Receipt(id=row["id"])


def insert_messages(conn: Connection, batch: Sequence[Mapping[str, Any]]) -> list[None]:
    """Insert rows of the inbox; one whose id is there already is left out."""
    insert_rows(conn, inbox, batch, conflict=("id",))
    return [None] * len(batch)


@asynccontextmanager
async def open_inbox(database: Database, clock: Clock = SYSTEM) -> AsyncIterator[Inbox]:
    """The channel of `inbox:` and `inbox:NAME`."""
    yield Inbox(database, clock)


def _lines(message: Message) -> Iterator[str]:
    if message.note:
        yield message.note
    yield message.title
    yield from (f"{label}: {value}" for label, value in message.facts)
    for block in message.body:
        yield from _block_lines(block)
    yield from (f"{link.text}: {link.url}" for link in message.links)


def _block_lines(block: Block) -> Iterator[str]:
    match block:
        case Text(text):
            yield text
        case Pre(text, title):
            yield f"{title}:\n{text}" if title else text
        case Table(header, rows, title):
            if title:
                yield f"{title}:"
            yield from ("\t".join(row) for row in [header, *rows])


def _structure(message: Message) -> dict[str, Any]:
    return {
        "title": _storable(message.title),
        "note": _storable(message.note),
        "facts": [[_storable(label), _storable(value)] for label, value in message.facts],
        "body": [_block(block) for block in message.body],
        "links": [{"text": _storable(link.text), "url": _storable(link.url)} for link in message.links],
        "buttons": [
            {"text": _storable(button.text), "nonce": _storable(button.nonce), "style": button.style}
            for button in message.buttons
        ],
        "attachments": [
            {"name": _storable(one.name), "content": base64.b64encode(one.content).decode()}
            for one in message.attachments
        ],
    }


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"kind": "text", "text": _storable(text)}
        case Pre(text, title):
            return {"kind": "pre", "text": _storable(text), "title": _storable(title)}
        case Table(header, rows, title):
            return {
                "kind": "table",
                "header": _row(header),
                "rows": [_row(row) for row in rows],
                "title": _storable(title),
            }


def _row(cells: Sequence[str]) -> list[str]:
    return [_storable(cell) for cell in cells]


def _storable(text: str) -> str:
    """Text that both databases take: no NUL, no lone surrogate."""
    return text.replace("\x00", "\u2400").encode(errors="replace").decode()
