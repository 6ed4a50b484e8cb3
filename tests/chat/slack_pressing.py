"""Buttons and forms of Slack as the tests see, press and send them."""

from __future__ import annotations

from typing import Any

from tests.chat.slack_kit import Slack
from tests.sources.app_kit import ended, launch
from tests.sources.directory_kit import until

OPERATOR = "U0ADMIN"
ROLES = """
  roles:
    owner: [slack:U0OWNER]
    operator: {users: [slack:U0ADMIN], topics: ["runs.extract.*", "runs.load.*"]}
    viewer: {users: [slack:U0VIEWER], topics: ["runs.extract.*", "bp.>"]}
"""
ALL = ["Details", "Log", "Re-run", "Acknowledge", "Mute until fixed"]


def buttons(it: Slack, message: dict[str, Any]) -> dict[str, str]:
    return it.double.people.doing.buttons(message)


def posts(it: Slack, room: str, text: str = "extract failed") -> list[dict[str, Any]]:
    """What the app wrote in a conversation that says so, as it stands there now."""
    return [one for one in it.double.committed if one["channel"] == room and text in one["shown"]]


async def failed(it: Slack, room: str, *, runs: int = 1) -> dict[str, Any]:
    """A message that a run failed, in a channel that is told of such runs."""
    await launch(it.app, "extract", code=3)
    await ended(it.app, "extract", runs)
    await until(lambda: len([one for one in posts(it, room) if buttons(it, one)]) >= runs)
    return [one for one in posts(it, room) if buttons(it, one)][-1]


def whispers(it: Slack, user: str | None = None) -> list[str]:
    """What pressers were told alone."""
    return [text for to, text in it.double.people.doing.whispers if user in (None, to)]


async def press(it: Slack, message: dict[str, Any], label: str, *, user: str) -> str:
    """Press a button; the word that is said for it."""
    before = len(whispers(it, user))
    await it.double.people.press(message, label, user=user)
    await until(lambda: len(whispers(it, user)) > before)
    return whispers(it, user)[-1]


def acts(it: Slack, act: str) -> list[dict[str, Any]]:
    return it.rows(f"SELECT * FROM chat_acts WHERE act = '{act}' ORDER BY id")
