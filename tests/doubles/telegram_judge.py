"""What Telegram makes of a text: TDLib itself parses, validates and cleans it; it needs no login for that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tdjson import td_execute

TEXT_UNITS = 4096
CAPTION_UNITS = 1024
RAW_BYTES = 32_768
ENTITIES = 100

_PARSE_MODES: dict[str, dict[str, Any]] = {
    "html": {"@type": "textParseModeHTML"},
    "markdown": {"@type": "textParseModeMarkdown", "version": 1},
    "markdownv2": {"@type": "textParseModeMarkdown", "version": 2},
}
_STYLES = {
    "bold": "textEntityTypeBold",
    "italic": "textEntityTypeItalic",
    "underline": "textEntityTypeUnderline",
    "strikethrough": "textEntityTypeStrikethrough",
    "spoiler": "textEntityTypeSpoiler",
    "code": "textEntityTypeCode",
    "pre": "textEntityTypePre",
    "blockquote": "textEntityTypeBlockQuote",
    "expandable_blockquote": "textEntityTypeExpandableBlockQuote",
}
_NAMES = {name: style for style, name in _STYLES.items()}
_FOUND = frozenset({"mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number"})
_SPACES = "\u1680\u180e\u2800\u3000\ufffc\u205f\u202f\u00a0 \n" + "".join(map(chr, range(0x2000, 0x200B)))
_NOTHING = "\u200b\u200c\u200d\u200e\u200f\u202e\ufeff" + "".join(map(chr, range(0xE0000, 0xE0080)))
_EMPTY = frozenset(_SPACES + _NOTHING)


@dataclass
class Refusal(Exception):
    """An answer that is an error, in Telegram's words."""

    code: int
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


def bad_request(message: str) -> Refusal:
    """A 400 with the first letter made small, as the Bot API server does it with TDLib's messages."""
    small = message if message[1:2] == "_" or message[1:2].isupper() else message[:1].lower() + message[1:]
    return Refusal(400, f"Bad Request: {small}")


def execute(request: Mapping[str, Any]) -> dict[str, Any]:
    """One of TDLib's synchronous functions; Refusal with its words where it answers with an error."""
    answer: dict[str, Any] = json.loads(td_execute(json.dumps(request).encode()) or b"{}")
    if answer.get("@type") == "error":
        raise bad_request(answer["message"])
    return answer


execute({"@type": "setLogVerbosityLevel", "new_verbosity_level": 0})


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def judge_text(
    text: Any, parse_mode: Any, entities: Any, *, limit: int = TEXT_UNITS, may_be_empty: bool = False
) -> tuple[str, list[dict[str, Any]]]:
    """The text as it would stand in the chat and its entities (offsets as they were sent), or a Refusal."""
    text = "" if text is None else str(text)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise bad_request("strings must be encoded in UTF-8") from None
    if not text and may_be_empty:
        return "", []
    if not text:
        raise bad_request("message text is empty")
    if len(raw) > RAW_BYTES:
        raise bad_request("text is too long")
    if parse_mode:
        text, given = _parsed(text, str(parse_mode))
    else:
        given = _given(entities)
    fixed = _markdown(text, given)
    if utf16_units(text) > limit:
        raise bad_request("message caption is too long" if may_be_empty else "message is too long")
    shown = str((_markdown(text, []) if given else fixed)["text"]).strip(" \n")
    if _EMPTY.issuperset(shown):
        raise bad_request("text must be non-empty")
    return shown, [_bot_entity(entity) for entity in given[:ENTITIES]]


def _markdown(text: str, entities: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    # `getMarkdownText` begins with TDLib's `fix_formatted_text`, which is what a sent message goes through.
    formatted = {"@type": "formattedText", "text": text, "entities": list(entities)}
    return execute({"@type": "getMarkdownText", "text": formatted})


def _parsed(text: str, parse_mode: str) -> tuple[str, list[dict[str, Any]]]:
    if parse_mode.lower() not in _PARSE_MODES:
        raise bad_request("unsupported parse_mode")
    mode = _PARSE_MODES[parse_mode.lower()]
    answer = execute({"@type": "parseTextEntities", "text": text, "parse_mode": mode})
    return answer["text"], answer["entities"]


def _given(entities: Any) -> list[dict[str, Any]]:
    if not isinstance(entities, list):
        if entities:
            raise bad_request("can't parse entities: expected an Array")
        return []
    return [_td_entity(entity) for entity in entities if not _is_found(entity)]


def _is_found(entity: Any) -> bool:
    return isinstance(entity, dict) and entity.get("type") in _FOUND


def _td_entity(entity: Any) -> dict[str, Any]:
    if not isinstance(entity, dict):
        raise bad_request("can't parse MessageEntity: expected an Object")
    kind, offset, length = entity.get("type"), entity.get("offset"), entity.get("length")
    if not isinstance(offset, int) or not isinstance(length, int):
        raise bad_request("can't parse MessageEntity: Can't find field \"offset\"")
    made: dict[str, Any]
    if kind == "text_link":
        if not isinstance(entity.get("url"), str):
            raise bad_request("can't parse MessageEntity: Can't find field \"url\"")
        made = {"@type": "textEntityTypeTextUrl", "url": entity["url"]}
    elif kind in _STYLES:
        made = {"@type": _STYLES[kind]}
    else:
        raise bad_request("can't parse MessageEntity: Unsupported type specified")
    return {"@type": "textEntity", "offset": offset, "length": length, "type": made}


def _bot_entity(entity: Mapping[str, Any]) -> dict[str, Any]:
    made = entity["type"]
    if made["@type"] == "textEntityTypeTextUrl":
        kind = {"type": "text_link", "url": made["url"]}
    else:
        kind = {"type": _NAMES.get(made["@type"], "pre")}
    return {**kind, "offset": entity["offset"], "length": entity["length"]}
