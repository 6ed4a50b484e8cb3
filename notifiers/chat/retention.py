"""What chats leave behind is deleted when it is old, a little at a time."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, tuple_

from notifiers.chat.answers import SUBSCRIPTION
from notifiers.chat.button_tables import chat_buttons, chat_changes, chat_numbers
from notifiers.chat.dialogue_tables import chat_choices, chat_dialogues
from notifiers.chat.tables import chat_acts, chat_answers, chat_heard, chat_invites
from notifiers.retention import Chunk
from notifiers.tables import deliveries


def prune_answers(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Delete old answers whose deliveries are gone; how many, for each."""
    carried = select(deliveries.c.id).where(
        deliveries.c.event == chat_answers.c.id, deliveries.c.subscription == SUBSCRIPTION
    )
    gone: list[int] = []
    for chunk in batch:
        old = (
            select(chat_answers.c.id)
            .where(chat_answers.c.at < chunk.before, ~carried.exists())
            .order_by(chat_answers.c.at)
            .limit(chunk.limit)
        )
        gone.append(conn.execute(delete(chat_answers).where(chat_answers.c.id.in_(old))).rowcount)
    return gone


def prune_acts(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Delete old audit rows, and invitations that ended long ago; how many, for each."""
    gone: list[int] = []
    for chunk in batch:
        old = select(chat_acts.c.id).where(chat_acts.c.at < chunk.before).order_by(chat_acts.c.at).limit(chunk.limit)
        number = conn.execute(delete(chat_acts).where(chat_acts.c.id.in_(old))).rowcount
        number += conn.execute(delete(chat_invites).where(chat_invites.c.expires_at < chunk.before)).rowcount
        gone.append(number)
    return gone


def prune_heard(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Forget the ids of what was heard long ago; how many, for each."""
    gone: list[int] = []
    for chunk in batch:
        old = select(chat_heard.c.of, chat_heard.c.id).where(chat_heard.c.at < chunk.before).limit(chunk.limit)
        gone.append(conn.execute(delete(chat_heard).where(tuple_(chat_heard.c.of, chat_heard.c.id).in_(old))).rowcount)
    return gone


def prune_buttons(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Delete buttons and dialogues that ended long ago, and what was shown or heard then; how many, for each."""
    gone: list[int] = []
    for chunk in batch:
        number = conn.execute(delete(chat_numbers).where(chat_numbers.c.at < chunk.before)).rowcount
        for table, key, time in (
            (chat_buttons, chat_buttons.c.nonce, chat_buttons.c.expires_at),
            (chat_changes, chat_changes.c.id, chat_changes.c.at),
            (chat_choices, chat_choices.c.nonce, chat_choices.c.expires_at),
            (chat_dialogues, chat_dialogues.c.id, chat_dialogues.c.expires_at),
        ):
            old = select(key).where(time < chunk.before).order_by(time).limit(chunk.limit)
            number += conn.execute(delete(table).where(key.in_(old))).rowcount
        gone.append(number)
    return gone
