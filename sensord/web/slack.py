"""What Slack sends as requests, where it does not come through Socket Mode.

The routes are open to the world, so each request must be signed with the app's secret: over its raw body, within five
minutes, once. It is answered when what it does is in the database. Slack waits 3 s for that; a command that takes
longer is said to have failed and is carried out all the same, and an event is sent again, and known.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aiohttp import web

from notifiers.chat.floods import Once
from sensord.app import App
from sensord.web.body import parse_json, read_body
from sensord.web.endpoint import Endpoint
from sensord.web.problems import Problem, answer
from sensord.web.schemas import ANY, ERROR

if TYPE_CHECKING:
    from notifiers.channels.slack_chat import SlackChat

log = logging.getLogger(__name__)

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_FIELDS = 100
_QUIET = 3600.0  # One reason is logged at most once in this time: anybody may send us anything.
_ROUTES = (
    ("commands", "slash_commands", _FORM, "Take a slash command from Slack."),
    ("interactivity", "interactive", _FORM, "Take a press on a button from Slack."),
    ("events", "events_api", _JSON, "Take an event from Slack, or its question whether this is the right address."),
)


def slack_endpoints(app: App) -> list[Endpoint]:
    """The routes for Slack; none where it is not configured to send requests."""
    chat, config = app.chats.slack, app.config.slack
    if chat is None or app.chats.socket is not None or config is None or config.signing_secret is None:
        return []
    requests = SlackRequests(app, chat, config.signing_secret.get_secret_value())
    return [
        Endpoint(
            method="POST",
            path=f"/api/slack/{name}",
            handler=partial(requests.take, kind),
            summary=f"{summary} Signed with slack.signing_secret instead of carrying a token.",
            body={"type": "object"},
            takes=(form,),
            answers={
                200: ("what Slack is to show, if anything", ANY),
                401: ("it is not signed by Slack, too old, or was taken already", ERROR),
                503: ("it failed here; Slack sends events again", ERROR),
            },
            public=True,
        )
        for name, kind, form, summary in _ROUTES
    ]


class SlackRequests:
    """Checks who sent a request, reads it, and has it carried out."""

    def __init__(self, app: App, chat: SlackChat, secret: str) -> None:
        from notifiers.channels.slack_signature import Signatures

        self._clock = app.clock
        self._chat = chat
        self._signatures = Signatures(secret)
        self._often = Once(_QUIET)

    async def take(self, kind: str, request: web.Request) -> web.Response:
        """Answer one request."""
        timestamp, signature = _one(request, "X-Slack-Request-Timestamp"), _one(request, "X-Slack-Signature")
        self._pass(self._signatures.stale(timestamp, signature, self._now()))
        body = await read_body(request)
        self._pass(self._signatures.wrong(timestamp, signature, body))
        payload = _payload(kind, body)
        if kind == "events_api" and payload.get("type") == "url_verification":
            return answer({"challenge": str(payload.get("challenge"))[:1000]})
        shown = await self._chat.take(kind, payload)
        if shown is None:
            raise Problem(503, "this failed in sensord; its log says why")
        # Not before: what could not be carried out may come again as it is.
        self._signatures.take(signature, self._now())
        return answer(shown) if shown else web.Response()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _pass(self, why: str | None) -> None:
        if why is None:
            return
        if self._often.first(why, self._clock.monotonic()):
            log.warning("slack.request_refused", extra={"reason": why})
        raise Problem(401, why)


def _one(request: web.Request, name: str) -> str:
    """A header that comes once; else nothing, which is refused."""
    values = request.headers.getall(name, [])
    return values[0] if len(values) == 1 else ""


def _payload(kind: str, body: bytes) -> Mapping[str, Any]:
    """A body that Slack signed: JSON, a form, or JSON in a form."""
    if kind == "events_api":
        payload = parse_json(body)
    else:
        try:
            fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
            form = {name: values[0] for name, values in fields.items()}
            payload = json.loads(form.get("payload", "{}")) if kind == "interactive" else form
        except (ValueError, RecursionError):
            raise Problem(400, "the body is not a form as Slack sends it") from None
    if not isinstance(payload, dict):
        raise Problem(400, "the body holds no object")
    return payload
