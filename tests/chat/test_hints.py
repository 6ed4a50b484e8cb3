"""What a bot's or an app's own settings keep it from is said, with what to do, as their services say it now."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from notifiers.channels.slack_chat import SCOPES
from sensord.web.api import serve
from tests.chat.kit import telegram
from tests.chat.slack_kit import slack


async def test_a_bot_in_privacy_mode_is_told_of_with_what_to_do(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it, serve(it.app) as url, aiohttp.ClientSession() as http:
        async with http.get(f"{url}/api/chat/hints") as answer:
            (hint,) = (await answer.json())["items"]
        assert hint["chat"] == "telegram"
        assert "/subs@sensord_test_bot" in hint["text"]
        assert "/setprivacy" in hint["text"]


async def test_scopes_that_a_slack_app_misses_are_named_and_none_where_it_has_all(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        it.double.scopes = set(SCOPES) - {"files:write", "commands"}
        ((chat, text),) = await it.app.chats.hints()
        assert chat == "slack"
        assert "misses the scopes commands, files:write: add them" in text
        assert it.double.token not in text
        it.double.scopes = set(SCOPES)
        assert await it.app.chats.hints() == []
        it.double.token = "xoxb-another"
        ((_, text),) = await it.app.chats.hints()
        assert "did not say what the app may do" in text
