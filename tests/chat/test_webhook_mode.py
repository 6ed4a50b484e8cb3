"""Updates that Telegram posts instead of being asked: the same rights, the same once, and nobody else's."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import aiohttp
import pytest

from sensord.web.api import serve
from tests.chat.kit import OWNER, telegram
from tests.chat.pressing import ROLES, acts, failed, now
from tests.config.writing import config, said
from tests.doubles.telegram import Limits, open_double
from tests.sources.app_kit import ended
from tests.sources.directory_kit import until

SECRET = "a-secret_of-ours-42"
PATH = "/api/chat/telegram"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def hooked(port: int) -> tuple[str, str]:
    """The configuration of roles and HTTP, and that of the webhook."""
    roles = f"{ROLES}\nhttp: {{port: {port}}}\n"
    return roles, f"{{url: 'http://127.0.0.1:{port}{PATH}', secret_token: {SECRET}}}"


async def test_what_telegram_posts_is_answered_once_though_it_posts_it_twice(tmp_path: Path, database_url: str) -> None:
    roles, webhook = hooked(free_port())
    async with open_double(limits=Limits(enforce=False)) as double:
        double.people.posts_twice = True
        async with telegram(tmp_path, database_url, double=double, roles=roles, webhook=webhook) as it, serve(it.app):
            assert "from now on" in await it.ask("/subscribe runs.*.failed")
            seen = await failed(it)
            for _ in range(20):
                double.press(OWNER, seen.id, seen.buttons["Re-run"], user=OWNER)
            await ended(it.app, "extract", 2)
            await until(lambda: "Re-run by person 1" in now(it, seen).text)
            await it.heard()
            assert len(it.subscribed()) == 1
            assert len(acts(it, "rerun")) == len(acts(it, "subscribed")) == 1
            assert sum("from now on" in text for text in it.texts(OWNER)) == 1
            assert {status for status, _ in double.people.posted} == {200}
            assert double.people.asked == []
            ((_, hook),) = [one for one in double.elsewhere if one[0] == "setwebhook"]
            assert hook["secret_token"] == SECRET
            assert hook["allowed_updates"] == ["message", "channel_post", "my_chat_member", "callback_query"]


async def test_an_update_that_comes_late_is_heard_and_one_from_before_is_not_heard_again(tmp_path: Path) -> None:
    port = free_port()
    roles, webhook = hooked(port)
    async with open_double(limits=Limits(enforce=False)) as double:
        async with telegram(tmp_path, double=double, roles=roles) as it:
            await it.ask("/subscribe runs.*.failed")
            await it.heard()
        about = {"chat": {"id": OWNER, "type": "private"}, "from": {"id": OWNER, "first_name": "x"}, "message_id": 1}
        polled = {"update_id": 1, "message": {**about, "text": "/unsubscribe all"}}
        late = {"update_id": 70, "message": {**about, "text": "/subscribe bp.late"}}
        early = {"update_id": 71, "message": {**about, "text": "/subscribe bp.early"}}
        async with telegram(tmp_path, double=double, roles=roles, webhook=webhook) as it, serve(it.app):
            await until(lambda: double.people.webhook is not None)
            async with aiohttp.ClientSession(headers={"X-Telegram-Bot-Api-Secret-Token": SECRET}) as http:
                for update in (early, late, polled, late, early):
                    async with http.post(f"http://127.0.0.1:{port}{PATH}", json=update) as answer:
                        assert answer.status == 200
            assert {row[0] for row in it.subscribed()} == {"runs.*.failed", "bp.late", "bp.early"}
            assert len(acts(it, "subscribed")) == 3


async def test_nobody_else_is_heard(tmp_path: Path) -> None:
    port = free_port()
    roles, webhook = hooked(port)
    async with (
        open_double(limits=Limits(enforce=False)) as double,
        telegram(tmp_path, double=double, roles=roles, webhook=webhook) as it,
        serve(it.app) as url,
    ):
        about = {"chat": {"id": OWNER, "type": "private"}, "from": {"id": OWNER, "first_name": "x"}}
        update = {"update_id": 5, "message": {**about, "message_id": 1, "text": "/subscribe >"}}
        right = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        async with aiohttp.ClientSession() as http:
            for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": SECRET[:-1]}, {"Authorization": SECRET}):
                async with http.post(f"{url}{PATH}", json=update, headers=headers) as answer:
                    assert answer.status == 401
            async with http.post(f"{url}{PATH}", data=b"x" * (1 << 20), headers=right) as answer:
                assert answer.status == 415
            typed = {**right, "Content-Type": "application/json"}
            async with http.post(f"{url}{PATH}", data=io.BytesIO(b" " * (1 << 21)), headers=typed) as answer:
                assert answer.status == 413
            for body in (b"[]", b"{", b'{"update_id": 1e999}'):
                async with http.post(f"{url}{PATH}", data=body, headers=typed) as answer:
                    assert answer.status == 400
            for body in (b"{}", b'{"update_id": true, "message": []}'):
                async with http.post(f"{url}{PATH}", data=body, headers=typed) as answer:
                    assert answer.status == 200
            async with http.get(f"{url}/openapi.json") as answer:
                paths = (await answer.json())["paths"]
        open_ = {path for path, verbs in paths.items() for one in verbs.values() if one.get("security") == []}
        assert open_ == {"/healthz", "/readyz", "/login", PATH}
        await it.heard()
        assert it.subscribed() == []
        assert SECRET not in str(it.app.config)


async def test_a_webhook_is_given_up_when_updates_are_fetched_again(tmp_path: Path) -> None:
    roles, webhook = hooked(free_port())
    async with open_double(limits=Limits(enforce=False)) as double:
        async with telegram(tmp_path, double=double, roles=roles, webhook=webhook) as it, serve(it.app):
            await it.ask("/help")
        assert double.people.webhook is not None
        double.say(OWNER, "/help", user=OWNER)
        async with telegram(tmp_path, double=double, roles=roles) as it:
            await until(lambda: len(it.texts(OWNER)) == 2)
            assert double.people.webhook is None
            assert [method for method, _ in double.elsewhere].count("deletewebhook") == 1


async def test_a_webhook_that_telegram_refuses_is_said_and_tried_again(tmp_path: Path) -> None:
    roles, webhook = hooked(free_port())
    async with open_double(limits=Limits(enforce=False)) as double:
        double.people.refuses_webhooks = 1
        async with telegram(tmp_path, double=double, roles=roles, webhook=webhook) as it, serve(it.app):
            await until(lambda: bool(it.app.chats.troubles))
            assert "failed to resolve host" in it.app.chats.troubles[0]
            assert "/subscribe PATTERN" in await it.ask("/help")
            assert not it.app.chats.troubles


@pytest.mark.parametrize(
    ("webhook", "words"),
    [
        ("{url: 'http://sensord.example/api/chat/telegram', secret_token: abc}", "https"),
        ("{url: 'https://sensord.example/hook', secret_token: abc}", "/api/chat/telegram"),
        ("{url: 'https://sensord.example/api/chat/telegram', secret_token: 'a b'}", "secret_token"),
        ("{url: 'https://sensord.example/api/chat/telegram'}", "secret_token"),
    ],
)
def test_what_is_wrong_with_a_webhook_is_said(tmp_path: Path, webhook: str, words: str) -> None:
    (problem,) = said(tmp_path, f"telegram: {{token: '1:x', webhook: {webhook}}}")
    assert words in problem


def test_a_path_before_ours_is_a_proxy_s(tmp_path: Path) -> None:
    url = "https://sensord.example/data/api/chat/telegram"
    loaded = config(tmp_path, f"telegram: {{token: '1:x', webhook: {{url: '{url}', secret_token: abc}}}}")
    assert loaded.telegram is not None
    assert loaded.telegram.webhook is not None
    assert loaded.telegram.webhook.url == url
