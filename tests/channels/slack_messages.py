"""Messages to try a channel with: hostile ones, long ones, and the Slack double to try them on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from hypothesis import strategies as st

from notifiers.channels import Channel, Part
from notifiers.channels.slack import SlackConfig, open_slack
from notifiers.message import Attachment, Block, Button, Link, Message, Pre, Table, Text
from notifiers.settings import Secret
from rules.event import Severity
from tests.doubles.slack import SlackDouble, running

ROOM = "C0GENERAL"

HOSTILE = (
    "<!channel>", "<!here|here>", "<!everyone>", "<@U0123ABCD>", "<!subteam^S012>", "<#C0123|x>", "@here", "@channel",
    "<http://evil.example|OK>", "http://evil.example", ":rotating_light:", "*bold*", "_i_", "~s~", "`c`", "```", "> q",
    "&lt;", "&amp;", "&", "<", ">", "\x00", "\x1b[31m", "\u202e", "\ud800", "\udfff", "\r\n", "\n", "\t", " ", "",
    "\u200b", "👩‍👩‍👧‍👦", "🏳️‍🌈", "Привет", "東京", "\u0301" * 50, "a" * 3_100, "<" * 900, "&" * 1_700,
)  # fmt: skip

strings = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=30), max_size=6).map("".join)
"""Strings made of what Slack parses, of what it refuses, and of anything else, lone surrogates too."""
tables = st.integers(0, 22).flatmap(
    lambda width: st.builds(
        Table,
        st.lists(strings, min_size=width, max_size=width),
        st.lists(st.lists(strings, min_size=width, max_size=width), max_size=4),
        strings,
    )
)
blocks: st.SearchStrategy[Block] = st.one_of(
    st.builds(Text, strings), st.builds(Pre, strings, strings), tables, st.builds(Pre, strings.map(lambda s: s * 40))
)
buttons = st.builds(Button, strings, st.text("abcdef", max_size=64), st.sampled_from(("default", "primary", "danger")))
messages = st.builds(
    Message,
    title=strings,
    severity=st.sampled_from(Severity),
    note=strings,
    facts=st.lists(st.tuples(strings, strings), max_size=4),
    body=st.lists(blocks, max_size=4),
    links=st.lists(st.builds(Link, strings, strings | st.just("https://example.org/runs/1?a=b&c=<d>")), max_size=3),
    buttons=st.lists(buttons, max_size=4),
    attachments=st.lists(st.builds(Attachment, strings, st.binary(max_size=40)), max_size=2),
)


def posts(parts: Iterable[Part]) -> list[Part]:
    """The parts that are messages, without the files."""
    return [part for part in parts if part.payload["kind"] == "post"]


def squeezed(text: str) -> str:
    """Without white space, which blocks may show as an edge or a gap."""
    return "".join(text.split())


@asynccontextmanager
async def slack(double: SlackDouble | None = None) -> AsyncIterator[tuple[Channel, SlackDouble]]:
    """The channel, open on a double that has no limits of speed unless one is given."""
    async with running(double or SlackDouble(limits=False)) as served:
        config = SlackConfig(token=Secret(served.token), api_url=f"{served.url}/api/")
        async with open_slack(config) as channel:
            yield channel, served
