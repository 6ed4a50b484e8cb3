"""What people of the double press, fill in and are told alone: triggers, modals and response URLs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.doubles.slack_viewkit import faults_of_view, is_number, too_large

if TYPE_CHECKING:
    from tests.doubles.slack_people import SlackPeople

TRIGGER_SECONDS, URL_SECONDS, URL_USES = 3.0, 1800.0, 5
_TRIGGER = re.compile(r"\d+\.\d+\.[0-9a-f]+", re.ASCII)


class NoSuchThing(Exception):
    """An error code of Slack's."""

    def __init__(self, code: str, *messages: str) -> None:
        super().__init__(code)
        self.messages = messages


@dataclass
class Given:
    """A trigger, or a response URL: to whom it was given, when, and how often it was used."""

    user: str
    at: float
    uses: int = 0


@dataclass(eq=False)
class Interactions:
    """`whispers` is (user, text) in order; `views` the modals that are open, `errors` what each shows at its fields."""

    people: SlackPeople
    whispers: list[tuple[str, str]] = field(default_factory=list)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    opened: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    triggers: dict[str, Given] = field(default_factory=dict)
    urls: dict[str, Given] = field(default_factory=dict)

    @property
    def _now(self) -> float:
        return self.people.workspace.clock()

    def trigger(self, user: str, number: int) -> str:
        """A new trigger's id."""
        id_ = f"{number}.{number}.0123456789abcdef"
        self.triggers[id_] = Given(user, self._now)
        return id_

    def url(self, user: str, what: str, number: int) -> str:
        """A new response URL."""
        path = f"/{what}/T0DOUBLE/{number}/secret"
        self.urls[path] = Given(user, self._now)
        return f"{self.people.workspace.url}{path}"

    # ---- what the app does ---------------------------------------------------------------------------------

    def open_view(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """`views.open`: once for a trigger, within its 3 seconds."""
        view, trigger = body.get("view"), body.get("trigger_id")
        view = json.loads(view) if isinstance(view, str) else dict(view or {})
        if not isinstance(trigger, str) or not trigger:
            raise NoSuchThing("invalid_arguments", "missing required field: trigger_id")
        if too_large(view):
            raise NoSuchThing("view_too_large")
        if faults := faults_of_view(view):
            raise NoSuchThing("invalid_arguments", *(f"[ERROR] {fault}" for fault in faults))
        given = self.triggers.get(trigger)
        if given is None or not _TRIGGER.fullmatch(trigger):
            raise NoSuchThing("invalid_trigger_id")
        if given.uses:
            raise NoSuchThing("exchanged_trigger_id")
        if self._now - given.at > TRIGGER_SECONDS:
            raise NoSuchThing("expired_trigger_id")
        given.uses += 1
        id_ = f"V{len(self.opened):08d}"
        self.views[id_] = {**view, "id": id_}
        self.opened.append((given.user, self.views[id_]))
        return {"view": self.views[id_]}

    def respond(self, path: str, body: Mapping[str, Any]) -> web.Response:
        """A response URL: 5 uses within 30 minutes."""
        given = self.urls.get(path)
        if given is None or self._now - given.at > URL_SECONDS:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        if given.uses >= URL_USES:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        if not str(body.get("text") or "").strip():
            return web.json_response({"ok": False, "error": "no_text"}, status=400)
        given.uses += 1
        if body.get("response_type", "ephemeral") == "ephemeral" and not body.get("replace_original"):
            self.whispers.append((given.user, str(body["text"])))
        else:
            self.people.wrong.append(f"{path} replaced a message, or showed everybody")
        return web.Response(text="ok")

    # ---- what people do ------------------------------------------------------------------------------------

    def filled(self, id_: str, values: Mapping[str, str], *, user: str, hasty: bool = False) -> dict[str, Any]:
        """The payload of a modal that is sent: `values` by the fields' labels, over what stands there at first.

        What Slack does not let anybody send is an AssertionError, unless somebody is `hasty` and sends it all the same.
        """
        view, number = self.views[id_], self.people.number()
        state: dict[str, dict[str, Any]] = {}
        for block in view["blocks"]:
            if block["type"] == "input":
                value = values.get(block["label"]["text"])
                state[block["block_id"]] = {block["element"]["action_id"]: _state(block, value, hasty=hasty)}
        assert set(values) <= {block["label"]["text"] for block in view["blocks"] if "label" in block}
        return {
            "type": "view_submission",
            "team": {"id": "T0DOUBLE", "domain": "double"},
            "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": "T0DOUBLE"},
            "api_app_id": "A0SENSORD",
            "token": "deprecated",
            "trigger_id": self.trigger(user, number),
            "view": {**view, "state": {"values": state}, "hash": f"{number}.abc"},
            "response_urls": [],
        }

    async def send(self, id_: str, values: Mapping[str, str] | None = None, *, user: str, hasty: bool = False) -> None:
        """Somebody presses a modal's button."""
        await self.people.tell("interactive", self.filled(id_, values or {}, user=user, hasty=hasty), accepts=True)

    def answered(self, id_: str, answer: Mapping[str, Any] | None) -> None:
        """What the app said to a modal that was sent: it closes, shows errors, or another stands in its place."""
        view = self.views.get(id_)
        action = (answer or {}).get("response_action")
        if view is None:
            return
        self.errors.pop(id_, None)
        if action is None:
            del self.views[id_]
        elif action == "errors" and answer is not None:
            fields = {block["block_id"] for block in view["blocks"] if block["type"] == "input"}
            if not answer["errors"] or not set(answer["errors"]) <= fields or not all(answer["errors"].values()):
                self.people.wrong.append(f"errors at no fields: {answer['errors']}")
            self.errors[id_] = dict(answer["errors"])
        elif action == "update" and answer is not None:
            self.people.wrong += faults_of_view(answer["view"])
            self.views[id_] = {**answer["view"], "id": id_}
        else:
            self.people.wrong.append(f"unknown response_action {action}")

    def buttons(self, message: Mapping[str, Any]) -> dict[str, str]:
        """The buttons under a message: label → value."""
        actions = [block["elements"] for block in message["blocks"] if block["type"] == "actions"]
        return {button["text"]["text"]: button["value"] for some in actions for button in some}


def _state(block: Mapping[str, Any], value: str | None, *, hasty: bool) -> dict[str, Any]:
    element = block["element"]
    kind = element["type"]
    if kind == "static_select":
        labels = {option["text"]["text"]: option for option in element["options"]}
        chosen = element.get("initial_option") if value is None else labels.get(value)
        assert hasty or chosen is not None or block.get("optional"), f"{block['label']['text']} must be chosen"
        return {"type": kind, "selected_option": chosen if not hasty or chosen else {"value": value}}
    text = element.get("initial_value") if value is None else value
    assert hasty or text or block.get("optional"), f"{block['label']['text']} must be filled"
    if kind == "number_input" and text and not hasty:
        assert is_number(text, decimal=element["is_decimal_allowed"]), f"{text} is no number"
    return {"type": kind, "value": text or None}
