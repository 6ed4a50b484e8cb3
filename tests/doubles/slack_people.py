"""The double's people: what they type and press, and how Slack tells the app of it, through Socket Mode or signed."""

from __future__ import annotations

import contextlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import WSMsgType, web
from slack_sdk.signature import SignatureVerifier

from tests.doubles.slack_interactions import Interactions, NoSuchThing

if TYPE_CHECKING:
    from tests.doubles.slack_workspace import Room, Workspace

BOT, TEAM, APP = "U0SENSORD", "T0DOUBLE", "A0SENSORD"
CONNECTIONS = 10
PAGE = 3  # Of members, so that whoever reads only the first page is found out.


@dataclass(kw_only=True)
class Envelope:
    """Something told through Socket Mode, until it is acknowledged."""

    kind: str
    payload: Mapping[str, Any]
    accepts: bool
    attempt: int = 0


@dataclass(eq=False)
class SlackPeople:
    """`acks` is what the app answered, by the thing's own id, in order; `wrong` is what Slack would complain of.

    `users` is id → fields of `users.info`, `members` channel → ids (None: everybody is in it), `creators` channel → id.
    A `deaf` Slack answers no ping; a `swallowing` one loses what the app says, as if it had died before saying it.
    `on_ack` is called at each acknowledgement; `greeting` stands in place of hello.
    """

    workspace: Workspace
    app_token: str = "xapp-1-A0SENSORD-0123456789"
    signing_secret: str = "8f742231b10e8888abcd99yyyzzz85a5"
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    creators: dict[str, str] = field(default_factory=dict)
    acks: list[tuple[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lines: list[web.WebSocketResponse] = field(default_factory=list)
    waiting: dict[str, Envelope] = field(default_factory=dict)
    opened: int = 0
    deaf: bool = False
    swallowing: bool = False
    on_ack: Callable[[str], None] = lambda _id: None
    greeting: Mapping[str, Any] | None = None
    doing: Interactions = field(init=False)
    _tickets: set[str] = field(default_factory=set)
    _numbers: Any = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.doing = Interactions(self)

    def number(self) -> int:
        """One more."""
        return int(next(self._numbers))

    # ---- what the app asks ---------------------------------------------------------------------------------

    def open(self, header: str) -> dict[str, Any]:
        """`apps.connections.open`: an address that can be used once, for the app-level token alone."""
        token = header.removeprefix("Bearer ")
        if not token:
            raise NoSuchThing("not_authed")
        if not token.startswith("xapp-"):
            raise NoSuchThing("not_allowed_token_type")
        if token != self.app_token:
            raise NoSuchThing("invalid_auth")
        self.opened += 1
        ticket = f"ticket-{self.opened}"
        self._tickets.add(ticket)
        return {"url": f"{self.workspace.url.replace('http', 'ws', 1)}/link?ticket={ticket}&app_id={APP}"}

    def user(self, body: Mapping[str, Any]) -> dict[str, Any]:
        id_ = str(body.get("user", ""))
        if id_ not in self.users:
            raise NoSuchThing("user_not_found")
        flags = {"is_admin": False, "is_owner": False, "is_primary_owner": False, "deleted": False, "is_bot": False}
        return {"user": {"id": id_, "team_id": TEAM, "name": id_.lower(), **flags, **self.users[id_]}}

    def channel(self, body: Mapping[str, Any]) -> dict[str, Any]:
        room = self._room(body)
        if room.id.startswith("D"):
            return {"channel": {"id": room.id, "is_im": True, "user": room.user}}
        known = {"id": room.id, "name": room.name, "is_member": room.member, "is_archived": room.archived}
        return {"channel": {**known, "is_im": False, "creator": self.creators.get(room.id, "U0FOUNDER")}}

    def inside(self, body: Mapping[str, Any]) -> dict[str, Any]:
        members = self.members.get(self._room(body).id, [BOT, *self.users])
        start, limit = int(body.get("cursor") or 0), min(int(body.get("limit") or 100), PAGE)
        following = str(start + limit) if start + limit < len(members) else ""
        return {"members": members[start : start + limit], "response_metadata": {"next_cursor": following}}

    def _room(self, body: Mapping[str, Any]) -> Room:
        for room in self.workspace.rooms:
            if room.id == body.get("channel") and (room.member or not room.private):
                return room
        raise NoSuchThing("channel_not_found")

    # ---- Socket Mode ---------------------------------------------------------------------------------------

    async def link(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket: hello, then what was told and not acknowledged, then what happens."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=404, text="no such ticket")
        self._tickets.discard(ticket)
        line = web.WebSocketResponse(autoping=not self.deaf)
        await line.prepare(request)
        if len(self.lines) >= CONNECTIONS:
            await line.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            return line
        self.lines.append(line)
        hello = {"type": "hello", "num_connections": len(self.lines), "connection_info": {"app_id": APP}}
        try:
            await line.send_json(hello if self.greeting is None else self.greeting)
            await self.resend()
            async for message in line:
                if message.type is WSMsgType.TEXT:
                    self._acknowledged(json.loads(message.data))
        finally:
            self.lines.remove(line)
        return line

    def _acknowledged(self, word: Mapping[str, Any]) -> None:
        if self.swallowing:
            return
        envelope = self.waiting.pop(str(word.get("envelope_id")), None)
        if envelope is None:
            self.wrong.append(f"unknown envelope {word}")
            return
        if "payload" in word and not envelope.accepts:
            self.wrong.append(f"{envelope.kind} takes no payload")
        id_ = str(envelope.payload.get("trigger_id") or envelope.payload.get("event_id"))
        if envelope.payload.get("type") == "view_submission":
            self.doing.answered(envelope.payload["view"]["id"], word.get("payload"))
        # What else waits is the same thing told again.
        self.on_ack(id_)
        self.acks.append((id_, word.get("payload")))

    async def tell(self, kind: str, payload: Mapping[str, Any], *, accepts: bool = False, attempt: int = 0) -> None:
        """Send an envelope through one of the connections; without one it waits for the next."""
        id_ = f"envelope-{next(self._numbers)}"
        envelope = Envelope(kind=kind, payload=payload, accepts=accepts, attempt=attempt)
        self.waiting[id_] = envelope
        frame: dict[str, Any] = {"envelope_id": id_, "type": kind, "payload": payload}
        frame |= {"accepts_response_payload": accepts}
        if kind == "events_api":
            frame |= {"retry_attempt": attempt, "retry_reason": "timeout" if attempt else ""}
        if self.lines and not self.lines[-1].closed:
            with contextlib.suppress(ConnectionError):
                await self.lines[-1].send_json(frame)

    async def resend(self) -> None:
        """Slack was not answered in time, or there was no connection: it tells again, in envelopes of their own."""
        waiting, self.waiting = self.waiting, {}
        for envelope in waiting.values():
            await self.tell(envelope.kind, envelope.payload, accepts=envelope.accepts, attempt=envelope.attempt + 1)

    async def disconnect(self, reason: str) -> web.WebSocketResponse:
        """Ask the app to connect anew; this connection stays until it is closed."""
        line = self.lines[-1]
        await line.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "wss-111"}})
        return line

    def drop(self) -> None:
        """The network loses every connection."""
        for line in list(self.lines):
            transport = line._req.transport if line._req is not None else None
            if transport is not None:
                transport.abort()

    # ---- what people do ------------------------------------------------------------------------------------

    def typed(
        self, channel: str, text: str, *, user: str, name: str | None = None, slash: str = "/sensord"
    ) -> dict[str, Any]:
        """The payload of a slash command. Slack escapes what it could parse."""
        number = next(self._numbers)
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {
            "token": "deprecated",
            "team_id": TEAM,
            "team_domain": "double",
            "channel_id": channel,
            "channel_name": "directmessage" if channel.startswith("D") else channel.lower(),
            "user_id": user,
            "user_name": user.lower() if name is None else name,
            "command": slash,
            "text": text,
            "api_app_id": APP,
            "is_enterprise_install": "false",
            "response_url": self.doing.url(user, "commands", number),
            "trigger_id": self.doing.trigger(user, number),
        }

    async def command(self, channel: str, text: str, **who: Any) -> str:
        """Somebody types a slash command; its id."""
        payload = self.typed(channel, text, **who)
        await self.tell("slash_commands", payload, accepts=True)
        return str(payload["trigger_id"])

    def happened(self, kind: str, **about: Any) -> dict[str, Any]:
        """The payload of an event."""
        number = next(self._numbers)
        stamp = f"1700000001.{number:06d}"
        return {
            "token": "deprecated",
            "team_id": TEAM,
            "api_app_id": APP,
            "event": {"type": kind, "event_ts": stamp, **about},
            "type": "event_callback",
            "event_id": f"Ev{number:08d}",
            "event_time": 1_700_000_001,
            "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True, "is_enterprise_install": False}],
        }

    async def event(self, kind: str, **about: Any) -> str:
        """Something happens; the event's id."""
        payload = self.happened(kind, **about)
        await self.tell("events_api", payload)
        return str(payload["event_id"])

    async def mention(self, channel: str, text: str, *, user: str, **more: Any) -> str:
        """Somebody writes to the app in a channel."""
        return await self.event("app_mention", channel=channel, text=f"<@{BOT}> {text}", user=user, ts="1.2", **more)

    async def direct(self, channel: str, text: str, *, user: str, **more: Any) -> str:
        """Somebody writes to the app alone."""
        return await self.event("message", channel=channel, text=text, user=user, ts="1.2", channel_type="im", **more)

    def pressed(self, channel: str, message: str, value: str, *, user: str) -> dict[str, Any]:
        """The payload of a press on a button."""
        number = next(self._numbers)
        return {
            "type": "block_actions",
            "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": TEAM},
            "api_app_id": APP,
            "token": "deprecated",
            "container": {"type": "message", "message_ts": message, "channel_id": channel, "is_ephemeral": False},
            "trigger_id": self.doing.trigger(user, number),
            "team": {"id": TEAM, "domain": "double"},
            "channel": {"id": channel, "name": channel.lower()},
            "message": {"type": "message", "bot_id": "B0", "ts": message, "text": "…", "user": BOT},
            "response_url": self.doing.url(user, "actions", number),
            "actions": [{"action_id": value, "block_id": "b", "value": value, "type": "button", "action_ts": "1.2"}],
        }

    async def press(self, message: Mapping[str, Any], label: str, *, user: str) -> str:
        """Somebody presses a button that stands under a message; the press's id."""
        payload = self.pressed(message["channel"], message["ts"], self.doing.buttons(message)[label], user=user)
        if message.get("thread_ts"):
            payload["message"] |= {"thread_ts": message["thread_ts"]}
        await self.tell("interactive", payload)
        return str(payload["trigger_id"])

    # ---- signed requests -----------------------------------------------------------------------------------

    def signed(self, body: bytes, at: float, *, secret: str | None = None) -> dict[str, str]:
        """The headers that Slack signs a body with."""
        timestamp, key = str(int(at)), secret or self.signing_secret
        made = f"v0={hmac.new(key.encode(), b'v0:' + timestamp.encode() + b':' + body, 'sha256').hexdigest()}"
        with contextlib.suppress(UnicodeDecodeError):  # The SDK signs text alone.
            assert made == SignatureVerifier(key).generate_signature(timestamp=timestamp, body=body)
        return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": made}


def form(payload: Mapping[str, str]) -> bytes:
    """A slash command as the body of a request."""
    return urlencode(payload).encode()


def interaction(payload: Mapping[str, Any]) -> bytes:
    """A press as the body of a request."""
    return urlencode({"payload": json.dumps(payload)}).encode()
