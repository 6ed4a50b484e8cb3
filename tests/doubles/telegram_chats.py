"""The double's world: chats and what became of them, topics, messages, and the limits on calls."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.doubles.telegram_judge import Refusal, bad_request

Kind = Literal["private", "group", "supergroup", "channel"]
State = Literal[
    "open",
    "unknown",
    "not_started",
    "blocked",
    "deactivated",
    "kicked",
    "deleted",
    "not_member",
    "no_rights",
    "migrated",
]
Topic = Literal["open", "closed", "deleted"]


@dataclass(kw_only=True)
class Limits:
    """Sliding windows: (calls, seconds). `tolerance` is by how much time on the wire may shorten a window.

    The chat's window allows no burst: stricter than Telegram, which tolerates short ones without a promise.
    """

    bot: tuple[int, float] = (30, 1.0)
    chat: tuple[int, float] = (1, 1.0)
    group: tuple[int, float] = (20, 60.0)
    tolerance: float = 0.05
    enforce: bool = True


@dataclass
class Chat:
    """One chat. Set `state` to make it refuse; `topics` of a forum by thread id; General is by omission."""

    id: int
    kind: Kind
    name: str | None = None
    state: State = "open"
    moved_to: int | None = None
    topics: dict[int, Topic] = field(default_factory=dict)
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    last_id: int = 0

    @property
    def is_group(self) -> bool:
        return self.kind != "private"

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"id": self.id, "type": self.kind}
        body["first_name" if self.kind == "private" else "title"] = f"chat {self.id}"
        if self.name:
            body["username"] = self.name.removeprefix("@")
        if self.topics:
            body["is_forum"] = True
        return body

    def check(self) -> None:
        """Raise what Telegram answers to any call for this chat, unless the chat is open."""
        refusals = {
            "unknown": Refusal(400, "Bad Request: chat not found"),
            "not_started": Refusal(403, "Forbidden: bot can't initiate conversation with a user"),
            "blocked": Refusal(403, "Forbidden: bot was blocked by the user"),
            "deactivated": Refusal(403, "Forbidden: user is deactivated"),
            "kicked": Refusal(403, f"Forbidden: bot was kicked from the {self.kind} chat"),
            "deleted": Refusal(403, "Forbidden: the group chat was deleted"),
            "not_member": Refusal(403, f"Forbidden: bot is not a member of the {self.kind} chat"),
            "no_rights": Refusal(400, "Bad Request: not enough rights to send text messages to the chat"),
            "migrated": Refusal(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                {"migrate_to_chat_id": self.moved_to},
            ),
        }
        if self.state in refusals:
            raise refusals[self.state]

    def check_thread(self, thread: int | None) -> None:
        if thread is None:
            return
        state = self.topics.get(thread)
        if state is None:
            raise bad_request("message thread not found")
        if state != "open":
            raise bad_request(f"TOPIC_{state.upper()}")

    def post(self, message: dict[str, Any]) -> dict[str, Any]:
        self.last_id += 1
        stored = {"message_id": self.last_id, "chat": self.as_json(), **message}
        self.messages[self.last_id] = stored
        return stored

    def texts(self) -> list[str]:
        """The texts that stand in the chat, in order; a document's is its caption."""
        return [str(message.get("text", message.get("caption", ""))) for message in self.messages.values()]


class Chats:
    """All chats. One that nobody made comes into being as its id or @name says, unless `strict`."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self._by_id: dict[int, Chat] = {}
        self._by_name: dict[str, Chat] = {}

    def get(self, which: int | str) -> Chat:
        text = str(which)
        found = self._by_name.get(text.lower()) if text.startswith("@") else self._by_id.get(_number(text))
        return found or self.add(text, state="unknown" if self.strict else "open")

    def add(self, which: int | str, *, kind: Kind | None = None, state: State = "open") -> Chat:
        text = str(which)
        name = text if text.startswith("@") else None
        number = -1_002_000_000_000 - len(self._by_id) if name else _number(text)
        chat = Chat(number, kind or _kind_of(number, name), name, state)
        self._by_id[number] = chat
        if name:
            self._by_name[name.lower()] = chat
        return chat

    def __iter__(self) -> Any:
        return iter(self._by_id.values())


def _number(text: str) -> int:
    if not text.lstrip("-").isdecimal():
        raise bad_request("chat not found")
    return int(text)


def _kind_of(number: int, name: str | None) -> Kind:
    if name:
        return "channel"
    if number > 0:
        return "private"
    return "supergroup" if number < -1_000_000_000_000 else "group"


class Turnstile:
    """Sliding windows over the calls that were let in, and longer waits for who comes back too early."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        self.limits = limits
        self._monotonic = monotonic
        self._passed: dict[str, deque[float]] = defaultdict(deque)
        self._closed_until: dict[str, float] = {}
        self._strikes: dict[str, int] = defaultdict(int)

    def enter(self, chat: Chat) -> None:
        """Let one call in, or raise the 429."""
        if not self.limits.enforce:
            return
        now = self._monotonic()
        windows = [("bot", self.limits.bot), (f"{chat.id}", self.limits.chat)]
        if chat.is_group:
            windows.append((f"{chat.id} minute", self.limits.group))
        for key, (calls, seconds) in windows:
            self._check(key, calls, seconds - self.limits.tolerance, now)
        for key, (calls, _) in windows:
            passed = self._passed[key]
            passed.append(now)
            self._strikes[key] = 0
            if len(passed) > calls:
                passed.popleft()

    def _check(self, key: str, calls: int, seconds: float, now: float) -> None:
        until = self._closed_until.get(key, 0.0)
        passed = self._passed[key]
        if now < until - self.limits.tolerance:
            self._strikes[key] += 1
            wait = until - now + self._strikes[key]
        elif len(passed) >= calls and now < passed[0] + seconds:
            wait = passed[0] + seconds - now
        else:
            return
        retry_after = max(1, math.ceil(wait))
        self._closed_until[key] = now + retry_after
        raise too_many(retry_after)


def too_many(retry_after: int) -> Refusal:
    return Refusal(429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after})
