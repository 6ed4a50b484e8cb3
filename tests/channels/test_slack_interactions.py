"""The double refuses what Slack refuses of triggers, modals, buttons and response URLs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from notifiers.channels import DeliveryError
from notifiers.channels.slack import Slack, SlackConfig, open_slack
from notifiers.channels.slack_views import open_view
from notifiers.settings import Secret
from tests.doubles.slack import Fault, SlackDouble, running
from tests.doubles.slack_blockkit import faults_of
from tests.doubles.slack_viewkit import faults_of_view

FIELD = {
    "type": "input",
    "block_id": "p0",
    "label": {"type": "plain_text", "text": "path"},
    "element": {"type": "plain_text_input", "action_id": "value"},
}
VIEW: dict[str, Any] = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "Run load"},
    "submit": {"type": "plain_text", "text": "Run"},
    "blocks": [FIELD],
}


@dataclass
class Site:
    double: SlackDouble
    channel: Slack
    seconds: list[float] = field(default_factory=lambda: [0.0])

    def trigger(self) -> str:
        return str(self.double.people.typed("C0GENERAL", "run load", user="U1")["trigger_id"])


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    seconds = [0.0]
    double = SlackDouble(clock=lambda: seconds[0])
    async with running(double):
        config = SlackConfig(token=Secret(double.token), api_url=f"{double.url}/api/")
        async with open_slack(config) as channel:
            assert isinstance(channel, Slack)
            yield Site(double, channel, seconds)


async def test_a_trigger_shows_one_modal_within_three_seconds() -> None:
    async with site() as it:
        trigger = it.trigger()
        it.seconds[0] += 2.9
        assert await open_view(it.channel, trigger, VIEW) is True
        # Again: the first one did it.
        assert await open_view(it.channel, trigger, VIEW) is True
        assert len(it.double.people.doing.opened) == 1
        late = it.trigger()
        it.seconds[0] += 3.1
        assert await open_view(it.channel, late, VIEW) is False
        assert await open_view(it.channel, "made up", VIEW) is False
        assert len(it.double.people.doing.opened) == 1


@pytest.mark.parametrize("kind", ["lost", "reset", "garbage", "502"])
async def test_of_a_lost_answer_the_next_call_knows(kind: str) -> None:
    async with site() as it:
        it.double.faults = [Fault(kind=kind, method="views.open", nth=1)]
        if kind == "502":
            with pytest.raises(DeliveryError, match="HTTP 502"):
                await open_view(it.channel, it.trigger(), VIEW)
            return
        assert await open_view(it.channel, it.trigger(), VIEW) is True
        assert len(it.double.people.doing.opened) == 1
        assert [one["method"] for one in it.double.requests] == ["views.open"] * 2


async def test_a_response_url_is_good_for_five_uses_in_thirty_minutes_and_stands_in_no_error() -> None:
    async with site() as it:
        people = it.double.people
        url, old = (str(people.typed("C0GENERAL", "x", user="U1")["response_url"]) for _ in range(2))
        for _ in range(5):
            await it.channel.whisper(url, "<!channel> & co")
        assert people.doing.whispers == [("U1", "&lt;!channel&gt; &amp; co")] * 5
        it.seconds[0] += 1801
        for bad in (
            url,
            old,
            f"{it.double.url}/actions/T0/1/secret",
            "http://elsewhere.example/secret",
            "file:///secret",
        ):
            with pytest.raises(DeliveryError) as refused:
                await it.channel.whisper(bad, "x")
            assert "secret" not in str(refused.value)
        assert len(people.doing.whispers) == 5
        async with aiohttp.ClientSession() as http, http.post(old, json={"text": "x"}) as answer:
            assert (answer.status, json.loads(await answer.text())["error"]) == (404, "expired_url")


def many(**block: Any) -> dict[str, Any]:
    return {**VIEW, "blocks": [{**FIELD, **block}]}


def option(text: str, value: str) -> dict[str, Any]:
    return {"text": {"type": "plain_text", "text": text}, "value": value}


def select(*options: dict[str, Any], **more: Any) -> dict[str, Any]:
    return many(element={"type": "static_select", "action_id": "value", "options": list(options), **more})


def text(length: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": "x" * length}


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ({**VIEW, "title": text(25)}, "/view/title"),
        ({**VIEW, "submit": text(25)}, "/view/submit"),
        ({key: value for key, value in VIEW.items() if key != "submit"}, "submit"),
        ({**VIEW, "blocks": []}, "/view/blocks"),
        ({**VIEW, "blocks": [{**FIELD, "block_id": f"p{one}"} for one in range(101)]}, "/view/blocks"),
        ({**VIEW, "blocks": [FIELD, FIELD]}, "`block_id` already exists"),
        ({**VIEW, "private_metadata": "x" * 3001}, "private_metadata"),
        ({**VIEW, "callback_id": "x" * 256}, "callback_id"),
        ({**VIEW, "type": "home"}, "/view/type"),
        (many(label=text(2001)), "label"),
        (many(label=text(0)), "label"),
        (many(hint=text(2001)), "hint"),
        (many(element={"type": "checkboxes"}), "unsupported type"),
        (many(element={"type": "number_input", "action_id": "a"}), "is_decimal_allowed"),
        (many(element={"type": "number_input", "is_decimal_allowed": False, "initial_value": "1.5"}), "a number"),
        (many(element={"type": "plain_text_input", "initial_value": "x" * 3001}), "initial_value"),
        (select(), "options"),
        (select(*[option("x", str(one)) for one in range(101)]), "options"),
        (select(option("x" * 76, "1")), "text"),
        (select(option("x", "1" * 151)), "value"),
        (select(option("x", "1"), initial_option=option("y", "2")), "initial_option"),
    ],
)
def test_a_modal_that_slack_would_not_show_is_refused(view: dict[str, Any], words: str) -> None:
    assert any(words in fault for fault in faults_of_view(view))
    assert faults_of_view(VIEW) == []


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": text(4), "action_id": "a", "value": "v", **more}


def confirm(**more: Any) -> dict[str, Any]:
    return {"title": text(4), "text": text(4), "confirm": text(3), "deny": text(2), **more}


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ([button(action_id=str(one)) for one in range(26)], "between 1 and 25"),
        ([button(), button()], "`action_id` already exists"),
        ([button(action_id="x" * 256)], "action_id"),
        ([button(value="x" * 2001)], "value"),
        ([button(text=text(76))], "text"),
        ([button(style="loud")], "style"),
        ([button(confirm=confirm(title=text(101)))], "confirm/title"),
        ([button(confirm=confirm(text=text(301)))], "confirm/text"),
        ([button(confirm=confirm(confirm=text(31)))], "confirm/confirm"),
        ([button(confirm=confirm(deny=text(31)))], "confirm/deny"),
    ],
)
def test_buttons_that_slack_would_not_show_are_refused(elements: list[dict[str, Any]], words: str) -> None:
    assert any(words in fault for fault in faults_of([{"type": "actions", "elements": elements}]))
    assert faults_of([{"type": "actions", "elements": [button(confirm=confirm())]}]) == []


def test_a_modal_over_a_quarter_of_a_megabyte_is_too_large() -> None:
    from tests.doubles.slack_viewkit import too_large

    large: Callable[[int], dict[str, Any]] = lambda size: {**VIEW, "private_metadata": "x" * size}  # noqa: E731
    assert too_large(large(250_000))
    assert not too_large(large(2_000))
