"""What Slack's payloads mean, whatever they hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifiers.channels.slack_payloads import plain, read_payload
from notifiers.chat import Filled, Heard, Person, Place, Pressed, Said
from tests.doubles.slack import SlackDouble

PEOPLE = SlackDouble().people
STAMP = "1700000000.000001"


def pressed(room: str = "C0DATA", **more: Any) -> dict[str, Any]:
    return PEOPLE.pressed(room, STAMP, "nonce-1", user="U0OWNER") | more


def test_a_press_is_who_pressed_which_button_of_which_message() -> None:
    payload = pressed()
    assert read_payload("interactive", payload) == Pressed(
        heard=Heard("slack", id=payload["trigger_id"]),
        place=Place("slack:C0DATA", "slack:C0DATA", private=False),
        person=Person("slack:U0OWNER", "u0owner"),
        data="nonce-1",
        message=STAMP,
        answer=payload["response_url"],
    )


def test_a_press_in_a_thread_is_in_the_thread_and_one_on_its_first_message_in_the_channel() -> None:
    def place(thread: str) -> str:
        found = read_payload("interactive", pressed(message={"ts": STAMP, "thread_ts": thread}))
        assert isinstance(found, Pressed)
        return found.place.destination

    assert place("1700000000.000000") == "slack:C0DATA/1700000000.000000"
    assert place(STAMP) == "slack:C0DATA"


def test_a_press_in_a_direct_message_is_in_a_private_place() -> None:
    found = read_payload("interactive", pressed("D0OWNER"))
    assert isinstance(found, Pressed)
    assert found.place == Place("slack:U0OWNER", "slack:U0OWNER", private=True)


@pytest.mark.parametrize(
    "more",
    [
        {"type": "view_submission"},
        {"actions": []},
        {"actions": [{"type": "static_select", "action_id": "x"}]},
        {"actions": [{"type": "button", "value": "x" * 2000}]},
        {"container": {"type": "view"}},
        {"user": {"id": "nobody"}},
        {"channel": None},
        {"trigger_id": None},
        {"trigger_id": "x" * 300},
        {"trigger_id": "a\nb"},
    ],
)
def test_what_is_no_press_on_a_button_of_a_message_is_nothing(more: dict[str, Any]) -> None:
    assert read_payload("interactive", pressed(**more)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bp.&gt; severity&gt;=warning", "bp.> severity>=warning"),
        ("a &amp;lt; b", "a &lt; b"),
        ("<http://bp.houses|bp.houses> <https://x.example/a> <mailto:a@b|a@b>", "bp.houses https://x.example/a a@b"),
        ("<#C0DATA|data> <#C0DATA|> <@U0OWNER> <!channel>", "data  <@U0OWNER> <!channel>"),
        ("< http://x > <>", "< http://x > <>"),
    ],
)
def test_what_slack_made_of_what_was_typed_is_undone(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_what_is_told_again_is_known_by_its_own_id_and_by_the_envelopes_where_it_has_none() -> None:
    event = PEOPLE.happened("app_mention", channel="C0DATA", user="U0OWNER", text="<@U0SENSORD> subs")
    for envelope in ("one", "two"):
        said = read_payload("events_api", event, envelope)
        assert isinstance(said, Said)
        assert said.heard == Heard("slack", id=event["event_id"])
    del event["event_id"]
    said = read_payload("events_api", event, "two")
    assert isinstance(said, Said)
    assert said.heard.id == "two"
    assert read_payload("events_api", event) is None


keys = st.sampled_from(
    ["event", "type", "channel", "user", "text", "channel_id", "user_id", "user_name", "command", "trigger_id", "id",
     "event_id", "actions", "container", "message", "message_ts", "thread_ts", "value", "authorizations", "is_bot",
     "channel_type", "old_channel_id", "new_channel_id", "actor_id", "response_url", "name", "username", "view",
     "callback_id", "private_metadata", "state", "values", "p0", "selected_option"]
)  # fmt: skip
words = st.sampled_from(
    ["app_mention", "message", "channel_left", "member_joined_channel", "channel_id_changed", "block_actions", "button",
     "C0DATA", "D0OWNER", "U0OWNER", "im", "<@U0OWNER> subs", "1.2", "/sensord", "subs", "view_submission", "run",
     "V0FORM"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**13) | st.text(max_size=5) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=300)
@given(
    kind=st.sampled_from(["slash_commands", "events_api", "interactive", "other"]),
    payload=st.dictionaries(keys, values, max_size=8),
)
def test_any_payload_is_something_or_nothing(kind: str, payload: dict[str, Any]) -> None:
    heard = read_payload(kind, payload, "envelope")
    if isinstance(heard, Filled):
        assert kind == "interactive"
        assert all(value is None or isinstance(value, str) for value in heard.values.values())
    if isinstance(heard, Said | Pressed):
        assert heard.person.name.isprintable()
        assert len(heard.person.name) <= 60
        assert heard.place.private == heard.place.destination.startswith("slack:U")
