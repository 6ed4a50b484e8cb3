"""Documents made of whatever Telegram and Slack parse, drop, count or refuse, and the judges of what became of them.

`Telegram`'s judge is TDLib, `Slack`'s the double's workspace: the limits of Block Kit, slack_sdk's own validators, and
nothing in it that would ping somebody. Both also hold that all that was said arrives: the parts, joined, are the
input, but for white space and for what is shown otherwise on purpose (`clean`, `visible`); what is too long to be shown
whole is whole in a file.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from random import Random

from notifiers.channels import Part, slack_blocks, slack_runs, telegram_text
from notifiers.message import Button, Link, Message, Pre, Table, Text
from notifiers.text import visible
from rules.event import Severity
from tests.channels.slack_messages import HOSTILE as SLACK_HOSTILE
from tests.channels.telegram_messages import HOSTILE as TELEGRAM_HOSTILE
from tests.doubles.slack_blockkit import strings
from tests.doubles.slack_workspace import Workspace
from tests.doubles.telegram_judge import ENTITIES, judge_text

# Long ones are rare: what is short meets its neighbours, and a million documents are judged in an hour.
_SHORT = tuple(dict.fromkeys(one for one in (*TELEGRAM_HOSTILE, *SLACK_HOSTILE) if len(one) < 60))
_LONG = tuple(dict.fromkeys(one for one in (*TELEGRAM_HOSTILE, *SLACK_HOSTILE) if len(one) >= 60))
_PATTERNS = {
    "ascii": "the quick <brown> fox & 17 *dogs*\n",
    "cyrillic": "съешь ещё этих мягких французских булок, да выпей же чаю\n",
    "emoji": "👩‍👩‍👧 😀🇺🇦 👍🏽\n",
}
SCRIPTS = tuple(_PATTERNS)
_SPACE = re.compile(
    r"[\s\u00a0\u1680\u180e\u2000-\u200f\u202e\u202f\u205f\u2800\u3000\ufeff\ufffc\U000e0000-\U000e007f]+"
)


def sized(script: str, length: int) -> str:
    """A text of so many characters."""
    pattern = _PATTERNS[script]
    return (pattern * (length // len(pattern) + 1))[:length]


def document(number: int) -> Message:
    """The document of that number, the same every time."""
    rng = Random(number)

    def text(most: int) -> str:
        found = rng.choices(_SHORT, k=rng.randrange(most))
        if rng.random() < 0.02:
            found.insert(rng.randrange(len(found) + 1), rng.choice(_LONG))
        return "".join(found)

    body: list[Text | Pre | Table] = [Text(text(12)) if rng.random() < 0.5 else Pre(text(12), text(3))]
    if number % 500 == 0:
        body = [Text(text(8_000))] if number % 1000 else [Pre(text(4_000), "a log")]
    if number % 20 == 1:
        body.append(Table([text(3), text(3)], [[text(3), text(3)] for _ in range(rng.randrange(4))], text(3)))
    return Message(
        title=text(5),
        severity=rng.choice(tuple(Severity)),
        note=text(4) if number % 4 == 0 else "",
        facts=[(text(3), text(4)) for _ in range(rng.randrange(3))],
        body=body,
        links=[Link(text(3), rng.choice(("https://a.b/c", "http://host/", text(3))))] if number % 3 == 0 else [],
        buttons=[Button(text(4), f"n{number}")] if number % 7 == 0 else [],
    )


Judge = Callable[[Message], None]
"""Renders a message as one channel does, and fails where its service would refuse or change it."""


class Telegram:
    """TDLib takes every part and leaves its text as it is; nobody has to know an entity that is not taken."""

    def __call__(self, message: Message) -> None:
        """Judge one message."""
        parts = telegram_text.render(message)
        texts = [part for part in parts if "document" not in part.payload]
        assert texts, "there is a text in every message"
        for part in texts:
            given = part.payload["entities"]
            shown, entities = judge_text(part.text, None, list(given))
            assert shown == part.text.strip(" \n"), "what is sent is what is shown"
            assert len(entities) == len(given) <= ENTITIES
        _hold(message, texts, _telegram_says(message), telegram_text.clean, _files(parts))


class Slack:
    """The workspace takes every post and shows all of its text; none of it pings anybody."""

    def __init__(self) -> None:
        self._workspace = Workspace(limits=False)

    def __call__(self, message: Message) -> None:
        """Judge one message."""
        parts = slack_blocks.render(message)
        posts = [part for part in parts if part.payload["kind"] == "post"]
        assert posts, "there is a post in every message"
        for part in posts:
            text, blocks = part.payload["text"], part.payload["blocks"]
            body = {"channel": "C0GENERAL", "text": text, "blocks": blocks}
            assert "warning" not in self._workspace.call("chat.postMessage", body)
            assert not self._workspace.committed.pop()["pings"], "nobody is pinged"
            if not message.links and not message.buttons and not _tables(message):
                assert squeezed("".join(strings(blocks))) == squeezed(part.text), "what is said is what is shown"
        _hold(message, posts, _slack_says(message), visible, _files(parts))


def squeezed(text: str) -> str:
    """Without white space and what looks like it."""
    return _SPACE.sub("", "".join(text.split()))


def _tables(message: Message) -> bool:
    return any(isinstance(block, Table) for block in message.body)


def _hold(
    message: Message, texts: Sequence[Part], said: Sequence[str], shown: Callable[[str], str], files: Sequence[bytes]
) -> None:
    """All that was said stands in the parts, in order and nothing beside it, or is whole in a file."""
    whole = squeezed("".join(part.text for part in texts))
    expected = squeezed("".join(map(shown, said)))
    if whole == expected or (_tables(message) and whole.startswith(expected)):
        return
    long = max((block.text for block in message.body if not isinstance(block, Table)), key=len)
    assert long.encode("utf-8", "replace") in files or shown(long).encode() in files, "neither shown whole nor a file"


def _files(parts: Sequence[Part]) -> list[bytes]:
    found = [part.payload.get("document") or part.payload for part in parts]
    return [base64.b64decode(one["content"]) for one in found if "content" in one]


def _telegram_says(message: Message) -> list[str]:
    """Every string of it, up to the first table, as a Telegram message has it."""
    blank = telegram_text.is_blank  # Such notes, paragraphs and titles of logs are left out.
    title = message.severity.name if blank(telegram_text.clean(message.title)) else message.title
    said = ["" if blank(message.note) else message.note, telegram_text.SYMBOLS[message.severity], title]
    said += _facts(message) + ["" if blank(text) and droppable else text for text, droppable in _body(message)]
    for link in [] if _tables(message) else message.links:
        if blank(telegram_text.clean(link.text)):
            said.append(link.url)
        else:
            said += [link.text] if telegram_text.is_linkable(link.url) else [f"{link.text}:", link.url]
    return said


def _slack_says(message: Message) -> list[str]:
    """The same as a Slack message has it."""
    mark = slack_runs.MARKS.get(message.severity, "") if visible(message.title).strip() else ""
    said = [message.note, mark, message.title, *_facts(message), *(text for text, _ in _body(message))]
    for link in [] if _tables(message) else message.links:
        linked = slack_runs.ADDRESS.fullmatch(visible(link.url)) and slack_runs.units(link.url) <= slack_runs.URL
        alone = linked and not visible(link.text).strip()
        said += [link.url] if alone else [f"{link.text}:", link.url]
    return said if "".join(map(visible, said)).strip() or _tables(message) else ["(empty message)"]


def _facts(message: Message) -> list[str]:
    return [text for label, value in message.facts for text in (label, ":", value)]


def _body(message: Message) -> list[tuple[str, bool]]:
    """The texts before the first table, and whether each is a paragraph or a title."""
    said: list[tuple[str, bool]] = []
    for block in message.body:
        if isinstance(block, Table):
            break
        said += [(block.title, True), (block.text, False)] if isinstance(block, Pre) else [(block.text, True)]
    return said
