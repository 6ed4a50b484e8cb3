"""A message as Slack's blocks, in as many posts as it takes, with nothing in it that Slack would parse.

Every string of the message stands in a structure that Slack shows literally: `rich_text` elements and
`plain_text` with `emoji` off. The one string that Slack does parse, the notification `text`, is escaped.
Limits: docs.slack.dev, reference/block-kit; the undocumented sum over all blocks: slackapi/bolt-js#2509, #2867.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from notifiers.channels import Part
from notifiers.channels.slack_runs import POST, Run, runs_of, units
from notifiers.message import Attachment, Button, Message
from notifiers.text import split_text, utf16_len, visible

NOTIFICATION = 3_900
"""Units of `text`: chat.update refuses more than 4,000."""
ELEMENT_COST = 50
"""Units that an element costs beside its text: Slack's sum counts more than the text, and does not say what."""
ELEMENT = 2_900
"""Units in one element of rich text; 3,000 is the limit of a section, none is documented for an element."""
WIDEST = 5
"""Units of the widest character, `&`: what is short enough need not be measured."""
BUTTONS_PER_BLOCK = 25
BUTTON_TEXT, ACTION_ID = 75, 255

Json = dict[str, Any]


def escape(text: str) -> str:
    """Text for a field that Slack parses: without these three characters nothing in it is markup or a ping."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def render(message: Message) -> list[Part]:
    """The posts and then the files that say all of `message`, in order.

    The posts' texts joined are the message's plain text. Pure and total: there is at least one post, and none
    that Slack refuses for its size or shape.
    """
    runs, files = runs_of(message)
    if not any(run.text.strip() for run in runs):
        runs = [Run("(empty message)")]
    posts = [_post(chunk) for chunk in _chunks(runs)]
    posts = _without_blanks(posts)
    posts[-1] = _with_buttons(posts[-1], message.buttons)
    return [*posts, *(_file(file) for file in (*files, *message.attachments))]


def _chunks(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """The runs in posts of at most POST units, cut inside a run where it must be."""
    chunk: list[Run] = []
    room = POST
    for run in runs:
        for piece in _pieces(run, room - ELEMENT_COST):
            cost = units(piece.text) + ELEMENT_COST
            if chunk and cost > room:
                yield chunk
                chunk, room = [], POST
            chunk.append(piece)
            room -= cost
    if chunk:
        yield chunk


def _pieces(run: Run, room: int) -> Iterator[Run]:
    """A run in pieces of which the first fits into `room`, where that is worth a cut, and all fit a post."""
    if run.style in ("table", "header", "link") or WIDEST * len(run.text) <= min(room, POST):
        yield run
        return
    text = run.text
    if not text:
        yield run
        return
    if room >= POST // 4 and units(text) > room:
        first = split_text(text[: room + 1], room, units)[0]
        yield replace(run, text=first)
        text = text[len(first) :]
    for piece in split_text(text, POST, units) if text else ():
        yield replace(run, text=piece)


def _post(runs: Sequence[Run]) -> Part:
    text = "".join(run.text for run in runs)
    return Part(text=text, payload={"kind": "post", "text": notification(text), "blocks": _blocks(runs)})


def notification(text: str) -> str:
    """The beginning of a text, escaped, as long as the field `text` may be in every method."""
    text = text.strip()
    if units(text) > NOTIFICATION:
        text = split_text(text[: NOTIFICATION + 1], NOTIFICATION, units)[0] + "…"
    return escape(text)


def _without_blanks(posts: Sequence[Part]) -> list[Part]:
    """Posts that show something: Slack refuses others as `no_text`, so white space joins a neighbour's text."""
    kept: list[Part] = []
    leading = ""
    for post in posts:
        if post.text.strip():
            kept.append(replace(post, text=leading + post.text))
            leading = ""
        elif kept:
            kept[-1] = replace(kept[-1], text=kept[-1].text + post.text)
        else:
            leading += post.text
    return kept


def _blocks(runs: Sequence[Run]) -> list[Json]:
    blocks: list[Json] = []
    rich: list[Json] = []
    section: list[Json] = []

    def end_section() -> None:
        if elements := _trimmed(section):
            rich.append({"type": "rich_text_section", "elements": elements})
        section.clear()

    def end_rich() -> None:
        end_section()
        if rich:
            blocks.append({"type": "rich_text", "elements": list(rich)})
        rich.clear()

    for run in runs:
        if run.style == "header":
            end_rich()
            blocks.append({"type": "header", "text": {"type": "plain_text", "text": run.text, "emoji": False}})
        elif run.style == "table":
            end_rich()
            blocks.append({"type": "table", "rows": [[_cell(cell) for cell in row] for row in run.data]})
        elif run.style == "pre":
            end_section()
            if run.text.strip():
                rich.append({"type": "rich_text_preformatted", "elements": list(_elements(run))})
        else:
            section.extend(_elements(run))
    end_rich()
    return blocks


def _elements(run: Run) -> Iterator[Json]:
    """A run as elements of rich text, none of them empty."""
    if run.style == "link":
        yield {"type": "link", "url": run.text}
        return
    whole = 0 < WIDEST * len(run.text) <= ELEMENT
    for piece in [run.text] if whole else split_text(run.text, ELEMENT, units):
        element: Json = {"type": "text", "text": piece}
        if run.style in ("bold", "italic") and piece.strip():
            element["style"] = {run.style: True}
        yield element


def _trimmed(section: Sequence[Json]) -> list[Json]:
    """A section without the line ends around it, which its neighbours' edges already make."""
    elements = [dict(element) for element in section]
    while elements and elements[-1]["type"] == "text" and not elements[-1]["text"].strip("\n"):
        elements.pop()
    while elements and elements[0]["type"] == "text" and not elements[0]["text"].strip("\n"):
        elements.pop(0)
    if elements and elements[-1]["type"] == "text":
        elements[-1]["text"] = elements[-1]["text"].rstrip("\n")
    return elements if any(element.get("url") or element["text"].strip() for element in elements) else []


def _cell(text: str) -> Json:
    """A table's cell as rich text: `raw_text` cells were seen to be answered by internal errors (SlackNet#246)."""
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text or " "}]}
    return {"type": "rich_text", "elements": [section]}


def _with_buttons(post: Part, buttons: Sequence[Button]) -> Part:
    elements: list[Json] = []
    taken: set[str] = set()
    for index, button in enumerate(buttons):
        action_id = button.nonce if button.nonce and button.nonce not in taken else f"{button.nonce}:{index}"
        taken.add(action_id)
        label = " ".join(visible(button.text).split()) or "…"
        if utf16_len(label) > BUTTON_TEXT:
            label = split_text(label, BUTTON_TEXT - 1, utf16_len)[0] + "…"
        text = {"type": "plain_text", "text": label, "emoji": False}
        style = {} if button.style == "default" else {"style": button.style}
        elements.append({"type": "button", "text": text, "action_id": action_id, "value": button.nonce, **style})
    rows = [elements[start : start + BUTTONS_PER_BLOCK] for start in range(0, len(elements), BUTTONS_PER_BLOCK)]
    actions = [{"type": "actions", "elements": row} for row in rows]
    return replace(post, payload={**post.payload, "blocks": [*post.payload["blocks"], *actions]})


def _file(file: Attachment) -> Part:
    """A file as a part of its own. Slack takes no empty file, so an empty one is a line end."""
    name = re.sub(r"[/\\\n\t]", "_", visible(file.name)).strip()[:200] or "file"
    content = base64.b64encode(file.content or b"\n").decode("ascii")
    return Part(
        text=f"{name} ({len(file.content):,} bytes)\n", payload={"kind": "file", "name": name, "content": content}
    )
