"""The webhook channel over HTTP: signed, never redirected, and what each answer asks of whoever sends."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from pydantic import ValidationError

import notifiers.channels.webhook as webhook_module
from notifiers.channels import Channel, DeliveryError, Reason
from notifiers.channels.webhook import BODY, WebhookConfig, open_webhook
from notifiers.clock import SYSTEM, Clock
from notifiers.message import Attachment, Link, Message, Pre, Table, Text
from notifiers.settings import Secret
from rules.event import Severity
from tests.channels.slack_messages import messages
from tests.doubles.webhook import Answer, WebhookDouble, running

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
MESSAGE = Message(
    title="load_houses failed",
    severity=Severity.error,
    note="This may be a repeat.",
    facts=[("run", "42")],
    body=[Text("3 < 4"), Pre("a\n b", title="log"), Table(["c", "d"], [["1", "2\n3"]])],
    links=[Link("run", "https://example.org/42")],
    attachments=[Attachment("a.txt", b"\x00")],
)


@asynccontextmanager
async def webhook(
    *answers: Answer, secret: str | None = KEY, path: str = "/hook/t0ken", clock: Any = SYSTEM, **config: Any
) -> AsyncIterator[tuple[Channel, WebhookDouble]]:
    async with running(WebhookDouble(secret=secret, answers=list(answers) or [Answer()])) as double:
        key = None if secret is None else Secret(secret)
        config = {"allow_private": True, **config}
        settings = WebhookConfig(url=Secret(f"{double.url}{path}"), secret=key, **config)
        async with open_webhook({"crm": settings}, clock=clock) as channel:
            yield channel, double


async def failing(answer: Answer, clock: Clock = SYSTEM) -> DeliveryError:
    async with webhook(answer, clock=clock) as (channel, double):
        with pytest.raises(DeliveryError) as caught:
            await channel.send("crm", channel.render(MESSAGE)[0])
    assert len(double.requests) == 1
    return caught.value


def decision(error: DeliveryError) -> dict[str, Any]:
    flags = {name: getattr(error, name) for name in ("permanent", "pause", "uncertain")}
    return {"reason": error.reason, **{name: True for name, value in flags.items() if value}}


async def test_the_message_arrives_as_json() -> None:
    async with webhook() as (channel, double):
        (part,) = channel.render(MESSAGE)
        receipt = await channel.send("crm", part)
    (request,) = double.requests
    assert (request["method"], request["path"], request["problem"]) == ("POST", "/hook/t0ken", "")
    assert request["headers"]["content-type"] == "application/json"
    assert request["headers"]["webhook-id"] == receipt.id
    assert json.loads(request["body"]) == {
        "title": "load_houses failed",
        "severity": "error",
        "note": "This may be a repeat.",
        "facts": [["run", "42"]],
        "text": "3 < 4\n\nlog\na\n b\n\nc\td\n1\t2 3",
        "links": [{"text": "run", "url": "https://example.org/42"}],
        "attachments": [{"name": "a.txt", "content_base64": "AA=="}],
    }


@pytest.mark.parametrize("secret", [KEY, "any words at all"])
async def test_a_receiver_that_knows_the_secret_trusts_the_request(secret: str) -> None:
    async with webhook(secret=secret) as (channel, double):
        await channel.send("crm", channel.render(MESSAGE)[0])
        double.secret = "another"
        await channel.send("crm", channel.render(MESSAGE)[0])
    assert [request["problem"] for request in double.requests] == ["", "bad signature"]


async def test_the_signature_is_that_of_the_specification_s_own_vector() -> None:
    """Id, time, key and body of the example that the reference libraries test with."""
    moment = datetime.fromtimestamp(1614265330, UTC)
    config = WebhookConfig(url=Secret("https://example.org"), secret=Secret(KEY))
    async with open_webhook({"crm": config}, clock=Clock(now=lambda: moment)) as channel:
        assert isinstance(channel, webhook_module.Webhook)
        headers = channel._headers(config, "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    assert headers["Webhook-Signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@settings(max_examples=25, deadline=None)
@given(message=messages)
def test_any_message_can_be_sent_and_is_trusted(message: Message) -> None:
    async def check() -> None:
        async with webhook() as (channel, double):
            (part,) = channel.render(message)
            await channel.send("crm", part)
        assert double.requests[0]["problem"] == ""
        assert json.loads(double.requests[0]["body"]) == json.loads(json.dumps(part.payload))

    anyio.run(check)


async def test_a_given_id_is_kept_over_repeats_and_others_are_fresh() -> None:
    async with webhook() as (channel, double):
        (part,) = channel.render(MESSAGE)
        for payload_id in ("018f-42", "018f-42", "event.1/sub", "event.1/sub", None, None):
            extra = {} if payload_id is None else {"id": payload_id}
            await channel.send("crm", replace(part, payload={**part.payload, **extra}))
    ids = [request["headers"]["webhook-id"] for request in double.requests]
    assert ids[0] == ids[1] == "018f-42"
    assert ids[2] == ids[3] != "event.1/sub"
    assert len(set(ids)) == 4
    assert all(request["problem"] == "" for request in double.requests)


async def test_headers_of_the_configuration_are_sent() -> None:
    async with webhook(headers={"X-Tenant": Secret("geo")}) as (channel, double):
        await channel.send("crm", channel.render(MESSAGE)[0])
    assert double.requests[0]["headers"]["x-tenant"] == "geo"


DECISIONS: dict[int, dict[str, Any]] = {
    301: {"reason": Reason.refused, "permanent": True},
    302: {"reason": Reason.refused, "permanent": True},
    307: {"reason": Reason.refused, "permanent": True},
    400: {"reason": Reason.refused, "permanent": True},
    401: {"reason": Reason.unauthorised, "pause": True},
    403: {"reason": Reason.unauthorised, "pause": True},
    404: {"reason": Reason.refused, "permanent": True},
    410: {"reason": Reason.gone, "pause": True},
    413: {"reason": Reason.refused, "permanent": True},
    429: {"reason": Reason.rate_limited},
    500: {"reason": Reason.server_error},
    502: {"reason": Reason.server_error},
    503: {"reason": Reason.server_error},
    504: {"reason": Reason.server_error},
}


@pytest.mark.parametrize("status", DECISIONS)
async def test_each_status_is_one_call_and_one_decision(status: int) -> None:
    headers = {"Location": "http://127.0.0.1:9/elsewhere"} if status < 400 else {}
    error = await failing(Answer(status=status, headers=headers, body=b""))
    assert decision(error) == DECISIONS[status]
    assert error.retry_after is None
    assert ("redirects are not followed" in str(error)) == (status < 400)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_a_receipt(status: int) -> None:
    async with webhook(Answer(status=status, body=b"")) as (channel, _):
        assert (await channel.send("crm", channel.render(MESSAGE)[0])).data == {"status": status}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("999999999999", 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_read_in_both_forms_and_bounded(status: int, header: str, seconds: float) -> None:
    error = await failing(Answer(status=status, headers={"Retry-After": header}), Clock(now=lambda: NOW))
    assert (error.reason, error.retry_after) == (Reason.rate_limited, seconds)


@pytest.mark.parametrize("header", ["soon", "-5", "1e9", "", "nan", "Fri, 99 Zzz 2026"])
async def test_a_retry_after_that_says_nothing_is_none(header: str) -> None:
    error = await failing(Answer(status=429, headers={"Retry-After": header}))
    assert (error.reason, error.retry_after) == (Reason.rate_limited, None)


async def test_a_lost_answer_is_uncertain() -> None:
    error = await failing(Answer(trouble="lost"))
    assert decision(error) == {"reason": Reason.answer_lost, "uncertain": True}


async def test_an_answer_that_never_comes_is_uncertain() -> None:
    async with webhook(Answer(trouble="slow"), timeout=0.05) as (channel, _):
        with pytest.raises(DeliveryError) as caught:
            await channel.send("crm", channel.render(MESSAGE)[0])
    assert decision(caught.value) == {"reason": Reason.answer_lost, "uncertain": True}


async def test_no_connection_is_certain() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        config = WebhookConfig(url=Secret(url), allow_private=True)
        async with open_webhook({"crm": config}) as channel:
            with pytest.raises(DeliveryError) as caught:
                await channel.send("crm", channel.render(MESSAGE)[0])
    assert decision(caught.value) == {"reason": Reason.unreachable}


async def test_a_body_that_never_ends_is_read_a_little() -> None:
    with anyio.fail_after(5):
        async with webhook(Answer(trouble="endless")) as (channel, double):
            await channel.send("crm", channel.render(MESSAGE)[0])
            sent = double.sent
    assert sent < BODY + 8 * 2**20  # What the kernel's buffers took beside it.


async def test_an_unknown_webhook_names_those_that_are_known() -> None:
    async with webhook() as (channel, double):
        with pytest.raises(DeliveryError, match="no webhook is called 'cmr'; webhooks: has crm"):
            await channel.send("cmr", channel.render(MESSAGE)[0])
    assert double.requests == []


@pytest.mark.parametrize(
    "answer",
    [Answer(status=404), Answer(status=302), Answer(status=500), Answer(trouble="lost"), Answer(status=200)],
    ids=["404", "302", "500", "lost", "fine"],
)
async def test_secrets_are_in_no_error_no_log_and_no_repr(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error: DeliveryError | None = None
    headers = {"Authorization": Secret("Bearer canary-header")}
    secrets = {"path": "/canary-path?k=canary-query", "secret": "canary-key"}
    async with webhook(answer, headers=headers, **secrets) as (channel, _):
        try:
            await channel.send("crm", channel.render(MESSAGE)[0])
        except DeliveryError as raised:
            error = raised
        seen = repr(channel)
    assert (error is None) == (answer == Answer())
    if error is not None:
        assert error.__cause__ is error.__context__ is None
        assert "webhook 'crm' (127.0.0.1)" in str(error)
        seen += "".join(traceback.format_exception(error)) + repr(vars(error))
    ours = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]
    assert "canary" not in seen + "".join(ours)


@pytest.mark.parametrize(
    "url",
    ["ftp://canary.example", "file:///canary", "//canary", "canary", "http://", "http:///canary", "https://canary b",
     "http://canary\n.example", "gopher://canary", "http://canary:99999/", "http://[canary/"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_when_configured_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError, match="http:// or https://") as caught:
        WebhookConfig(url=Secret(url))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("Webhook-Id", "x"), ("A b", "x"), ("X", "a\r\nY: b"), ("X", "é"), ("", "")]
)
def test_headers_that_cannot_be_sent_are_refused_when_configured(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match="header"):
        WebhookConfig(url=Secret("https://example.org"), headers={name: Secret(value)})


def test_a_secret_that_is_not_base64_is_refused_when_configured() -> None:
    with pytest.raises(ValidationError, match="not base64") as caught:
        WebhookConfig(url=Secret("https://example.org"), secret=Secret("whsec_canary!"))
    assert "canary" not in str(caught.value)
