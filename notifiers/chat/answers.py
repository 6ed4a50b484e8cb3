"""Answers: messages for one chat alone, on the same way out as everything else.

An answer has a delivery as an event has, so it is paced, tried again and never lost; but it is no event, so nobody who
subscribed to topics is told what somebody asked.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from notifiers.chat.tables import chat_answers
from notifiers.clock import from_us
from notifiers.fanout import insert_deliveries, new_delivery
from notifiers.message import Attachment, Block, Button, Link, Message, Pre, Table, Text
from notifiers.tables import events
from rules.event import Event, Severity

SUBSCRIPTION = "chat"
"""What stands in place of a subscription in the delivery of an answer."""

SOURCE = "sensord:chat"
URGENCY = Severity.critical
"""Somebody is waiting for an answer: it goes before what is only news. What the message itself says it is, it is."""


def insert_answer(
    conn: Connection, message: Message, to: str, *, new_id: Callable[[], str], now: int
) -> dict[str, Any]:
    """Keep an answer with its delivery, as part of the caller's transaction; the delivery's row."""
    event = _carrier(new_id(), message.title, now)
    conn.execute(chat_answers.insert().values(id=event.id, at=now, message=to_json(message)))
    newest = conn.scalar(select(func.max(events.c.seq))) or 0
    row = new_delivery(new_id(), event, newest, subscription=SUBSCRIPTION, destination=to, now_us=now)
    insert_deliveries(conn, [row])
    return row


def read_answer(conn: Connection, id_: str) -> tuple[Event, Message]:
    """An answer, and the event that stands for it on its way."""
    row = conn.execute(select(chat_answers).where(chat_answers.c.id == id_)).mappings().one()
    message = from_json(row["message"])
    return _carrier(id_, message.title, row["at"]), message


def _carrier(id_: str, title: str, at: int) -> Event:
    return Event(
        id=id_,
        type="chat.answer",
        topic="chat.answer",
        time=from_us(at),
        source=SOURCE,
        severity=URGENCY,
        message=title,
    )


def to_json(message: Message) -> str:
    """A message as JSON text that both databases take."""
    body: dict[str, Any] = {
        "title": message.title,
        "severity": message.severity.name,
        "note": message.note,
        "facts": [list(fact) for fact in message.facts],
        "body": [_block_json(block) for block in message.body],
        "links": [[link.text, link.url] for link in message.links],
        "buttons": [[button.text, button.nonce, button.style] for button in message.buttons],
        "attachments": [[one.name, base64.b64encode(one.content).decode(), one.picture] for one in message.attachments],
    }
    return orjson.dumps(_storable(body)).decode()


def from_json(text: str) -> Message:
    """The message that `to_json` made a text of."""
    body = orjson.loads(text)
    return Message(
        title=body["title"],
        severity=Severity[body["severity"]],
        note=body["note"],
        facts=[(label, value) for label, value in body["facts"]],
        body=[_block(one) for one in body["body"]],
        links=[Link(*one) for one in body["links"]],
        buttons=[Button(*one) for one in body["buttons"]],
        attachments=[
            Attachment(name, base64.b64decode(content), *picture) for name, content, *picture in body["attachments"]
        ],
    )


def _block_json(block: Block) -> list[Any]:
    match block:
        case Text(text):
            return ["text", text]
        case Pre(text, title):
            return ["pre", text, title]
        case Table(header, rows, title):
            return ["table", list(header), [list(row) for row in rows], title]


def _block(body: Sequence[Any]) -> Block:
    kind, *rest = body
    made: dict[str, Callable[..., Block]] = {"text": Text, "pre": Pre, "table": Table}
    return made[kind](*rest)


def _storable(value: Any) -> Any:
    """Without NUL and lone surrogates, in every text of it."""
    if isinstance(value, str):
        return value.replace("\x00", "\u2400").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value
