"""How much of what a chat writes is answered: so much in a minute, then one word about it, then silence."""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import Enum
from typing import Final

ANSWERS: Final = 10
SECONDS: Final = 60.0
"""A group takes 20 messages a minute from a bot, and alerts must find room among them."""

_REMEMBERED: Final = 10_000


class Turnout(Enum):
    """What becomes of one more command."""

    answered = "answered"
    told_off = "told off"
    ignored = "ignored"


class Floods:
    """Counts each chat's commands. Memory is bounded: the chats that were silent longest are forgotten."""

    def __init__(self) -> None:
        self._chats: OrderedDict[str, deque[float]] = OrderedDict()

    def one_more(self, chat: str, now: float) -> Turnout:
        """Whether a command is answered. `now` in monotonic seconds."""
        times = self._chats.setdefault(chat, deque(maxlen=ANSWERS + 1))
        self._chats.move_to_end(chat)
        if len(self._chats) > _REMEMBERED:
            self._chats.popitem(last=False)
        while times and times[0] <= now - SECONDS:
            times.popleft()
        if len(times) > ANSWERS:
            return Turnout.ignored
        times.append(now)
        return Turnout.told_off if len(times) > ANSWERS else Turnout.answered


class Once:
    """Says yes to each key once in a while. Memory is bounded in the same way."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._keys: OrderedDict[str, float] = OrderedDict()

    def first(self, key: str, now: float) -> bool:
        """Whether it is the first time for this key. `now` in monotonic seconds."""
        last = self._keys.get(key)
        if last is not None and now - last < self._seconds:
            return False
        self._keys[key] = now
        self._keys.move_to_end(key)
        if len(self._keys) > _REMEMBERED:
            self._keys.popitem(last=False)
        return True
