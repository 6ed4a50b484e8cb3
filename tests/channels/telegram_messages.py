"""Messages to try Telegram with: hostile ones, long ones, and what must hold for the parts of any of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from hypothesis import strategies as st

from notifiers.channels import Part
from notifiers.channels.telegram_text import render
from notifiers.message import Attachment, Block, Button, Link, Message, Pre, Table, Text
from rules.event import Severity
from tests.doubles.telegram_judge import ENTITIES, TEXT_UNITS, judge_text, utf16_units

HOSTILE = (
    "<b>", "</a>", "<a href='x'>", "&amp;", "*_[]()~`>#+-=|{}.!", "`", "```", "**", "/start", "@durov", "#tag", "\\",
    "\x00", "\x1b[31m", "\x07", "\x9b", "\r", "\r\n", "\n", "\n\n", "\t", " ", "   ", "", "\u00a0", "\u2800", "\u3000",
    "\u200b", "\u200d", "\u200e\u200f\u200e", "\u202e", "\u2066", "\u2028", "\ufeff", "\ud800", "\udfff", "\uffff",
    "A\u030a", "\u030a", "\u0333", "\u033f", "e\u0301", "\u0301" * 40, "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇺🇦", "👍🏽", "😀",
    "Привет", "東京", "مرحبا", "שלום", "\U000e0041", "x" * 90, " " * 300, "\n" * 300, "ж" * 300, "😀" * 200,
)  # fmt: skip

strings = st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(codec=None), max_size=20), max_size=6).map("".join)
tables = st.integers(0, 5).flatmap(
    lambda width: st.builds(
        Table,
        st.lists(strings, min_size=width, max_size=width),
        st.lists(st.lists(strings, min_size=width, max_size=width), max_size=4),
        strings,
    )
)
blocks: st.SearchStrategy[Block] = st.one_of(
    st.builds(Text, strings),
    st.builds(Text, strings.map(lambda text: text * 60)),
    st.builds(Pre, strings, strings),
    st.builds(Pre, strings.map(lambda text: text * 60), strings),
    tables,
)
urls = strings | st.sampled_from(
    ["https://a.example/x?y=1#z", "http://localhost:8300/", "http://a.b:99999", "ftp://a.b"]
)
messages = st.builds(
    Message,
    title=strings,
    severity=st.sampled_from(Severity),
    note=strings,
    facts=st.lists(st.tuples(strings, strings), max_size=4)
    | st.lists(st.tuples(strings, strings), min_size=60, max_size=60),
    body=st.lists(blocks, max_size=4),
    links=st.lists(st.builds(Link, strings, urls), max_size=3),
    buttons=st.lists(
        st.builds(Button, strings, st.text("abc-_", max_size=64), st.sampled_from(("default", "primary", "danger"))),
        max_size=5,
    ),
    attachments=st.lists(st.builds(Attachment, strings, st.binary(max_size=20)), max_size=2),
)


def texts(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if "document" not in part.payload]


def files(parts: Sequence[Part]) -> dict[str, bytes]:
    documents = [part.payload["document"] for part in parts if "document" in part.payload]
    return {document["name"]: base64.b64decode(document["content"]) for document in documents}


def whole(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in texts(parts))


def checked(message: Message) -> list[Part]:
    """The parts, each of which TDLib takes, and shows as it is but for spaces and line ends at both ends."""
    parts = render(message)
    assert texts(parts)
    for part in texts(parts):
        shown, entities = judge_text(part.text, None, list(part.payload["entities"]))
        assert shown == part.text.strip(" \n")
        assert utf16_units(part.text) <= TEXT_UNITS
        assert len(entities) == len(part.payload["entities"]) <= ENTITIES
    return parts
