"""What keeps the bot from hearing: it is said, waited out, and nothing is lost by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from notifiers.channels import telegram_chat
from notifiers.reading import LANGUAGES
from tests.chat.kit import OWNER, Telegram, telegram
from tests.doubles.telegram import Fault, Limits, TelegramDouble, open_double
from tests.doubles.telegram_judge import Refusal
from tests.sources.directory_kit import until


@pytest.mark.parametrize(
    ("refusal", "trouble", "told"),
    [
        (Refusal(409, "Conflict: terminated by other getUpdates request; make sure that …"), "a bot of its own", True),
        (Refusal(401, "Unauthorized"), "check telegram.token", True),
        (Refusal(429, "Too Many Requests: retry after 1", {"retry_after": 1}), "retry after 1", False),
        (Refusal(502, "Bad Gateway"), "Bad Gateway", False),
    ],
)
async def test_trouble_is_said_and_waited_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Refusal, trouble: str, told: bool
) -> None:
    monkeypatch.setattr(telegram_chat, "_PAUSE", 0.1)
    async with open_double(limits=Limits(enforce=False)) as double:
        double.refusals += [refusal, refusal]
        async with telegram(tmp_path, double=double) as it:
            await until(lambda: bool(it.app.chats.troubles))
            assert trouble in it.app.chats.troubles[0]
            assert double.token not in it.app.chats.troubles[0]
            double.say(OWNER, "/help", user=OWNER)
            await until(lambda: bool(it.texts(OWNER)))
            double.say(OWNER, "/help", user=OWNER)
            await until(lambda: not it.app.chats.troubles)
            if told:
                await until(lambda: len(it.rows("SELECT topic FROM events")) == 2)
            events = [row["topic"] for row in it.rows("SELECT topic FROM events ORDER BY seq")]
            assert events == (["chat.unheard", "chat.heard"] if told else [])


async def test_what_is_out_when_the_daemon_ends_is_recorded_and_not_sent_again(tmp_path: Path) -> None:
    late = Fault(kind="slow", seconds=0.5)
    async with open_double(limits=Limits(enforce=False), faults=[late]) as double:
        async with telegram(tmp_path, double=double) as it:
            double.say(OWNER, "/help", user=OWNER)
            await until(lambda: bool(it.texts(OWNER)))  # It is there, and its answer is not.
        async with telegram(tmp_path, double=double) as it:
            await it.heard()
            assert len(it.texts(OWNER)) == 1
            assert [row["status"] for row in it.rows("SELECT status FROM deliveries")] == ["delivered"]


async def test_a_webhook_of_an_earlier_set_up_is_removed_once(tmp_path: Path) -> None:
    async with open_double(limits=Limits(enforce=False)) as double:
        double.people.webhook = {"url": "http://127.0.0.1:9/elsewhere"}
        async with telegram(tmp_path, double=double) as it:
            assert "/subscribe PATTERN" in await it.ask("/help")
        assert [method for method, _ in double.elsewhere].count("deletewebhook") == 1


async def test_a_service_that_is_away_at_the_start_is_heard_when_it_comes(tmp_path: Path) -> None:
    async with open_double(limits=Limits(enforce=False)) as double:
        port, token = int(double.url.rpartition(":")[2]), double.token
    gone = TelegramDouble.__new__(TelegramDouble)
    gone.token, gone.url = token, f"http://127.0.0.1:{port}"
    async with telegram(tmp_path, double=gone) as it:
        await until(lambda: bool(it.app.chats.troubles))
        assert "cannot be reached" in it.app.chats.troubles[0]
        assert token not in it.app.chats.troubles[0]
        async with open_double(limits=Limits(enforce=False), port=port) as double:
            back = Telegram(it.app, double)
            assert "/subscribe PATTERN" in await back.ask("/help")
            assert not it.app.chats.troubles


async def test_commands_are_completed_and_only_what_is_heard_is_asked_for(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        await it.ask("/help")
        await until(lambda: [name for name, _ in it.double.elsewhere].count("setmycommands") == len(LANGUAGES))
        menus = [params for name, params in it.double.elsewhere if name == "setmycommands"]
        assert [params.get("language_code") for params in menus] == [None, "ru"]
        for params in menus:
            assert {"subscribe", "topics", "test", "why"} <= {one["command"] for one in params["commands"]}
            english = {one["description"].isascii() for one in params["commands"]}
            assert english == {params.get("language_code") != "ru"}
        heard = ["message", "channel_post", "my_chat_member", "callback_query"]
        assert it.double.people.asked[-1]["allowed_updates"] == heard
        assert it.double.people.asked[-1]["timeout"] == 50


async def test_where_commands_are_off_nobody_asks_for_updates(tmp_path: Path) -> None:
    async with telegram(tmp_path, commands="false") as it:
        assert it.app.chats.telegram is None
        it.double.say(OWNER, "/help", user=OWNER)
        await it.app.database.read(lambda _conn: None)
        assert it.double.people.asked == []


def test_without_a_section_for_telegram_nothing_of_the_chats_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "sensord.yaml").write_text("jobs: {a: {command: ['true']}}")
    code = """
import sys, anyio
from pathlib import Path
from sensord.app import open_app
from sensord.config import load
async def main():
    async with open_app(load(Path("sensord.yaml"), {})):
        pass
anyio.run(main)
parts = ("telegram", "notifiers.channels.telegram_chat", "notifiers.chat.conversations", "notifiers.chat.deeds")
print(sorted(set(parts) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
