"""Every way in which Telegram, or what lies before it, says no, and the decision that follows."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from notifiers.channels import DeliveryError, Part, Reason
from notifiers.channels.telegram import TelegramConfig, open_telegram
from notifiers.channels.telegram_errors import EntitiesRefusedError, classify, read_answer
from notifiers.settings import Secret
from tests.channels.test_telegram import GROUP, refused, telegram
from tests.doubles.telegram import open_double
from tests.doubles.telegram_chats import State, Topic

TOKEN = "987654321:planted-token-that-nobody-may-see"


def decision(error: DeliveryError) -> str:
    """The fields that are set, as words."""
    flags = [name for name in ("permanent", "pause", "uncertain") if getattr(error, name)]
    more = [f"{name}={value}" for name in ("retry_after", "moved_to") if (value := getattr(error, name)) is not None]
    return " ".join([error.reason.value, *flags, *more])


GONE = "gone permanent pause"
REFUSED = "refused permanent"
SAID = [
    (403, "Forbidden: bot was blocked by the user", GONE),
    (403, "Forbidden: bot was kicked from the group chat", GONE),
    (403, "Forbidden: bot was kicked from the supergroup chat", GONE),
    (403, "Forbidden: bot was kicked from the channel chat", GONE),
    (403, "Forbidden: the group chat was deleted", GONE),
    (403, "Forbidden: user is deactivated", GONE),
    (403, "Forbidden: bot is not a member of the channel chat", GONE),
    (403, "Forbidden: bot can't initiate conversation with a user", GONE),
    (400, "Bad Request: chat not found", GONE),
    (400, "Bad Request: PEER_ID_INVALID", GONE),
    (400, "Bad Request: CHAT_WRITE_FORBIDDEN", GONE),
    (400, "Bad Request: need administrator rights in the channel chat", GONE),
    (400, "Bad Request: not enough rights to send text messages to the chat", GONE),
    (400, "Bad Request: message thread not found", GONE),
    (400, "Bad Request: TOPIC_CLOSED", GONE),
    (400, "Bad Request: TOPIC_DELETED", GONE),
    (400, "Bad Request: not enough rights to send documents to the chat", REFUSED),
    (400, "Bad Request: message text is empty", REFUSED),
    (400, "Bad Request: text must be non-empty", REFUSED),
    (400, "Bad Request: message is too long", REFUSED),
    (400, "Bad Request: BUTTON_DATA_INVALID", REFUSED),
    (400, "Bad Request: message is not modified", REFUSED),
    (400, "Bad Request: query is too old and response timeout expired or query ID is invalid", REFUSED),
    (400, "Bad Request: can't parse entities: Unsupported start tag \"\" at byte offset 4", REFUSED),
    (413, "Request Entity Too Large", REFUSED),
    (401, "Unauthorized", "unauthorised permanent pause"),
    (404, "Not Found", "unauthorised permanent pause"),
    (404, "Not Found: method not found", "unauthorised permanent pause"),
    (500, "Internal Server Error", "server_error"),
    (500, "Internal Server Error: Request aborted", "answer_lost uncertain"),
    (502, "Bad Gateway", "answer_lost uncertain"),
    (503, "Service Unavailable", "server_error"),
    (504, "Gateway Timeout", "answer_lost uncertain"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "description", "expected"), SAID)
def test_each_word_of_telegram_has_its_decision_and_is_kept(code: int, description: str, expected: str) -> None:
    error = classify(code, description, {}, {})
    assert decision(error) == expected
    assert description in str(error)
    assert isinstance(error, EntitiesRefusedError) == ("parse entities" in description)


@pytest.mark.parametrize(
    ("parameters", "headers", "wait"),
    [
        ({"retry_after": 7}, {"Retry-After": "9"}, 7.0),
        ({}, {"Retry-After": "9"}, 9.0),
        ({"retry_after": 10072}, {}, 10072.0),
        ({"retry_after": True}, {"Retry-After": "soon"}, None),
        ({}, {}, None),
    ],
)
def test_the_wait_is_the_bodys_or_else_the_headers(parameters: Any, headers: Any, wait: float | None) -> None:
    error = classify(429, "Too Many Requests: retry after 7", parameters, headers)
    assert (error.reason, error.retry_after, error.permanent, error.pause) == (Reason.rate_limited, wait, False, False)


def test_a_group_that_became_a_supergroup_has_moved_without_its_thread() -> None:
    said = "Bad Request: group chat was upgraded to a supergroup chat"
    assert decision(classify(400, said, {"migrate_to_chat_id": -100777}, {})) == "moved moved_to=-100777"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"<html>hello</html>", "answer_lost uncertain"),
        (200, b"", "answer_lost uncertain"),
        (200, b"{}", "answer_lost uncertain"),
        (200, b"[]", "answer_lost uncertain"),
        (200, b'{"ok":true}', "answer_lost uncertain"),
        (200, b'{"ok":false,"error_code":403,"description":"Forbidden: x"}', GONE),
        (302, b"", "server_error"),
        (403, b"<html>blocked by the proxy</html>", "server_error"),
        (404, b"nginx", "server_error"),
        (500, b"\xff\xfe", "server_error"),
        (502, b"<html>502</html>", "answer_lost uncertain"),
        (504, b"", "answer_lost uncertain"),
        (400, b'{"ok":false}', REFUSED),
    ],
)
def test_only_json_of_the_bot_api_counts_as_its_word(status: int, body: bytes, expected: str) -> None:
    error = read_answer(status, {}, body)
    assert isinstance(error, DeliveryError)
    assert decision(error) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("blocked", GONE), ("deactivated", GONE), ("kicked", GONE), ("deleted", GONE), ("not_member", GONE),
        ("not_started", GONE), ("unknown", GONE), ("no_rights", GONE), ("migrated", "moved moved_to=-1009"),
    ],
)  # fmt: skip
async def test_a_chat_that_died_is_reported_as_what_it_is(state: State, expected: str) -> None:
    async with telegram() as (double, channel):
        chat = double.chats.add(GROUP, state=state)
        chat.moved_to = -1009
        assert decision(await refused(channel)) == expected
        assert not double.committed


@pytest.mark.parametrize("topic", ["closed", "deleted", None])
async def test_a_topic_that_died_is_named_as_the_reason(topic: Topic | None) -> None:
    async with telegram() as (double, channel):
        if topic:
            double.chats.add(GROUP).topics[7] = topic
        error = await refused(channel, f"{GROUP}/7")
        assert decision(error) == GONE
        assert "the topic is closed or deleted" in str(error)


async def test_a_wrong_token_shows_at_the_first_send_and_says_where_to_look() -> None:
    for token in ("1:wrong", "no token at all"):
        async with telegram(token=token) as (_, channel):
            error = await refused(channel)
            assert decision(error) == "unauthorised permanent pause"
            assert "check telegram.token" in str(error)


@pytest.mark.parametrize(
    ("kind", "expected", "arrived"),
    [
        ("lost", "answer_lost uncertain", 1),
        ("cut", "answer_lost uncertain", 1),
        ("reset", "answer_lost uncertain", 0),
        ("html", "answer_lost uncertain", 0),
        ("empty", "answer_lost uncertain", 0),
        ("502", "answer_lost uncertain", 0),
        ("504", "answer_lost uncertain", 0),
        ("500", "server_error", 0),
        ("302", "server_error", 0),
        ("429", "rate_limited retry_after=3.0", 0),
    ],
)
async def test_what_goes_wrong_on_the_way_is_told_apart(kind: Any, expected: str, arrived: int) -> None:
    async with telegram() as (double, channel):
        double.fail_next(kind, seconds=3)
        assert decision(await refused(channel)) == expected
        assert (len(double.requests), len(double.committed)) == (1, arrived)
        await channel.send("7", Part(text="the next one"))
        assert double.chats.get(7).texts() == ["the next one"]


async def test_a_connection_that_the_server_dropped_while_idle_repeats_nothing() -> None:
    async with telegram() as (double, channel):
        await channel.send("7", Part(text="first"))
        double.fail_next("lost")
        assert decision(await refused(channel, "7", Part(text="second"))) == "answer_lost uncertain"
        assert [call.text for call in double.committed] == ["first", "second"]


async def test_an_answer_that_never_comes_is_lost_and_uncertain() -> None:
    async def forever(_seconds: float) -> None:
        await anyio.sleep_forever()

    async with open_double(sleep=forever) as double:
        double.fail_next("slow")
        config = TelegramConfig(token=Secret(double.token), api_url=double.url)
        async with open_telegram(config, read_seconds=0.05) as channel:
            assert decision(await refused(channel)) == "answer_lost uncertain"
            assert len(double.committed) == 1


async def test_a_server_that_hangs_up_before_tls_is_done_is_unreachable() -> None:
    async def hang_up(stream: SocketStream) -> None:
        await stream.aclose()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, hang_up)
        url = f"https://127.0.0.1:{port}"
        async with open_telegram(TelegramConfig(token=Secret(TOKEN), api_url=url)) as channel:
            assert decision(await refused(channel)) == "unreachable"
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "kind", ["lost", "cut", "reset", "html", "500", "502", "429", "slow", "unauthorised", "dead", "bad", "ok"]
)
async def test_the_token_is_nowhere_in_errors_tracebacks_and_logs(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def forever(_seconds: float) -> None:
        await anyio.sleep_forever()

    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)  # Put back after the test, unlike a level set by hand.
    async with open_double(token=TOKEN if kind != "unauthorised" else "1:x", sleep=forever) as double:
        if kind not in ("unauthorised", "dead", "bad", "ok"):
            double.fail_next(kind)
        url = "http://127.0.0.1:9" if kind == "dead" else double.url
        target = "@" if kind == "bad" else "7"
        seen = []
        async with open_telegram(TelegramConfig(token=Secret(TOKEN), api_url=url), read_seconds=0.2) as channel:
            bot = await channel.bot()
            seen += [repr(channel), repr(vars(channel)), str(bot.token)]
            if kind == "ok":
                await channel.send(target, Part(text="hello"))
            else:
                error = await refused(channel, target)
                frames = traceback.TracebackException.from_exception(error, capture_locals=True)
                seen += ["".join(frames.format()), repr(error), repr(error.__dict__)]
                assert error.__cause__ is error.__context__ is None
    written = "\n".join([*seen, caplog.text, *(repr(record.__dict__) for record in caplog.records)])
    assert "telegram.Bot" in written
    assert TOKEN not in written
    assert TOKEN.partition(":")[2] not in written


def test_a_token_that_telegram_would_quote_is_struck_out() -> None:
    config = TelegramConfig(token=Secret(TOKEN))
    assert TOKEN not in repr(config) + str(config) + config.model_dump_json()
