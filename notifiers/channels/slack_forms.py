"""A form as Slack's modal, and what is sent with one. Pure and total.

Limits: docs.slack.dev, reference/views/modal-views, reference/block-kit/blocks/input-block and block-elements.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from notifiers.chat import Parameter
from notifiers.chat.forms import Form
from notifiers.chat.run_wording import BARE
from notifiers.reading import ENGLISH
from notifiers.reading.language import language
from notifiers.text import split_text, utf16_len, visible
from notifiers.wording import show
from rules.phrases import Tongue, phrase, spoken

CALLBACK: Final = "run"
"""By this our forms are told from whatever else the app shows."""

_BLOCKS, _BYTES = 100, 200_000  # Slack refuses more than 250 kB.
_TITLE, _LABEL, _HINT, _OPTION, _OPTIONS, _INITIAL = 24, 2_000, 2_000, 75, 100, 3_000
_NUMBERS: Final = frozenset({"integer", "number"})
_JSON: Final = frozenset({"object", "array"})
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_FIELD = re.compile("p([0-9]{1,3})", re.ASCII)
_WRONG = 300
_ACTION = "value"

Json = dict[str, Any]
Say = Callable[[str], str]
_ENGLISH: Final = language(ENGLISH)


def view_of(form: Form) -> Json | None:
    """The modal; None where it has more fields, or is larger, than Slack takes."""
    if len(form.parameters) > _BLOCKS:
        return None
    say: Say = lambda text: str(spoken(text, form.tongue))  # noqa: E731 - a name for what is passed on
    fields = [_field(place, parameter, say) for place, parameter in enumerate(form.parameters)]
    view = {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": form.nonce,
        "title": _plain(say(phrase("Run {job}", job=form.job)), _TITLE),
        "submit": _plain(say(phrase("Run")), _TITLE),
        "close": _plain(say(phrase("Cancel")), _TITLE),
        "blocks": fields or [_section(say(BARE))],
    }
    return view if len(orjson.dumps(view)) <= _BYTES else None


def values_of(view: Mapping[str, Any]) -> dict[int, str | None]:
    """What stands in the fields of a modal that was sent, by their places; what is none of ours is left out."""
    state = view.get("state")
    values = state.get("values") if isinstance(state, Mapping) else None
    found: dict[int, str | None] = {}
    for block, actions in values.items() if isinstance(values, Mapping) else ():
        place = _FIELD.fullmatch(block) if isinstance(block, str) else None
        element = actions.get(_ACTION) if isinstance(actions, Mapping) else None
        if place is None or not isinstance(element, Mapping):
            continue
        chosen = element.get("selected_option")
        value = chosen.get("value") if isinstance(chosen, Mapping) else element.get("value")
        found[int(place[1])] = value if isinstance(value, str) else None
    return found


def wrong(errors: Mapping[int, str]) -> Json:
    """What Slack is to show at the fields of a modal, which stays."""
    shown = {f"p{place}": _cut(visible(text), _WRONG) or "…" for place, text in errors.items()}
    return {"response_action": "errors", "errors": shown}


def instead(text: str, tongue: Tongue = _ENGLISH) -> Json:
    """What Slack is to show in the place of a modal, whose own words are in that language."""
    title, close = spoken(phrase("Run"), tongue), spoken(phrase("Close"), tongue)
    view = {"type": "modal", "title": _plain(title, _TITLE), "close": _plain(close, _TITLE)}
    return {"response_action": "update", "view": {**view, "blocks": [_section(text)]}}


def _field(place: int, parameter: Parameter, say: Say) -> Json:
    about = ". ".join(say(text) for text in (parameter.description, parameter.wanted) if text)
    return {
        "type": "input",
        "block_id": f"p{place}",
        "label": _plain(parameter.name, _LABEL),
        "hint": _plain(about, _HINT),
        "optional": not parameter.required or parameter.has_default,
        "element": _element(parameter),
    }


def _element(parameter: Parameter) -> Json:
    if 0 < len(parameter.choices) <= _OPTIONS:
        return _select(parameter)
    kinds = parameter.kinds
    element: Json = {"type": "plain_text_input", "action_id": _ACTION}
    if kinds and kinds <= _NUMBERS:
        element = {"type": "number_input", "action_id": _ACTION, "is_decimal_allowed": "number" in kinds}
    initial = _initial(parameter)
    if element["type"] == "plain_text_input" and (kinds & _JSON or "\n" in initial):
        element["multiline"] = True
    return element | ({"initial_value": initial} if initial and utf16_len(initial) <= _INITIAL else {})


def _select(parameter: Parameter) -> Json:
    options = [
        {"text": _plain(_named(value), _OPTION), "value": str(place)} for place, value in enumerate(parameter.choices)
    ]
    element: Json = {"type": "static_select", "action_id": _ACTION, "options": options}
    # As JSON: true is no 1.
    values = [_json(value) for value in parameter.choices]
    if parameter.has_default and _json(parameter.default) in values:
        element["initial_option"] = options[values.index(_json(parameter.default))]
    return element


def _initial(parameter: Parameter) -> str:
    """A default as it would be typed; nothing where there is none, or it cannot stand in the field."""
    default = parameter.default
    if not parameter.has_default or default is None:
        return ""
    if isinstance(default, str):
        typed = not (parameter.kinds and parameter.kinds <= _NUMBERS) and visible(default) == default
        return default if typed else ""
    text = _json(default)
    if not (parameter.kinds and parameter.kinds <= _NUMBERS):
        return text
    # Slack's field for numbers takes no exponents.
    number = _DECIMAL.fullmatch(text)
    return text if number is not None and (number[1] is None or "number" in parameter.kinds) else ""


def _named(value: Any) -> str:
    return "null" if value is None else show(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _section(text: str) -> Json:
    return {"type": "section", "text": _plain(text, 3_000)}


def _plain(text: str, most: int) -> Json:
    line = " ".join(visible(text).split()) or "…"
    return {"type": "plain_text", "text": _cut(line, most), "emoji": False}


def _cut(text: str, most: int) -> str:
    return text if utf16_len(text) <= most else f"{split_text(text, most - 1, utf16_len)[0]}…"
