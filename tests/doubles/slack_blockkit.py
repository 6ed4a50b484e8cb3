"""What Slack makes of a message: which blocks it refuses, what it would show, whom it would ping.

Limits as in Slack's Block Kit reference, lengths in UTF-16 units; slack_sdk's own validators are a second opinion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

BLOCKS, FIELDS, FIELD, SECTION, HEADER, ACTIONS, CONTEXT = 50, 10, 2_000, 3_000, 150, 25, 10
BUTTON_TEXT, BUTTON_VALUE, ID = 75, 2_000, 255
CONFIRM = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
ROWS, COLUMNS, CELLS = 100, 20, 10_000
ALL_TEXT, CONTAINER = 13_200, 50

_PARSED = re.compile(r"<([!@#][^>]*|(?:https?|mailto):[^>]*)>", re.DOTALL)
_NAMES = re.compile(r"(?<!\w)@(?:channel|here|everyone|[a-z][\w.-]+)")
_PINGING = frozenset({"broadcast", "user", "usergroup", "team", "channel"})
_RICH = frozenset({"rich_text_section", "rich_text_preformatted", "rich_text_quote", "rich_text_list"})


def length(text: str) -> int:
    """UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def faults_of(blocks: list[Any]) -> list[str]:
    """What Slack's `errors` would say of these blocks; nothing if it takes them."""
    if len(blocks) > BLOCKS:
        return [f"no more than {BLOCKS} items allowed [json-pointer:/blocks]"]
    errors = [error for index, block in enumerate(blocks) for error in _block(block, f"/blocks/{index}")]
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(set(ids)) < len(ids):
        errors.append("`block_id` already exists [json-pointer:/blocks]")
    if sum(block.get("type") == "table" for block in blocks) > 1:
        errors.append("only one table allowed [json-pointer:/blocks]")
    return errors or [error for block in blocks for error in _second_opinion(block)]


def too_long(blocks: list[Any]) -> bool:
    """The undocumented limit over all blocks: text, and something for each container that holds it."""
    return sum(length(text) for text in strings(blocks)) + CONTAINER * _containers(blocks) > ALL_TEXT


def strings(node: Any) -> Iterator[str]:
    """Every text that the blocks show, in order; a link without one shows its address."""
    if isinstance(node, list):
        for item in node:
            yield from strings(item)
    elif isinstance(node, dict):
        own = node.get("text")
        if isinstance(own, str):
            yield own
        elif node.get("type") == "link":
            yield node["url"]
        for key in ("text", "elements", "fields", "rows"):
            if isinstance(node.get(key), (dict, list)):
                yield from strings(node[key])


def pings_in(node: Any) -> Iterator[str]:
    """What in these blocks would ping somebody or be parsed into something else than its own text."""
    if isinstance(node, list):
        for item in node:
            yield from pings_in(item)
    elif isinstance(node, dict):
        kind = node.get("type")
        if kind in _PINGING or kind == "emoji":
            yield str(node)
        if kind == "mrkdwn":
            yield from parsed(node["text"])
        if kind == "plain_text" and node.get("emoji", True) and re.search(r":[a-z0-9_+-]+:", node["text"]):
            yield node["text"]
        for value in node.values():
            yield from pings_in(value)


def parsed(text: str, *, names: bool = False) -> list[str]:
    """What Slack would parse in a text it is not told to leave alone; `names` as with link_names or parse=full."""
    return _PARSED.findall(text) + (_NAMES.findall(text) if names else [])


def text_faults(text: Any, at: str, most: int) -> Iterator[str]:
    """What is wrong with a plain_text object."""
    yield from _text(text, at, most)


def _block(block: Any, at: str) -> Iterator[str]:
    kind = block.get("type") if isinstance(block, dict) else None
    check = _CHECKS.get(str(kind))
    if check is None:
        yield f"unsupported type: {kind} [json-pointer:{at}/type]"
    else:
        yield from check(block, at)


def _text(text: Any, at: str, most: int, kinds: tuple[str, ...] = ("plain_text",)) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds or not isinstance(text.get("text"), str):
        yield f"failed to match all allowed schemas [json-pointer:{at}]"
    else:
        yield from _sized(text["text"], f"{at}/text", most)


def _sized(text: str, at: str, most: int) -> Iterator[str]:
    if not text.strip():
        yield f"must be more than 0 characters [json-pointer:{at}]"
    if length(text) > most:
        yield f"must be less than {most + 1} characters [json-pointer:{at}]"
    if any("\ud800" <= character <= "\udfff" for character in text):
        yield f"invalid unicode [json-pointer:{at}]"


def _header(block: Any, at: str) -> Iterator[str]:
    yield from _text(block.get("text"), f"{at}/text", HEADER)


def _section(block: Any, at: str) -> Iterator[str]:
    kinds = ("plain_text", "mrkdwn")
    if "text" not in block and not block.get("fields"):
        yield f"missing required field: text [json-pointer:{at}]"
    if "text" in block:
        yield from _text(block["text"], f"{at}/text", SECTION, kinds)
    if len(block.get("fields", [])) > FIELDS:
        yield f"no more than {FIELDS} items allowed [json-pointer:{at}/fields]"
    for index, text in enumerate(block.get("fields", [])):
        yield from _text(text, f"{at}/fields/{index}", FIELD, kinds)


def _actions(block: Any, at: str) -> Iterator[str]:
    elements = block.get("elements", [])
    if not 0 < len(elements) <= ACTIONS:
        yield f"between 1 and {ACTIONS} items allowed [json-pointer:{at}/elements]"
    ids = [element.get("action_id") for element in elements]
    if len(set(ids)) < len(ids):
        yield f"`action_id` already exists [json-pointer:{at}/elements]"
    for index, button in enumerate(elements):
        here = f"{at}/elements/{index}"
        yield from _text(button.get("text"), f"{here}/text", BUTTON_TEXT)
        if length(button.get("value", "")) > BUTTON_VALUE:
            yield f"must be less than {BUTTON_VALUE + 1} characters [json-pointer:{here}/value]"
        if not 0 < length(button.get("action_id", "")) <= ID:
            yield f"must be less than {ID + 1} characters [json-pointer:{here}/action_id]"
        if button.get("style", "primary") not in ("primary", "danger"):
            yield f"must be a valid enum value [json-pointer:{here}/style]"
        if "confirm" in button:
            yield from _confirm(button["confirm"], f"{here}/confirm")


def _confirm(confirm: Any, at: str) -> Iterator[str]:
    for name, most in CONFIRM.items():
        kinds = ("plain_text", "mrkdwn") if name == "text" else ("plain_text",)
        yield from _text(confirm.get(name), f"{at}/{name}", most, kinds)
    if confirm.get("style", "primary") not in ("primary", "danger"):
        yield f"must be a valid enum value [json-pointer:{at}/style]"


def _context(block: Any, at: str) -> Iterator[str]:
    if not 0 < len(block.get("elements", [])) <= CONTEXT:
        yield f"between 1 and {CONTEXT} items allowed [json-pointer:{at}/elements]"
    for index, text in enumerate(block.get("elements", [])):
        yield from _text(text, f"{at}/elements/{index}", SECTION, ("plain_text", "mrkdwn"))


def _rich(block: Any, at: str) -> Iterator[str]:
    if not block.get("elements"):
        yield f"missing required field: elements [json-pointer:{at}]"
    for index, part in enumerate(block.get("elements", [])):
        here = f"{at}/elements/{index}"
        if part.get("type") not in _RICH:
            yield f"unsupported type: {part.get('type')} [json-pointer:{here}/type]"
        if not part.get("elements"):
            yield f"missing required field: elements [json-pointer:{here}]"
        for number, element in enumerate(part.get("elements", [])):
            yield from _rich_element(element, f"{here}/elements/{number}")


def _rich_element(element: Any, at: str) -> Iterator[str]:
    if element.get("type") == "link":
        url = element.get("url", "")
        if not re.fullmatch(r"https?://[^\s<>|]+", url) or length(url) > SECTION:
            yield f"must be a valid url [json-pointer:{at}/url]"
    elif element.get("type") != "text" or not isinstance(element.get("text"), str):
        yield f"unsupported type: {element.get('type')} [json-pointer:{at}/type]"
    elif not element["text"]:
        yield f"must be more than 0 characters [json-pointer:{at}/text]"
    elif length(element["text"]) > SECTION or any("\ud800" <= c <= "\udfff" for c in element["text"]):
        yield f"must be less than {SECTION + 1} characters [json-pointer:{at}/text]"


def _table(block: Any, at: str) -> Iterator[str]:
    rows = block.get("rows", [])
    if not 0 < len(rows) <= ROWS:
        yield f"no more than {ROWS} items allowed [json-pointer:{at}/rows]"
    if len({len(row) for row in rows}) > 1 or not all(0 < len(row) <= COLUMNS for row in rows):
        yield f"no more than {COLUMNS} items allowed, as many in each row [json-pointer:{at}/rows]"
    if sum(length(text) for text in strings(rows)) > CELLS:
        yield f"must be less than {CELLS + 1} characters [json-pointer:{at}/rows]"
    for index, row in enumerate(rows):
        for number, cell in enumerate(row):
            if cell.get("type") != "rich_text":
                yield f"unsupported type: {cell.get('type')} [json-pointer:{at}/rows/{index}/{number}]"
            else:
                yield from _rich(cell, f"{at}/rows/{index}/{number}")


def _divider(_block: Any, _at: str) -> Iterator[str]:
    yield from ()


_CHECKS = {
    "header": _header, "section": _section, "actions": _actions, "context": _context,
    "rich_text": _rich, "table": _table, "divider": _divider,
}  # fmt: skip


def _second_opinion(block: Any) -> Iterator[str]:
    """What slack_sdk's validators say, for the blocks that it models."""
    model = Block.parse(dict(block))
    if model is None:
        yield f"slack_sdk does not know the block {block.get('type')}"
        return
    try:
        model.validate_json()
    except SlackObjectFormationError as error:
        yield f"slack_sdk: {error}"


def _containers(node: Any) -> int:
    """Objects that hold text; the cells of a table have a limit of their own."""
    if isinstance(node, list):
        return sum(_containers(item) for item in node)
    if not isinstance(node, dict) or node.get("type") == "table":
        return 0
    return 1 + sum(_containers(value) for value in node.values() if isinstance(value, (dict, list)))
