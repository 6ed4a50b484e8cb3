"""What a message becomes: all of it arrives, in order, none of it is parsed, and Slack refuses none of it."""

from __future__ import annotations

import random

import anyio
import pytest
from hypothesis import HealthCheck, given, settings

from notifiers.channels import Channel
from notifiers.channels.slack_blocks import NOTIFICATION, render
from notifiers.channels.slack_runs import POST, WHOLE, units
from notifiers.message import Attachment, Button, Link, Message, Pre, Table, Text
from notifiers.text import visible
from rules.event import Severity
from tests.channels.slack_messages import HOSTILE, ROOM, messages, posts, slack, squeezed
from tests.doubles.slack import SlackDouble
from tests.doubles.slack_blockkit import faults_of, length, parsed, pings_in, strings, too_long

ALPHABETS = {"ascii": "run failed <&> ", "cyrillic": "Запуск упал\n", "emoji": "🙂👍🏽 "}


async def delivered(channel: Channel, double: SlackDouble, message: Message) -> list[dict[str, object]]:
    """Send every part; return what the double committed for them."""
    before = len(double.committed)
    for part in channel.render(message):
        await channel.send(ROOM, part)
    return double.committed[before:]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(message=messages)
def test_no_message_is_refused_or_pings_anybody(message: Message) -> None:
    async def check() -> None:
        async with slack() as (channel, double):
            committed = await delivered(channel, double, message)
            assert all(request["status"] == 200 for request in double.requests)
            assert all(not post.get("pings") for post in committed)
            parts = channel.render(message)
            assert len(committed) == len(parts)  # Nothing was refused and sent again as plain text.
            assert len([r for r in double.requests if r["method"] == "chat.postMessage"]) == len(posts(parts))

    anyio.run(check)


def test_what_the_blocks_show_is_what_the_part_says() -> None:
    message = Message(
        title="load_houses failed",
        note="This may be a repeat.",
        facts=[("run", "<!channel>"), ("rows", "3 & 4")],
        body=[Text("one\n\ntwo"), Pre("  a\n\tb", title="log"), Text("three")],
    )
    (part,) = render(message)
    assert squeezed("".join(strings(part.payload["blocks"]))) == squeezed(part.text)


@settings(max_examples=120, deadline=None)
@given(message=messages)
def test_the_posts_joined_say_every_string_of_the_message(message: Message) -> None:
    parts = posts(render(message))
    whole = squeezed("".join(part.text for part in parts))
    for text in (message.title, message.note, *(v for fact in message.facts for v in fact)):
        assert squeezed(visible(text)) in whole
    for block in message.body:
        if not isinstance(block, Table):
            assert squeezed(visible(block.text)) in whole or units(visible(block.text)) > WHOLE
    for part in parts:
        shown = part.payload["blocks"]
        assert not faults_of(shown)
        assert not too_long(shown)
        assert length(part.payload["text"]) <= 4_000


def check_whole(message: Message, text: str) -> None:
    parts = posts(render(message))
    assert "".join(part.text for part in parts) == f"{text}\n"
    shown = "".join("".join(strings(part.payload["blocks"])) for part in parts)
    assert squeezed(shown) == squeezed(text)
    for part in parts:
        assert not faults_of(part.payload["blocks"])
        assert not too_long(part.payload["blocks"])


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_a_text_of_every_length_arrives_whole_and_in_order(alphabet: str) -> None:
    source = "x" + ALPHABETS[alphabet] * 20_000
    for size in range(1, 20_000, 97):
        check_whole(Message(title="", body=[Text(source[:size])]), source[:size])


async def test_the_longest_text_arrives_over_http() -> None:
    text = "".join(random.Random(7).choices("abc дом 🙂<&>\n", k=60_000))
    async with slack() as (channel, double):
        committed = await delivered(channel, double, Message(title="report", body=[Text(text)]))
    assert squeezed("".join(str(post["shown"]) for post in committed)) == squeezed(f"report{text}")
    assert len(committed) <= -(-units(text) // (POST // 2)) + 1


async def test_a_traceback_of_a_megabyte_is_two_messages_at_most_and_one_file() -> None:
    log = "".join(f"line {n}: something <went> wrong & so on\n" for n in range(25_000))
    async with slack() as (channel, double):
        committed = await delivered(channel, double, Message(title="failed", body=[Pre(log, title="stderr")]))
    *shown, file = committed
    assert len(shown) <= 2
    text = "".join(str(post["shown"]) for post in shown)
    assert log[:1_000] in text
    assert log[-3_000:].strip() in text
    assert "stderr-1.txt" in text
    assert file["file"] == {"name": "stderr-1.txt", "length": len(log), "content": log.encode()}


def test_a_log_of_two_messages_is_not_cut() -> None:
    log = "x" * (WHOLE - 10)
    parts = render(Message(title="failed", body=[Pre(log)]))
    assert [part.payload["kind"] for part in parts] == ["post"] * 3
    assert "".join(part.text for part in parts) == f"failed\n{log}\n"


def test_a_quality_table_is_slack_s_own_and_a_second_one_is_text() -> None:
    table = Table([f"c{n}" for n in range(8)], [[f"{r}.{n}" for n in range(8)] for r in range(30)], title="checks")
    (part,) = render(Message(title="quality", body=[table, table]))
    kinds = [block["type"] for block in part.payload["blocks"]]
    assert kinds == ["header", "rich_text", "table", "rich_text"]
    rows = part.payload["blocks"][2]["rows"]
    assert (len(rows), len(rows[0])) == (31, 8)
    assert rows[30][7]["elements"][0]["elements"][0]["text"] == "29.7"
    assert part.payload["blocks"][3]["elements"][-1]["type"] == "rich_text_preformatted"


def test_a_table_too_large_to_show_comes_as_a_file_too() -> None:
    table = Table(["n", "value"], [[str(n), "x" * 60] for n in range(500)], title="failed rows")
    post, file = render(Message(title="quality", body=[table]))
    assert "failed-rows-1.csv" in post.text
    assert file.payload["name"] == "failed-rows-1.csv"


def test_severity_is_seen_in_the_title() -> None:
    assert render(Message(title="down", severity=Severity.critical))[0].text == "🚨 down\n"
    assert render(Message(title="up"))[0].text == "up\n"


def test_a_title_too_long_for_a_header_is_whole_in_bold() -> None:
    (part,) = render(Message(title="t" * 151))
    (block,) = part.payload["blocks"]
    assert block["elements"][0]["elements"] == [{"type": "text", "text": "t" * 151, "style": {"bold": True}}]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u3000", " " * 30_000])
def test_a_message_of_nothing_is_still_a_message(text: str) -> None:
    (part,) = render(Message(title=text, body=[Text(text)]))
    assert part.payload["text"] == "(empty message)"


@pytest.mark.parametrize("before", [0, 5_000, 5_700, 7_900])
@pytest.mark.parametrize("ampersands", [10, 500, 590, 1_700, 2_900])
def test_an_address_is_never_cut_through(before: int, ampersands: int) -> None:
    url = "https://a.example/?" + "&" * ampersands
    parts = render(Message(title="t", body=[Text("x" * before)], links=[Link("here", url)]))
    assert "".join(part.text for part in parts) == f"t\n{'x' * before}\nhere: {url}\n"
    for part in parts:
        assert not faults_of(part.payload["blocks"])
        assert not too_long(part.payload["blocks"])


def test_pages_of_white_space_are_not_posts() -> None:
    text = "a" + " " * 30_000 + "b"
    parts = render(Message(title="", body=[Text(text)]))
    assert [part.payload["text"] for part in parts] == ["a", "b"]
    assert "".join(part.text for part in parts) == f"{text}\n"


def test_the_notification_is_short_enough_to_be_edited_later() -> None:
    for part in posts(render(Message(title="t", body=[Text("<&>" * 20_000)]))):
        assert 0 < length(part.payload["text"]) <= NOTIFICATION + 1 < 4_000


def test_buttons_carry_their_nonce_and_stand_in_the_last_post() -> None:
    buttons = [Button("Retry " * 30, "n1", "primary"), Button("", "n2"), Button("No", "n2", "danger")]
    first, last = render(Message(title="t", body=[Text("x" * 9_000)], buttons=buttons))
    assert all(block["type"] != "actions" for block in first.payload["blocks"])
    elements = last.payload["blocks"][-1]["elements"]
    assert [(e["action_id"], e["value"]) for e in elements] == [("n1", "n1"), ("n2", "n2"), ("n2:2", "n2")]
    assert length(elements[0]["text"]["text"]) <= 75
    assert not faults_of(last.payload["blocks"])


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://a b", "https://x|y>", "", "https://" + "a" * 4_000])
def test_an_address_that_is_no_link_is_text(url: str) -> None:
    (part,) = render(Message(title="t", links=[Link("see", url)]))
    assert '"link"' not in repr(part.payload).replace("'", '"')
    assert squeezed(f"see:{url}") in squeezed(part.text)


def test_an_empty_file_and_a_nameless_one_can_be_uploaded() -> None:
    parts = render(Message(title="t", attachments=[Attachment("", b""), Attachment("../a/b\n", b"x")]))
    assert [part.payload["name"] for part in parts[1:]] == ["file", ".._a_b_"]
    assert parts[1].payload["content"] == "Cg=="


def test_the_double_finds_the_pings_that_these_tests_look_for() -> None:
    naive = [{"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in HOSTILE[:6]]
    assert len(list(pings_in(naive))) == 6
    assert parsed("&lt;!channel&gt; @here") == []
    assert parsed("@here", names=True) == ["@here"]


def plain(text: str) -> dict[str, object]:
    return {"type": "plain_text", "text": text}


@pytest.mark.parametrize(
    ("blocks", "pointer"),
    [
        ([{"type": "section", "text": plain("x" * 3_001)}], "/blocks/0/text/text"),
        ([{"type": "header", "text": plain("🙂" * 76)}], "/blocks/0/text/text"),
        ([{"type": "header", "text": plain(" ")}], "/blocks/0/text/text"),
        ([{"type": "divider"}] * 51, "/blocks"),
        ([{"type": "table", "rows": [[]] * 101}], "/blocks/0/rows"),
        ([{"type": "rich_text", "elements": []}], "/blocks/0"),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": "x"}, "fields": [plain("x" * 2_001)]}], "/fields/0"),
        ([{"type": "carousel_of_dreams"}], "/blocks/0/type"),
    ],
)
def test_the_double_refuses_what_is_over_a_limit_and_says_where(blocks: list[object], pointer: str) -> None:
    assert any(pointer in fault for fault in faults_of(blocks))


def test_the_double_refuses_a_sum_that_no_single_limit_refuses() -> None:
    blocks = [{"type": "section", "text": plain("x" * 2_900)} for _ in range(5)]
    assert not faults_of(blocks)
    assert too_long(blocks)
