"""The Slack workspace behind the double: who may do what there, how often, and what everyone then sees."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.doubles.slack_blockkit import faults_of, length, parsed, pings_in, strings, too_long

SCOPES = {
    "chat.postMessage": "chat:write", "chat.update": "chat:write", "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write", "conversations.list": "channels:read",
    "conversations.open": "im:write", "conversations.info": "channels:read", "conversations.members": "channels:read",
    "users.info": "users:read",
}  # fmt: skip
WITHOUT_SCOPE = frozenset({"auth.test", "views.open"})
TIERS = {
    "chat.update": 50, "files.getUploadURLExternal": 100, "files.completeUploadExternal": 100,
    "conversations.list": 20, "conversations.open": 50, "conversations.info": 50, "conversations.members": 100,
    "users.info": 100, "views.open": 100,
}  # fmt: skip
WORKSPACE_A_MINUTE = 200
TRUNCATE, UPDATE = 40_000, 4_000


@dataclass(kw_only=True)
class Room:
    """A conversation. `id` begins with C, G or D; `user` is whom a D is with."""

    id: str
    name: str = ""
    user: str = ""
    member: bool = True
    private: bool = False
    archived: bool = False
    read_only: bool = False
    thread_only: bool = False


class Refused(Exception):
    def __init__(self, error: str, **details: Any) -> None:
        super().__init__(error)
        self.body = {"ok": False, "error": error, **details}


class TooFast(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(kw_only=True)
class Workspace:
    """`committed` is what people in the workspace see, in order, but for what has `deleted`.

    `edit_seconds` is for how long the workspace's owners let a message be edited; None is for ever.
    """

    token: str = "xoxb-double-0123456789"
    scopes: set[str] = field(default_factory=lambda: set(SCOPES.values()))
    rooms: list[Room] = field(default_factory=lambda: [Room(id="C0GENERAL", name="general")])
    limits: bool = True
    edit_seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    committed: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    url: str = ""
    _sent: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def authorise(self, method: str, header: str, body: Mapping[str, Any]) -> None:
        token = header.removeprefix("Bearer ") or body.get("token", "")
        if method == "files.upload":
            raise Refused("method_deprecated")
        if method not in SCOPES and method not in WITHOUT_SCOPE:
            raise Refused("unknown_method")
        if not token:
            raise Refused("not_authed")
        if token.startswith("xapp-"):
            raise Refused("not_allowed_token_type")
        if token != self.token:
            raise Refused("invalid_auth")
        if method in SCOPES and SCOPES[method] not in self.scopes:
            raise Refused("missing_scope", needed=SCOPES[method], provided=",".join(sorted(self.scopes)))

    def call(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if method in TIERS:
            self._pace(method, TIERS[method], 60.0)
        calls = {
            "chat.postMessage": self._post, "chat.update": self._update, "conversations.list": self._list,
            "conversations.open": self._open, "files.getUploadURLExternal": self._ticket,
            "files.completeUploadExternal": self._complete, "auth.test": lambda _: {"team": "T", "user_id": "UBOT"},
            **self.questions(),
        }  # fmt: skip
        return calls[method](body)

    def questions(self) -> dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        """What else can be asked."""
        return {}

    def _pace(self, key: str, most: int, seconds: float) -> None:
        now, sent = self.clock(), self._sent[key]
        while sent and sent[0] <= now - seconds:
            sent.popleft()
        if self.limits and len(sent) >= most:
            raise TooFast(sent[0] + seconds - now)
        sent.append(now)

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        room = self._room(body.get("channel", ""))
        self._pace("workspace", WORKSPACE_A_MINUTE, 60.0)
        self._pace(room.id, 1, 1.0)
        thread = body.get("thread_ts")
        if room.thread_only and thread is None:
            raise Refused("restricted_action_thread_only_channel")
        there = (m for m in self.committed if not m.get("deleted"))
        if thread is not None and not any(m["channel"] == room.id and m["ts"] == thread for m in there):
            raise Refused("thread_not_found")
        message = _content(body, TRUNCATE)
        message |= {"channel": room.id, "ts": f"1700000000.{len(self.committed):06d}", "thread_ts": thread}
        message |= {"posted_at": self.clock(), "broadcast": bool(body.get("reply_broadcast"))}
        self.committed.append(message)
        answer = {"channel": room.id, "ts": message["ts"], "message": {"text": message["text"]}}
        if length(body.get("text", "")) > TRUNCATE:
            answer["warning"] = "message_truncated"
        return answer

    def _update(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if length(body.get("text", "")) > UPDATE:
            raise Refused("msg_too_long")
        room = next((room for room in self.rooms if room.id == body.get("channel")), None)
        if room is None or (room.private and not room.member):
            raise Refused("channel_not_found")
        if room.archived:
            raise Refused("is_inactive")
        for message in self.committed:
            if (message["channel"], message["ts"]) == (room.id, body.get("ts")) and not message.get("deleted"):
                if "posted_at" not in message:
                    raise Refused("cant_update_message")
                if self.edit_seconds is not None and self.clock() - message["posted_at"] > self.edit_seconds:
                    raise Refused("edit_window_closed")
                message.update(_content(body, UPDATE))
                return {"channel": message["channel"], "ts": message["ts"]}
        raise Refused("message_not_found")

    def delete(self, ts: str) -> None:
        """Somebody deletes a message: it is seen, and can be edited, no more."""
        next(message for message in self.committed if message["ts"] == ts)["deleted"] = True

    def _room(self, channel: str) -> Room:
        for room in self.rooms:
            if channel in (room.id, room.user or None) or (room.name and channel.removeprefix("#") == room.name):
                if room.private and not room.member:
                    raise Refused("channel_not_found")
                if room.archived:
                    raise Refused("is_archived")
                if not room.member:
                    raise Refused("not_in_channel")
                if room.read_only:
                    raise Refused("restricted_action_read_only_channel")
                return room
        raise Refused("channel_not_found")

    def _list(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Pages of two, so that whoever reads only the first is found out."""
        start = int(body.get("cursor") or 0)
        named = [room for room in self.rooms if room.name and not (room.private and not room.member)]
        page = [{"id": room.id, "name": room.name} for room in named[start : start + 2]]
        following = str(start + 2) if start + 2 < len(named) else ""
        return {"channels": page, "response_metadata": {"next_cursor": following}}

    def _open(self, body: Mapping[str, Any]) -> dict[str, Any]:
        for room in self.rooms:
            if room.user and room.user == body.get("users"):
                return {"channel": {"id": room.id}}
        raise Refused("user_not_found")

    # ---- files ---------------------------------------------------------------------------------------------

    def _ticket(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if not body.get("filename") or int(body.get("length", 0)) < 1:
            raise Refused("missing_argument")
        file_id = f"F{len(self.files):08d}"
        self.files[file_id] = {"name": body["filename"], "length": int(body["length"]), "content": None}
        return {"file_id": file_id, "upload_url": f"{self.url}/upload/v1/{file_id}"}

    def take(self, path: str, content: bytes) -> web.Response:
        file = self.files.get(path.rpartition("/")[2])
        if file is None or len(content) != file["length"]:
            return web.Response(text="bad upload", status=400)
        file["content"] = content
        return web.Response(text=f"OK - {len(content)}")

    def _complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        room = next((room for room in self.rooms if room.id == body.get("channel_id")), None)
        if room is None:
            raise Refused("invalid_channel")
        self._room(room.id)
        for file in body["files"]:
            if self.files.get(file["id"], {}).get("content") is None:
                raise Refused("file_not_found")
            ts = f"1700000000.{len(self.committed):06d}"
            shared: dict[str, Any] = {
                "channel": room.id,
                "ts": ts,
                "thread_ts": body.get("thread_ts"),
                "text": "",
                "blocks": [],
            }
            self.committed.append({**shared, "file": self.files[file["id"]]})
        return {"files": body["files"]}

    def incoming(self, path: str, body: Mapping[str, Any]) -> web.Response:
        """An incoming webhook answers in plain words."""
        if not path.startswith("/services/T0/B0/"):
            return web.Response(text="no_service", status=404)
        if path != "/services/T0/B0/secret":
            return web.Response(text="invalid_token", status=403)
        if not body.get("text") and not body.get("blocks"):
            return web.Response(text="no_text", status=400)
        self.committed.append({"channel": "C0GENERAL", "ts": "", "text": body.get("text", ""), "blocks": []})
        return web.Response(text="ok")


def _content(body: Mapping[str, Any], most: int) -> dict[str, Any]:
    """What a message shows, or Refused; `pings` is what Slack would parse in it."""
    text, blocks = body.get("text") or "", body.get("blocks") or []
    if not text.strip() and not blocks:
        raise Refused("no_text")
    if errors := faults_of(blocks):
        messages = [f"[ERROR] {error}" for error in errors]
        raise Refused("invalid_blocks", errors=errors, response_metadata={"messages": messages})
    if too_long(blocks):
        raise Refused("msg_blocks_too_long")
    names = bool(body.get("link_names")) or body.get("parse") == "full"
    pings = [*pings_in(blocks), *parsed(text, names=names)]
    plain = text[:most].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    shown = "".join(strings(blocks)) if blocks else plain
    return {"text": plain, "blocks": blocks, "shown": shown, "pings": pings}
