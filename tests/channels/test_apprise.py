"""Apprise against real servers on loopback: HTTP by its json:// scheme, and SMTP."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pydantic import TypeAdapter, ValidationError

from notifiers.channels import Channel, DeliveryError, Reason, Receipt
from notifiers.channels import apprise as channel_of
from notifiers.channels.apprise import AppriseConfig, open_apprise
from notifiers.message import Link, Message, Pre, Table, Text
from rules.event import Severity
from tests.doubles.webhook import Answer, WebhookDouble, running

# A plugin of the library tries a module that Python 3.13 is without.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SECRET = "planted-token-in-the-url"
MESSAGE = Message(
    title="load failed",
    severity=Severity.error,
    note="again",
    facts=[("job", "load")],
    body=[Text("2 of 3 rows <b>bad</b>"), Pre("trace\nback", title="log"), Table(["a", "b"], [["1", "2"]])],
    links=[Link("the run", "http://localhost:8300/runs/1")],
)


def config(url: str, **fields: Any) -> AppriseConfig:
    return TypeAdapter(AppriseConfig).validate_python({"url": url, **fields})


@asynccontextmanager
async def speaking(url: str, **fields: Any) -> AsyncIterator[Channel]:
    async with open_apprise({"team": config(url, **fields)}) as channel:
        yield channel


async def send(channel: Channel, message: Message = MESSAGE, target: str = "team") -> Receipt:
    (part,) = channel.render(message)
    return await channel.send(target, part)


async def failure(channel: Channel, target: str = "team") -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(channel, target=target)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def json_url(double: WebhookDouble) -> str:
    return f"json://user:{SECRET}@{double.url.removeprefix('http://')}/in?rto=2"


async def test_a_message_arrives_with_its_words_as_they_are() -> None:
    async with running(WebhookDouble()) as double, speaking(json_url(double)) as channel:
        receipt = await send(channel)
    (request,) = double.requests
    body = json.loads(request["body"])
    assert (body["title"], body["type"]) == ("load failed", "failure")
    assert body["message"].split("\n\n") == [
        "again",
        "job: load",
        "2 of 3 rows <b>bad</b>",
        "log\ntrace\nback",
        "a | b\n1 | 2",
        "the run: http://localhost:8300/runs/1",
    ]
    assert receipt.data == {"service": "JSON"}
    assert receipt.id


REFUSALS: list[tuple[int, Reason, Mapping[str, bool]]] = [
    (400, Reason.refused, {"permanent": True}),
    (401, Reason.unauthorised, {"pause": True}),
    (404, Reason.gone, {"pause": True}),
    (429, Reason.rate_limited, {}),
    (500, Reason.server_error, {}),
    (503, Reason.server_error, {}),
]


async def test_what_the_service_answers_decides() -> None:
    answers = [Answer(status=status) for status, _, _ in REFUSALS]
    async with running(WebhookDouble(answers=[*answers, Answer()])) as double, speaking(json_url(double)) as channel:
        for status, reason, flags in REFUSALS:
            error = await failure(channel)
            assert error.reason is reason, status
            assert f"{status}" in str(error)
            found = {name: getattr(error, name) for name in ("permanent", "pause", "uncertain")}
            assert found == {"permanent": False, "pause": False, "uncertain": False} | dict(flags), status
        assert (await send(channel)).id


async def test_nobody_there_is_certainly_unsent_and_a_lost_answer_is_not() -> None:
    async with (
        running(WebhookDouble(answers=[Answer(trouble="lost")])) as double,
        speaking(json_url(double)) as channel,
    ):
        error = await failure(channel)
        assert (error.reason, error.uncertain) == (Reason.answer_lost, True)
        url = json_url(double)
    async with speaking(url) as channel:
        error = await failure(channel)
        assert (error.reason, error.uncertain) == (Reason.unreachable, False)


async def test_a_service_that_does_not_answer_is_let_go_in_time_and_the_loop_goes_on() -> None:
    async with running(WebhookDouble(answers=[Answer(trouble="slow")])) as double:
        async with speaking(json_url(double), timeout="300ms") as channel:
            beats, over = 0, False

            async def beat() -> None:
                nonlocal beats
                while not over:
                    beats += 1
                    await anyio.lowlevel.checkpoint()

            with anyio.fail_after(10):
                async with anyio.create_task_group() as group:
                    group.start_soon(beat)
                    error = await failure(channel)
                    over = True
            assert (error.reason, error.uncertain) == (Reason.answer_lost, True)
            assert beats > 10
        double.release.set()


async def test_threads_that_hang_are_few_and_the_next_call_waits_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_of, "THREADS", 1)
    async with (
        running(WebhookDouble(answers=[Answer(trouble="slow"), Answer()])) as double,
        speaking(json_url(double), timeout="2s") as channel,
        anyio.create_task_group() as group,
    ):
        group.start_soon(send, channel)
        with anyio.fail_after(10):
            while not double.requests:
                await anyio.lowlevel.checkpoint()
        error = await failure(channel)
        assert (error.reason, error.uncertain) == (Reason.unreachable, False)
        double.release.set()


class Post:
    """A mail server's end of the wire: it takes mail, or refuses at the step that it is told to."""

    def __init__(self, refuse: Mapping[str, str] | None = None) -> None:
        self.refuse = refuse or {}
        self.mail: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line[:4].upper()
            if verb in self.refuse:
                writer.write(f"{self.refuse[verb]}\r\n".encode())
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                self.mail.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                break
            else:
                writer.write(b"250 well\r\n")
        writer.close()


@asynccontextmanager
async def posting(post: Post) -> AsyncIterator[Post]:
    server = await asyncio.start_server(post.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    post.url = f"mailto://127.0.0.1:{port}?from=sensord@example.org&to=team@example.org&smtp=127.0.0.1&mode=insecure"
    try:
        yield post
    finally:
        server.close()
        await server.wait_closed()


async def test_mail_is_taken_by_a_real_mail_server() -> None:
    async with posting(Post()) as post, speaking(post.url) as channel:
        await send(channel)
    (mail,) = post.mail
    assert "Subject: load failed" in mail
    assert "team@example.org" in mail


@pytest.mark.parametrize(
    ("answer", "reason", "permanent"),
    [("550 no such person", Reason.refused, True), ("451 come back later", Reason.server_error, False)],
)
async def test_what_the_mail_server_says_decides(answer: str, reason: Reason, permanent: bool) -> None:
    async with posting(Post({"MAIL": answer})) as post, speaking(post.url) as channel:
        error = await failure(channel)
    assert (error.reason, error.permanent, error.uncertain) == (reason, permanent, False)
    assert post.mail == []


async def test_a_name_that_is_not_there_and_a_url_that_is_nobodys_pause_the_destination(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with speaking(f"nosuchservice://{SECRET}/x") as channel:
        for target in ("team", "other"):
            error = await failure(channel, target)
            assert error.permanent
            assert error.pause
    assert "apprise.unusable" in caplog.text
    assert SECRET not in caplog.text


async def test_nothing_of_the_librarys_log_gets_out_and_it_is_left_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("apprise")
    before = (logger.level, logger.propagate, list(logger.handlers))
    async with running(WebhookDouble(answers=[Answer(status=500)])) as double, speaking(json_url(double)) as channel:
        await failure(channel)
        assert SECRET not in repr(config(json_url(double)))
    assert SECRET not in caplog.text
    assert "load failed" not in caplog.text
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_an_entry_is_its_url_or_a_mapping() -> None:
    assert TypeAdapter(AppriseConfig).validate_python("json://localhost").url.get_secret_value() == "json://localhost"
    assert config("json://localhost", timeout="5s").timeout == 5.0
    for wrong in ("no url", "mailto:", {"url": "json://x", "colour": 1}, 7):
        with pytest.raises(ValidationError):
            TypeAdapter(AppriseConfig).validate_python(wrong)
