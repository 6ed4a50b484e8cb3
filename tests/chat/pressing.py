"""Buttons as the tests see and press them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.chat.kit import OWNER, Telegram
from tests.sources.app_kit import ended, launch
from tests.sources.directory_kit import until

OPERATOR = 5
ROLES = """
  roles:
    owner: [telegram:1]
    operator: {users: [telegram:5], topics: ["runs.extract.*"]}
    viewer: {users: [telegram:2], topics: ["runs.extract.*", "bp.>"]}
"""


@dataclass(frozen=True)
class Seen:
    """A message of the bot with its buttons: label → data."""

    chat: int
    id: int
    text: str
    buttons: dict[str, str]


def messages(it: Telegram, chat: int) -> list[Seen]:
    """What the bot wrote in a chat, as it stands there now."""
    return [
        Seen(chat, message["message_id"], message["text"], keyboard(message))
        for message in it.double.chats.get(chat).messages.values()
        if message.get("from", {}).get("id") == 42
    ]


def keyboard(message: dict[str, Any]) -> dict[str, str]:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return {button["text"]: button["callback_data"] for row in rows for button in row}


def now(it: Telegram, seen: Seen) -> Seen:
    """The same message as it stands there now."""
    return next(one for one in messages(it, seen.chat) if one.id == seen.id)


async def failed(it: Telegram, chat: int = OWNER, *, runs: int = 1) -> Seen:
    """A message that a run failed, in a chat that is told of such runs."""
    await launch(it.app, "extract", code=3)
    await ended(it.app, "extract", runs)

    def told() -> list[Seen]:
        return [one for one in messages(it, chat) if "extract failed" in one.text and one.buttons]

    await until(lambda: len(told()) >= runs)
    return told()[-1]


def toasts(it: Telegram) -> list[str | None]:
    """What pressers were shown, in the order of the answers."""
    return [params.get("text") for method, params in it.double.elsewhere if method == "answercallbackquery"]


async def press(it: Telegram, seen: Seen, label: str, *, user: int = OWNER) -> str | None:
    """Press a button; the word that is shown for it."""
    before = len(toasts(it))
    it.double.press(seen.chat, seen.id, seen.buttons[label], user=user)
    await until(lambda: len(toasts(it)) > before)
    return toasts(it)[-1]


def acts(it: Telegram, act: str) -> list[dict[str, Any]]:
    return it.rows(f"SELECT * FROM chat_acts WHERE act = '{act}' ORDER BY id")
