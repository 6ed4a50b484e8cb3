"""The Telegram channel over real HTTP, against a double that refuses what Telegram refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given, settings

from notifiers.channels import Channel, DeliveryError, Part, Reason, Receipt
from notifiers.channels.telegram import Target, TelegramConfig, open_telegram
from notifiers.message import Attachment, Button, Message, Pre, Text
from notifiers.settings import Secret
from rules.event import Severity
from rules.pacing import Window
from tests.channels.telegram_messages import messages
from tests.doubles.telegram import TelegramDouble, open_double
from tests.doubles.telegram_chats import Limits

GROUP = -1_001_234_567_890


@asynccontextmanager
async def telegram(
    *, token: str | None = None, read_seconds: float = 5.0, limits: Limits | None = None
) -> AsyncIterator[tuple[TelegramDouble, Channel]]:
    """A double and a channel to it; the limits on calls are lifted unless given."""
    async with open_double(limits=limits or Limits(enforce=False)) as double:
        config = TelegramConfig(token=Secret(token or double.token), api_url=double.url)
        async with open_telegram(config, read_seconds=read_seconds) as channel:
            yield double, channel


async def refused(channel: Channel, target: str = str(GROUP), part: Part | None = None) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await channel.send(target, part or Part(text="hello"))
    return caught.value


async def test_a_message_arrives_with_its_entities_buttons_and_files() -> None:
    message = Message(
        title="load_houses failed",
        severity=Severity.error,
        body=[Text("1 < 2 & *so on*"), Pre("x" * 9_000, title="log")],
        buttons=[Button("Retry", "nonce", "primary")],
        attachments=[Attachment("отчёт 1.csv", b"a,b\r\n")],
    )
    async with telegram() as (double, channel):
        receipts = [await channel.send(str(GROUP), part) for part in channel.render(message)]
        chat = double.chats.get(GROUP)
        assert receipts == [
            Receipt(
                id=str(number),
                data={"chat_id": GROUP, "message_id": number, "date": chat.messages[number]["date"]},
            )
            for number in (1, 2, 3)
        ]
        first = chat.messages[1]
        assert first["text"].startswith("❌ load_houses failed\n\n1 < 2 & *so on*\n\nlog\nxxx")
        assert {"type": "bold", "offset": 2, "length": 18} in first["entities"]
        (button,) = first["reply_markup"]["inline_keyboard"][0]
        assert button == {"text": "Retry", "callback_data": "nonce", "style": "primary"}
        assert double.file(GROUP, 2) == ("log.txt", b"x" * 9_000)
        assert double.file(GROUP, 3) == ("отчёт_1.csv", b"a,b\r\n")
        assert not any(call.params.get("parse_mode") for call in double.requests)


@settings(max_examples=20, deadline=None)
@given(messages)
def test_the_double_takes_every_part_of_every_message(message: Message) -> None:
    async def send() -> None:
        async with telegram() as (double, channel):
            parts = channel.render(message)
            for part in parts:
                await channel.send("7", part)
            assert [call.text for call in double.committed] == [part.text for part in parts]
            assert len(double.requests) == len(parts)

    anyio.run(send)


@pytest.mark.parametrize(
    ("text", "chat", "thread"),
    [
        ("123", 123, None),
        ("-100123", -100123, None),
        ("-100123/7", -100123, 7),
        ("-100123/1", -100123, None),
        ("-100123/0", -100123, None),
        ("@data_team", "@data_team", None),
        ("@data_team/9", "@data_team", 9),
    ],
)
def test_a_target_is_a_chat_and_a_topic_that_is_not_general(text: str, chat: int | str, thread: int | None) -> None:
    assert Target.parse(text) == Target(chat, thread)


@pytest.mark.parametrize(
    "target", ["", "0", "-", "abc", "@", "@x", "12/", "12/x", "1 2", "+5", "12/7/8", "@a\udc80bcd", "١٢"]
)
async def test_a_target_that_cannot_be_read_is_refused_without_a_call(target: str) -> None:
    async with telegram() as (double, channel):
        error = await refused(channel, target)
        assert (error.reason, error.permanent, error.pause) == (Reason.refused, True, False)
        assert "write CHAT_ID or @NAME" in str(error)
        assert not double.requests
        assert channel.windows(target) == [Window("telegram:bot", 30, 1.0)]


async def test_the_windows_are_telegrams_and_topics_share_those_of_their_chat() -> None:
    async with telegram() as (_, channel):
        bot, chat, minute = channel.windows("-100123/7")
        assert [(window.limit, window.seconds) for window in (bot, chat, minute)] == [(30, 1.0), (1, 1.0), (20, 60.0)]
        assert channel.windows("-100123/8") == [bot, chat, minute]
        assert channel.windows("@Data_Team") == channel.windows("@data_team/3")
        assert len({window.key for window in (bot, chat, minute)}) == 3
        assert len(channel.windows("@data_team")) == 3
        assert [window.limit for window in channel.windows("123")] == [30, 1]


async def test_sends_that_keep_to_the_windows_meet_no_limit() -> None:
    now = 0.0
    async with open_double(monotonic=lambda: now) as double:
        config = TelegramConfig(token=Secret(double.token), api_url=double.url)
        async with open_telegram(config) as channel:
            for number in range(60):
                now = number % 20 * 1.0 + number // 20 * 60.0
                await channel.send(str(GROUP), Part(text=f"{number}"))
            assert len(double.committed) == 60
            error = await refused(channel)
            assert (error.reason, error.retry_after, error.uncertain) == (Reason.rate_limited, 1.0, False)


async def test_a_topic_gets_its_message_and_general_is_meant_by_omission() -> None:
    async with telegram() as (double, channel):
        double.chats.add(GROUP).topics[7] = "open"
        await channel.send(f"{GROUP}/7", Part(text="in a topic"))
        await channel.send(f"{GROUP}/1", Part(text="in General"))
        assert [call.thread for call in double.committed] == [7, None]
        assert "message_thread_id" not in double.committed[1].params


async def test_entities_that_telegram_refuses_cost_one_more_call_and_no_message() -> None:
    bad = {"type": "text_link", "offset": 4, "length": 3, "url": "http://localhost/runs/1"}
    async with telegram() as (double, channel):
        receipt = await channel.send("7", Part(text="See log now", payload={"entities": [bad]}))
        assert receipt.id == "1"
        assert double.chats.get(7).texts() == ["See log (http://localhost/runs/1) now"]
        assert [call.status for call in double.requests] == [400, 200]
        assert "entity URL" in double.requests[0].description


async def test_the_second_try_without_entities_reports_its_own_error() -> None:
    bad = {"type": "bold", "offset": 0, "length": 99}
    async with telegram() as (double, channel):
        double.fail_next("lost", at=1)
        error = await refused(channel, "7", Part(text="x", payload={"entities": [bad]}))
        assert (error.reason, error.uncertain) == (Reason.answer_lost, True)
        assert len(double.committed) == 1


async def test_opening_makes_no_call_and_needs_no_network() -> None:
    config = TelegramConfig(token=Secret("1:x"), api_url="http://127.0.0.1:9")
    async with open_telegram(config) as channel:
        assert channel.render(Message(title="t"))
        error = await refused(channel)
        assert (error.reason, error.uncertain, error.permanent) == (Reason.unreachable, False, False)


async def test_many_sends_at_once_all_arrive_once() -> None:
    async with telegram() as (double, channel), anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(channel.send, str(number + 1), Part(text=f"{number}"))
    assert sorted(int(call.text) for call in double.committed) == list(range(200))


def test_the_library_is_loaded_only_when_telegram_is_opened() -> None:
    code = (
        "import sys, notifiers.channels.telegram; print({'telegram', 'httpx', 'aiohttp', 'tdjson'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_library_is_loaded_at_the_first_use_and_its_framework_never() -> None:
    code = """
import anyio, sys
from notifiers.channels.telegram import TelegramConfig, open_telegram
async def main():
    async with open_telegram(TelegramConfig(token="1:x")) as channel:
        print("telegram" in sys.modules)
        await channel.bot()
anyio.run(main)
print("telegram.ext" in sys.modules, "telegram" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nFalse True\n"


@pytest.mark.parametrize("address", ["api.telegram.org", "ftp://x", "http://", "https://a.b/?x", "https://a b"])
def test_an_address_that_is_none_is_a_clear_error(address: str) -> None:
    with pytest.raises(ValueError, match="write the server's address"):
        TelegramConfig(token=Secret("1:x"), api_url=address)


def test_a_server_of_ones_own_may_have_a_path_and_a_final_slash() -> None:
    assert TelegramConfig(token=Secret("1:x"), api_url="http://bots:8081/api/").api_url == "http://bots:8081/api"
