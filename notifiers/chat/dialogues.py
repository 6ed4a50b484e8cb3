"""Dialogues as they are kept: one of a person in a place at a time, and each answer counts once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, select, update

from notifiers.chat.dialogue_tables import chat_choices, chat_dialogues

HELD_US: Final = 30 * 60_000_000
"""For so long an answer is waited for."""

_NONCE = re.compile("[A-Za-z0-9_-]{32}")


class Dialogue(Struct, frozen=True, kw_only=True):
    """One dialogue; see its table."""

    id: str
    person: str
    place: str
    job: str
    given: Mapping[str, Any]
    skipped: tuple[str, ...]
    asked: str | None
    step: int
    expires_at: int


class Choice(Struct, frozen=True, kw_only=True):
    """A button under a question."""

    nonce: str
    what: str
    value: Any = None


class Offer(Struct, frozen=True, kw_only=True):
    """A choice as it is kept, with its dialogue as that is now; `step` is where it was offered."""

    dialogue: Dialogue
    choice: Choice
    step: int
    ended: bool


def open_dialogue(conn: Connection, person: str, place: str, now: int) -> Dialogue | None:
    """The dialogue that a person has in a place."""
    here = _open(now) & (chat_dialogues.c.person == person) & (chat_dialogues.c.place == place)
    row = conn.execute(select(chat_dialogues).where(here)).mappings().first()
    return None if row is None else _dialogue(dict(row))


def find_choice(conn: Connection, nonce: str) -> Offer | None:
    """The choice that a button stands for."""
    if _NONCE.fullmatch(nonce) is None:
        return None
    row = conn.execute(select(chat_choices).where(chat_choices.c.nonce == nonce)).mappings().first()
    if row is None:
        return None
    of = conn.execute(select(chat_dialogues).where(chat_dialogues.c.id == row["dialogue"])).mappings().first()
    if of is None:
        return None
    choice = Choice(nonce=nonce, what=row["what"], value=orjson.loads(row["value"]))
    return Offer(dialogue=_dialogue(dict(of)), choice=choice, step=row["step"], ended=of["ended_at"] is not None)


def first_nonce(conn: Connection, dialogue: str) -> str | None:
    """A nonce of the first step of a dialogue; None where there is no such dialogue."""
    here = (chat_choices.c.dialogue == dialogue) & (chat_choices.c.step == 0)
    return conn.scalar(select(chat_choices.c.nonce).where(here))


def begin(conn: Connection, dialogue: Dialogue, choices: Sequence[Choice], now: int) -> None:
    """Begin a dialogue, and end the one that the person had there."""
    here = (chat_dialogues.c.person == dialogue.person) & (chat_dialogues.c.place == dialogue.place)
    conn.execute(update(chat_dialogues).where(here, chat_dialogues.c.ended_at.is_(None)).values(ended_at=now))
    named = {name: getattr(dialogue, name) for name in ("id", "person", "place", "job")}
    conn.execute(chat_dialogues.insert().values(**named, **_values(dialogue), ended_at=None))
    _offer(conn, dialogue, choices)


def go_on(conn: Connection, dialogue: Dialogue, choices: Sequence[Choice], now: int) -> bool:
    """Take an answer: `dialogue` is what the dialogue becomes, one step further. False: that step was taken."""
    here = _open(now) & (chat_dialogues.c.id == dialogue.id) & (chat_dialogues.c.step == dialogue.step - 1)
    if conn.execute(update(chat_dialogues).where(here).values(**_values(dialogue))).rowcount != 1:
        return False
    _offer(conn, dialogue, choices)
    return True


def end(conn: Connection, dialogue: Dialogue, now: int) -> bool:
    """End a dialogue at the step where it is. False: it has ended, or is further."""
    here = _open(now) & (chat_dialogues.c.id == dialogue.id) & (chat_dialogues.c.step == dialogue.step)
    return conn.execute(update(chat_dialogues).where(here).values(ended_at=now)).rowcount == 1


def _open(now: int) -> ColumnElement[bool]:
    return chat_dialogues.c.ended_at.is_(None) & (chat_dialogues.c.expires_at > now)


def _offer(conn: Connection, dialogue: Dialogue, choices: Sequence[Choice]) -> None:
    for choice in choices:
        conn.execute(
            chat_choices.insert().values(
                nonce=choice.nonce,
                dialogue=dialogue.id,
                step=dialogue.step,
                what=choice.what,
                value=_json(choice.value),
                expires_at=dialogue.expires_at,
            )
        )


def _values(dialogue: Dialogue) -> dict[str, Any]:
    return {
        "given": _json(dialogue.given),
        "skipped": _json(dialogue.skipped),
        "asked": dialogue.asked,
        "step": dialogue.step,
        "expires_at": dialogue.expires_at,
    }


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _dialogue(row: Mapping[str, Any]) -> Dialogue:
    named = {name: row[name] for name in ("id", "person", "place", "job", "asked", "step", "expires_at")}
    return Dialogue(**named, given=orjson.loads(row["given"]), skipped=tuple(orjson.loads(row["skipped"])))
