"""What Slack refuses of a modal, in the words of its `response_metadata.messages`.

Limits: docs.slack.dev, reference/views/modal-views, block-kit/blocks/input-block, block-kit/block-elements and
composition-objects/option-object; slack_sdk's own validators are a second opinion.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.views import View

from tests.doubles.slack_blockkit import ID, faults_of, length, text_faults

BLOCKS, BYTES, TITLE, METADATA, LABEL, HINT, INPUT = 100, 250_000, 24, 3_000, 2_000, 2_000, 3_000
OPTIONS, OPTION_TEXT, OPTION_VALUE = 100, 75, 150
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_INPUTS = frozenset({"plain_text_input", "number_input", "static_select"})


def faults_of_view(view: Any) -> list[str]:
    """What Slack's messages would say of a modal; nothing if it shows it."""
    if not isinstance(view, Mapping) or view.get("type") != "modal":
        return ["must be a valid enum value [json-pointer:/view/type]"]
    return list(_view(view)) or list(_second_opinion(view))


def too_large(view: Any) -> bool:
    return len(json.dumps(view).encode()) > BYTES


def _view(view: Mapping[str, Any]) -> Iterator[str]:
    yield from text_faults(view.get("title"), "/view/title", TITLE)
    for name in ("submit", "close"):
        if name in view:
            yield from text_faults(view[name], f"/view/{name}", TITLE)
    if length(str(view.get("private_metadata", ""))) > METADATA:
        yield f"must be less than {METADATA + 1} characters [json-pointer:/view/private_metadata]"
    if length(str(view.get("callback_id", ""))) > ID:
        yield f"must be less than {ID + 1} characters [json-pointer:/view/callback_id]"
    blocks = view.get("blocks")
    if not isinstance(blocks, list) or not 0 < len(blocks) <= BLOCKS:
        yield f"no more than {BLOCKS} items allowed [json-pointer:/view/blocks]"
        return
    if any(block.get("type") == "input" for block in blocks) and "submit" not in view:
        yield "missing required field: submit [json-pointer:/view]"
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(set(ids)) < len(ids):
        yield "`block_id` already exists [json-pointer:/view/blocks]"
    for index, block in enumerate(blocks):
        if block.get("type") == "input":
            yield from _input(block, f"/view/blocks/{index}")
        else:
            yield from faults_of([block])


def _input(block: Mapping[str, Any], at: str) -> Iterator[str]:
    yield from text_faults(block.get("label"), f"{at}/label", LABEL)
    if "hint" in block:
        yield from text_faults(block["hint"], f"{at}/hint", HINT)
    if not 0 < length(block.get("block_id", "x")) <= ID:
        yield f"must be less than {ID + 1} characters [json-pointer:{at}/block_id]"
    element = block.get("element", {})
    if element.get("type") not in _INPUTS:
        yield f"unsupported type: {element.get('type')} [json-pointer:{at}/element/type]"
    elif element["type"] == "static_select":
        yield from _select(element, f"{at}/element")
    elif "initial_value" in element:
        yield from _initial(element, f"{at}/element/initial_value")
    if element.get("type") == "number_input" and not isinstance(element.get("is_decimal_allowed"), bool):
        yield f"missing required field: is_decimal_allowed [json-pointer:{at}/element]"
    if not 0 < length(element.get("action_id", "x")) <= ID:
        yield f"must be less than {ID + 1} characters [json-pointer:{at}/element/action_id]"


def _initial(element: Mapping[str, Any], at: str) -> Iterator[str]:
    value = element["initial_value"]
    if not isinstance(value, str) or not 0 < length(value) <= INPUT:
        yield f"must be less than {INPUT + 1} characters [json-pointer:{at}]"
    elif element["type"] == "number_input" and not is_number(value, decimal=element.get("is_decimal_allowed") is True):
        yield f"must be a number [json-pointer:{at}]"
    elif "\n" in value and not element.get("multiline"):
        yield f"must be one line [json-pointer:{at}]"


def is_number(value: str, *, decimal: bool) -> bool:
    """Whether Slack's field for numbers takes that."""
    return _NUMBER.fullmatch(value) is not None and (decimal or "." not in value)


def _select(element: Mapping[str, Any], at: str) -> Iterator[str]:
    options = element.get("options", [])
    if not 0 < len(options) <= OPTIONS:
        yield f"no more than {OPTIONS} items allowed [json-pointer:{at}/options]"
    for index, option in enumerate(options):
        yield from text_faults(option.get("text"), f"{at}/options/{index}/text", OPTION_TEXT)
        if not 0 < length(option.get("value", "")) <= OPTION_VALUE:
            yield f"must be less than {OPTION_VALUE + 1} characters [json-pointer:{at}/options/{index}/value]"
    if "initial_option" in element and element["initial_option"] not in options:
        yield f"must be one of the provided options [json-pointer:{at}/initial_option]"


def _second_opinion(view: Mapping[str, Any]) -> Iterator[str]:
    try:
        View(**view).validate_json()
    except SlackObjectFormationError as error:
        yield f"slack_sdk: {error}"
