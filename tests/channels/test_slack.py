"""The Slack channel over HTTP: what is posted where, and what each failure asks of whoever sends."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import traceback
from typing import Any

import pytest

import notifiers.channels.slack as slack_module
from notifiers.channels import DeliveryError, Part, Reason
from notifiers.channels.slack import SlackConfig, open_slack
from notifiers.channels.slack_blocks import render
from notifiers.message import Attachment, Message, Text
from notifiers.settings import Secret
from tests.channels.slack_messages import HOSTILE, ROOM, slack
from tests.doubles.slack import Fault, Room, SlackDouble

MESSAGE = Message(title="load_houses failed", body=[Text("3 < 4")])
POST = render(MESSAGE)[0]
FILE = render(Message(title="t", attachments=[Attachment("log.txt", b"whole log")]))[1]

GONE = {"reason": Reason.gone, "pause": True}
UNAUTHORISED = {"reason": Reason.unauthorised, "pause": True}
REFUSED = {"reason": Reason.refused, "permanent": True}
UNCERTAIN = {"reason": Reason.server_error, "uncertain": True}
AGAIN = {"reason": Reason.server_error}
TOO_FAST = {"reason": Reason.rate_limited}

DECISIONS: dict[str, dict[str, Any]] = {
    "channel_not_found": GONE, "is_archived": GONE, "not_in_channel": GONE, "restricted_action": GONE,
    "restricted_action_read_only_channel": GONE, "restricted_action_thread_locked": GONE,
    "restricted_action_thread_only_channel": GONE, "restricted_action_non_threadable_channel": GONE,
    "messages_tab_disabled": GONE, "cannot_reply_to_message": GONE, "ekm_access_denied": GONE,
    "team_not_found": GONE, "user_not_found": GONE, "user_disabled": GONE,
    "invalid_auth": UNAUTHORISED, "account_inactive": UNAUTHORISED, "token_revoked": UNAUTHORISED,
    "token_expired": UNAUTHORISED, "not_authed": UNAUTHORISED, "missing_scope": UNAUTHORISED,
    "not_allowed_token_type": UNAUTHORISED, "no_permission": UNAUTHORISED, "org_login_required": UNAUTHORISED,
    "no_text": REFUSED, "msg_too_long": REFUSED, "too_many_attachments": REFUSED, "metadata_too_large": REFUSED,
    "invalid_arguments": REFUSED, "an_error_that_slack_made_up_today": REFUSED,
    "rate_limited": TOO_FAST, "ratelimited": TOO_FAST, "message_limit_exceeded": TOO_FAST,
    "internal_error": UNCERTAIN, "fatal_error": UNCERTAIN, "500": UNCERTAIN, "502": UNCERTAIN, "504": UNCERTAIN,
    "503": AGAIN, "service_unavailable": AGAIN, "request_timeout": AGAIN,
    "429": TOO_FAST, "404": REFUSED, "301": REFUSED, "403": UNAUTHORISED,
    "html": {"reason": Reason.answer_lost, "uncertain": True},
    "garbage": {"reason": Reason.answer_lost, "uncertain": True},
    "lost": {"reason": Reason.answer_lost, "uncertain": True},
    "reset": {"reason": Reason.answer_lost, "uncertain": True},
}  # fmt: skip


async def failing(kind: str, part: Part = POST, method: str = "chat.postMessage", **fault: Any) -> DeliveryError:
    """Send a part into one fault; return the error, having seen that there was one call and no more."""
    double = SlackDouble(limits=False, faults=[Fault(kind=kind, method=method, **fault)])
    async with slack(double) as (channel, _):
        with pytest.raises(DeliveryError) as caught:
            await channel.send(ROOM, part)
    assert [request["method"] for request in double.requests].count(method) == 1
    return caught.value


def decision(error: DeliveryError) -> dict[str, Any]:
    flags = {name: getattr(error, name) for name in ("permanent", "pause", "uncertain")}
    return {"reason": error.reason, **{name: True for name, value in flags.items() if value}}


@pytest.mark.parametrize("kind", DECISIONS)
async def test_each_failure_of_a_post_is_one_call_and_one_decision(kind: str) -> None:
    error = await failing(kind)
    assert decision(error) == DECISIONS[kind]
    assert "xoxb" not in str(error)


async def test_a_429_and_a_rate_limit_with_http_200_say_how_long_to_wait() -> None:
    assert (await failing("429", seconds=30)).retry_after == 30
    assert (await failing("rate_limited")).retry_after == 1


@pytest.mark.parametrize("code", ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"])
async def test_refused_blocks_are_posted_once_more_as_plain_text(code: str) -> None:
    double = SlackDouble(limits=False, faults=[Fault(kind=code, nth=1)])
    async with slack(double) as (channel, _):
        receipt = await channel.send(ROOM, POST)
    (posted,) = double.committed
    assert posted["shown"] == POST.text.strip()
    assert posted["pings"] == []
    assert code in receipt.data["plain_because"]


async def test_plain_text_pings_nobody_either() -> None:
    (part,) = render(Message(title="".join(HOSTILE[:8]), body=[Text("<!channel> & <@U0123ABCD>")]))
    double = SlackDouble(limits=False, faults=[Fault(kind="invalid_blocks", nth=1)])
    async with slack(double) as (channel, _):
        await channel.send(ROOM, part)
    (posted,) = double.committed
    assert posted["shown"] == part.text.strip()
    assert posted["pings"] == []


async def test_text_that_is_refused_as_well_is_refused_for_good() -> None:
    double = SlackDouble(limits=False, faults=[Fault(kind="invalid_blocks")])
    async with slack(double) as (channel, _):
        with pytest.raises(DeliveryError) as caught:
            await channel.send(ROOM, POST)
    assert decision(caught.value) == REFUSED
    assert len(double.requests) == 2


async def test_a_bad_block_is_named_in_the_receipt() -> None:
    bad = Part(text="x", payload={"kind": "post", "text": "x", "blocks": [{"type": "header", "text": "no"}]})
    async with slack() as (channel, _):
        receipt = await channel.send(ROOM, bad)
    assert "json-pointer:/blocks/0/text" in receipt.data["plain_because"]


async def test_a_missing_scope_is_named() -> None:
    async with slack(SlackDouble(scopes=set())) as (channel, _):
        with pytest.raises(DeliveryError, match="needs the scope chat:write") as caught:
            await channel.send(ROOM, POST)
    assert decision(caught.value) == UNAUTHORISED


async def test_without_the_scope_for_files_posts_still_go_out() -> None:
    double = SlackDouble(limits=False, scopes={"chat:write"})
    async with slack(double) as (channel, _):
        with pytest.raises(DeliveryError, match="needs the scope files:write") as caught:
            await channel.send(ROOM, FILE)
        await channel.send(ROOM, POST)
    assert decision(caught.value) == {"reason": Reason.unauthorised, "permanent": True}


async def test_no_connection_is_certain() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api/"
        async with open_slack(SlackConfig(token=Secret("xoxb-1"), api_url=url)) as channel:
            with pytest.raises(DeliveryError) as caught:
                await channel.send(ROOM, POST)
    assert decision(caught.value) == {"reason": Reason.unreachable}


async def test_an_answer_that_never_comes_is_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_module, "ANSWER", 0.05)
    error = await failing("slow")
    assert decision(error) == {"reason": Reason.answer_lost, "uncertain": True}


async def test_a_receipt_tells_where_the_message_stands() -> None:
    double = SlackDouble(limits=False, rooms=[Room(id="C0ALERTS", name="data-alerts")])
    async with slack(double) as (channel, _):
        receipt = await channel.send("#data-alerts", POST)
        reply = await channel.send(f"C0ALERTS/{receipt.id}", POST)
    assert receipt.data == {"channel": "C0ALERTS", "ts": receipt.id}
    assert [message["thread_ts"] for message in double.committed] == [None, receipt.id]
    assert reply.id != receipt.id


async def test_nothing_is_left_for_slack_to_parse_or_unfurl() -> None:
    async with slack() as (channel, double):
        await channel.send(ROOM, POST)
    body = double.requests[0]["body"]
    assert {key: body[key] for key in ("mrkdwn", "link_names", "unfurl_links", "unfurl_media")} == {
        "mrkdwn": False, "link_names": False, "unfurl_links": False, "unfurl_media": False,
    }  # fmt: skip
    assert body["parse"] == "none"
    assert "3 &lt; 4" in body["text"]


@pytest.mark.parametrize("target", ["", "data-alerts", "#a b", "C01/", "C01/x", "#a/b/c", "-100123"])
async def test_a_target_that_is_none_says_what_to_write(target: str) -> None:
    async with slack() as (channel, double):
        with pytest.raises(DeliveryError, match="write #name") as caught:
            await channel.send(target, POST)
    assert caught.value.permanent
    assert double.requests == []


@pytest.mark.parametrize("target", ["#data-alerts", "U0ANNA", "C0ALERTS", "D0ANNA"])
async def test_a_file_goes_wherever_a_post_goes(target: str) -> None:
    rooms = [Room(id=f"C{n}", name=f"other-{n}") for n in range(5)]
    rooms += [Room(id="C0ALERTS", name="data-alerts"), Room(id="D0ANNA", user="U0ANNA")]
    double = SlackDouble(limits=False, rooms=rooms)
    async with slack(double) as (channel, _):
        receipt = await channel.send(target, FILE)
        await channel.send(target, FILE)
    first, second = double.committed
    assert first["file"] == {"name": "log.txt", "length": 9, "content": b"whole log"}
    assert first["channel"] == second["channel"] == receipt.data["channel"]
    looked_up = [r for r in double.requests if r["method"].startswith("conversations.")]
    assert len(looked_up) == {"#": 3, "U": 1}.get(target[0], 0)  # Pages of the first time, and none the second.


async def test_the_channel_of_a_post_is_not_looked_up_for_its_file() -> None:
    double = SlackDouble(limits=False, scopes={"chat:write", "files:write"})
    async with slack(double) as (channel, _):
        await channel.send("#general", POST)
        await channel.send("#general", FILE)
    assert double.committed[1]["file"]["name"] == "log.txt"


async def test_a_file_for_a_channel_that_is_not_listed_says_so() -> None:
    async with slack() as (channel, _):
        with pytest.raises(DeliveryError, match="write its id") as caught:
            await channel.send("#nowhere", FILE)
    assert decision(caught.value) == {"reason": Reason.gone, "permanent": True}


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        *((kind, "files.getUploadURLExternal") for kind in ("lost", "reset", "500", "502", "internal_error", "html")),
        *((kind, "/upload/v1/F00000000") for kind in ("lost", "reset", "500", "502", "503")),
    ],
)
async def test_a_file_that_fails_before_its_last_step_was_certainly_not_shown(kind: str, method: str) -> None:
    error = await failing(kind, FILE, method)
    assert not error.uncertain
    assert not error.permanent


async def test_a_file_whose_last_answer_is_lost_is_uncertain() -> None:
    error = await failing("lost", FILE, "files.completeUploadExternal")
    assert decision(error) == {"reason": Reason.answer_lost, "uncertain": True}


async def test_a_paced_sender_earns_no_429_and_an_unpaced_one_does() -> None:
    now = 0.0
    double = SlackDouble(clock=lambda: now)
    async with slack(double) as (channel, _):
        for _ in range(3):
            await channel.send(ROOM, POST)
            now += channel.windows(ROOM)[0].seconds
        now -= 0.5
        with pytest.raises(DeliveryError) as caught:
            await channel.send(ROOM, POST)
    assert caught.value.retry_after == 1
    assert [request["status"] for request in double.requests] == [200, 200, 200, 429]


async def test_windows_are_shared_by_the_threads_of_a_channel() -> None:
    async with slack() as (channel, _):
        assert channel.windows("C01") == channel.windows("C01/1.2") != channel.windows("C02")
        assert channel.windows("C01")[1] == channel.windows("C02")[1]


@pytest.mark.parametrize("kind", ["invalid_auth", "lost", "502", "garbage", "html", "429"])
async def test_the_token_is_in_no_error_no_log_and_no_repr(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "xoxb-canary-5f3a"
    double = SlackDouble(limits=False, token=canary, faults=[Fault(kind=kind)])
    async with slack(double) as (channel, _):
        with pytest.raises(DeliveryError) as caught:
            await channel.send(ROOM, POST)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    seen = "".join(traceback.format_exception(error)) + caplog.text + repr(channel) + repr(vars(error))
    assert canary not in seen
    assert "slack_sdk" not in caplog.text


async def test_upload_addresses_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with slack() as (channel, double):
        await channel.send(ROOM, FILE)
    ours = [record for record in caplog.records if not record.name.startswith("aiohttp.access")]
    assert double.committed
    assert not any("/upload/" in record.getMessage() for record in ours)


def test_importing_the_channel_does_not_import_the_sdk() -> None:
    code = "import sys, notifiers.channels.slack; print([m for m in ('slack_sdk', 'aiohttp') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
