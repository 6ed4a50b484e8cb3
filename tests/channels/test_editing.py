"""Messages that change after they were sent: edits over real HTTP, against doubles that refuse what the services do."""

from __future__ import annotations

from typing import Any, cast

import pytest

from notifiers.channels import DeliveryError, Editable, Part, Reason, Receipt
from notifiers.channels.slack_blocks import render as slack_parts
from notifiers.channels.telegram import TelegramConfig, open_telegram
from notifiers.channels.telegram_text import render as telegram_parts
from notifiers.message import Attachment, Button, Message, Text
from notifiers.settings import Secret
from rules.event import Severity
from tests.channels.slack_messages import ROOM, slack
from tests.channels.test_telegram import GROUP, telegram
from tests.doubles.slack import Fault, Room, SlackDouble
from tests.doubles.telegram import open_double
from tests.doubles.telegram_chats import Limits

BEFORE = Message(title="load_houses runs", buttons=[Button("Stop", "nonce-1")])
AFTER = Message(title="load_houses failed", severity=Severity.error, body=[Text("1 < 2 & *so on*")])
BUTTONED = Message(title="load_houses failed", buttons=[Button("Retry", "nonce-2", "primary")])
TARGET = str(GROUP)


async def refused(channel: Any, target: str, receipt: Receipt, part: Part) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await cast("Editable", channel).edit(target, receipt, part)
    return caught.value


async def test_telegram_puts_a_text_with_its_entities_in_the_place_of_another() -> None:
    async with telegram() as (double, channel):
        assert isinstance(channel, Editable)
        receipt = await channel.send(TARGET, channel.render(BEFORE)[0])
        await channel.edit(TARGET, receipt, channel.render(AFTER)[0])
        (shown,) = double.chats.get(GROUP).messages.values()
    assert shown["text"] == "❌ load_houses failed\n\n1 < 2 & *so on*"
    assert shown["entities"] == [{"type": "bold", "offset": 2, "length": 18}]
    assert "reply_markup" not in shown


async def test_telegrams_keyboard_is_that_of_the_part() -> None:
    async with telegram() as (double, channel):
        assert isinstance(channel, Editable)
        receipt = await channel.send(TARGET, channel.render(AFTER)[0])
        await channel.edit(TARGET, receipt, channel.render(BUTTONED)[0])
        (shown,) = double.chats.get(GROUP).messages.values()
    (button,) = shown["reply_markup"]["inline_keyboard"][0]
    assert button == {"text": "Retry", "callback_data": "nonce-2", "style": "primary"}


async def test_an_edit_made_twice_is_one_and_no_error() -> None:
    part = telegram_parts(AFTER)[0]
    async with telegram() as (double, channel):
        assert isinstance(channel, Editable)
        receipt = await channel.send(TARGET, channel.render(BEFORE)[0])
        await channel.edit(TARGET, receipt, part)
        await channel.edit(TARGET, receipt, part)
        again = double.requests[-1]
    assert (again.status, again.committed) == (400, False)
    assert "message is not modified" in again.description


async def test_an_edit_whose_answer_is_lost_is_uncertain_and_may_be_made_again() -> None:
    part = telegram_parts(AFTER)[0]
    async with telegram() as (double, channel):
        assert isinstance(channel, Editable)
        receipt = await channel.send(TARGET, channel.render(BEFORE)[0])
        double.fail_next("lost")
        error = await refused(channel, TARGET, receipt, part)
        await channel.edit(TARGET, receipt, part)
        assert double.chats.get(GROUP).texts() == [part.text]
    assert (error.reason, error.uncertain, error.permanent) == (Reason.answer_lost, True, False)


async def test_an_edit_that_comes_too_early_says_how_long_to_wait() -> None:
    async with telegram() as (double, channel):
        receipt = await channel.send(TARGET, channel.render(BEFORE)[0])
        double.fail_next("429", seconds=7)
        error = await refused(channel, TARGET, receipt, telegram_parts(AFTER)[0])
    assert (error.reason, error.retry_after, error.permanent) == (Reason.rate_limited, 7, False)


async def test_entities_that_telegram_refuses_do_not_keep_a_text_from_being_edited() -> None:
    part = Part(text="1 < 2", payload={"entities": [{"type": "nonsense", "offset": 0, "length": 1}]})
    async with telegram() as (double, channel):
        assert isinstance(channel, Editable)
        receipt = await channel.send(TARGET, channel.render(BEFORE)[0])
        await channel.edit(TARGET, receipt, part)
        assert double.chats.get(GROUP).texts() == ["1 < 2"]


@pytest.mark.parametrize("how", ["deleted", "another's", "a file", "migrated", "kicked"])
async def test_telegram_says_for_good_that_a_message_can_be_edited_no_more(how: str) -> None:
    async with telegram() as (double, channel):
        receipt = await channel.send(TARGET, channel.render(BEFORE)[0])
        chat = double.chats.get(GROUP)
        if how == "deleted":
            chat.messages.clear()
        elif how == "another's":
            chat.messages[1]["from"] = {"id": 1}
        elif how == "a file":
            chat.messages[1].pop("text")
        elif how == "migrated":
            chat.state, chat.moved_to = "migrated", -100_999
        else:
            chat.state = "kicked"
        error = await refused(channel, TARGET, receipt, telegram_parts(AFTER)[0])
    assert error.permanent
    assert not error.pause
    assert error.moved_to is None


async def test_telegram_lets_no_message_be_edited_after_48_hours() -> None:
    now = [1_700_000_000.0]
    part = telegram_parts(AFTER)[0]
    async with open_double(limits=Limits(enforce=False), now=lambda: now[0]) as double:
        config = TelegramConfig(token=Secret(double.token), api_url=double.url)
        async with open_telegram(config) as channel:
            assert isinstance(channel, Editable)
            receipt = await channel.send(TARGET, channel.render(BEFORE)[0])
            now[0] += 48 * 3600 - 1
            await channel.edit(TARGET, receipt, part)
            now[0] += 1
            error = await refused(channel, TARGET, receipt, telegram_parts(BEFORE)[0])
    assert (error.reason, error.permanent) == (Reason.refused, True)
    assert "can't be edited" in str(error)


async def test_a_file_is_put_in_the_place_of_nothing() -> None:
    message = Message(title="t", attachments=[Attachment("log.txt", b"whole log")])
    async with telegram() as (double, channel):
        receipt = await channel.send(TARGET, channel.render(BEFORE)[0])
        error = await refused(channel, TARGET, receipt, telegram_parts(message)[1])
        assert len(double.requests) == 1
    async with slack() as (channel, slack_double):
        receipt = await channel.send(ROOM, channel.render(BEFORE)[0])
        slack_error = await refused(channel, ROOM, receipt, slack_parts(message)[1])
    assert len(slack_double.requests) == 1
    assert (error.permanent, slack_error.permanent) == (True, True)


async def test_telegrams_token_is_in_no_error_of_an_edit() -> None:
    async with telegram(token="42:wrong-but-secret") as (_, channel):
        receipt = Receipt(id="1", data={"chat_id": GROUP, "message_id": 1})
        error = await refused(channel, TARGET, receipt, telegram_parts(AFTER)[0])
    assert (error.reason, error.pause) == (Reason.unauthorised, True)
    assert "secret" not in f"{error!r}{error.__context__!r}{error.__cause__!r}"


async def test_slack_puts_a_post_with_its_buttons_in_the_place_of_another() -> None:
    async with slack() as (channel, double):
        assert isinstance(channel, Editable)
        receipt = await channel.send("#general", channel.render(BEFORE)[0])
        await channel.edit("#general", receipt, channel.render(BUTTONED)[0])
        await channel.edit("#general", receipt, channel.render(BUTTONED)[0])
    (shown,) = double.committed
    assert "load_houses failed" in shown["shown"]
    assert "Retry" in shown["shown"]
    assert "Stop" not in shown["shown"]
    assert shown["pings"] == []


async def test_blocks_that_slack_refuses_are_put_as_plain_text_within_its_limit() -> None:
    long = Message(title="t", body=[Text("<@U0123ABCD> & " * 500)])
    faults = [Fault(kind="invalid_blocks", method="chat.update", nth=1)]
    async with slack(SlackDouble(limits=False, faults=faults)) as (channel, double):
        assert isinstance(channel, Editable)
        receipt = await channel.send(ROOM, channel.render(BEFORE)[0])
        await channel.edit(ROOM, receipt, channel.render(long)[0])
    (shown,) = double.committed
    assert shown["blocks"] == []
    assert shown["shown"].startswith("t\n<@U0123ABCD> & ")
    assert shown["pings"] == []


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("deleted", "message_not_found"),
        ("another's", "cant_update_message"),
        ("old", "edit_window_closed"),
        ("archived", "is_inactive"),
        ("gone", "channel_not_found"),
    ],
)
async def test_slack_says_for_good_that_a_message_can_be_edited_no_more(how: str, code: str) -> None:
    now = [0.0]
    double = SlackDouble(limits=False, clock=lambda: now[0], edit_seconds=60.0)
    async with slack(double) as (channel, _):
        receipt = await channel.send(ROOM, channel.render(BEFORE)[0])
        if how == "deleted":
            double.delete(receipt.id)
        elif how == "another's":
            del double.committed[0]["posted_at"]
        elif how == "old":
            now[0] = 61.0
        elif how == "archived":
            double.rooms[0].archived = True
        else:
            double.rooms[:] = [Room(id="C0OTHER")]
        error = await refused(channel, ROOM, receipt, slack_parts(AFTER)[0])
    assert code in str(error)
    assert error.permanent
    assert not error.pause


@pytest.mark.parametrize("kind", ["lost", "reset", "502", "internal_error", "503", "429"])
async def test_slack_trouble_that_passes_refuses_no_edit_for_good(kind: str) -> None:
    double = SlackDouble(limits=False, faults=[Fault(kind=kind, method="chat.update", nth=1, seconds=2)])
    async with slack(double) as (channel, _):
        assert isinstance(channel, Editable)
        receipt = await channel.send(ROOM, channel.render(BEFORE)[0])
        error = await refused(channel, ROOM, receipt, slack_parts(AFTER)[0])
        await channel.edit(ROOM, receipt, slack_parts(AFTER)[0])
    assert not error.permanent
    assert not error.pause
    assert "load_houses failed" in double.committed[0]["shown"]


async def test_the_windows_of_edits_are_those_of_the_services() -> None:
    async with telegram() as (_, channel):
        assert isinstance(channel, Editable)
        assert channel.edit_windows(TARGET) == channel.windows(TARGET)
    async with slack() as (channel, _):
        assert isinstance(channel, Editable)
        (window,) = channel.edit_windows(ROOM)
    assert (window.limit, window.seconds) == (50, 60.0)
