"""Time and ids, injected, so that a test can hold them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import anyio
from msgspec import Struct

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(moment: datetime) -> int:
    """An aware time as whole microseconds since 1970 UTC: how the tables keep times."""
    return (moment - EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC time that `to_us` made a number of."""
    return EPOCH + us * _MICROSECOND


class _Ids:
    """UUIDv7 of RFC 9562, section 6.2, method 3: the random bits after the milliseconds carry finer time.

    The random bits come from a generator seeded by the system once. Asking the system for each id lets go of
    the interpreter's lock, and while the ledger's thread works that costs up to 5 ms to get back.
    """

    def __init__(self) -> None:
        self._bits = random.Random(os.urandom(32)).getrandbits
        self._last = 0
        self._millisecond, self._head = -1, ""

    def __call__(self) -> str:
        # 1 ms is 4096 ticks: nanoseconds * 4096 / 1,000,000, in whole numbers.
        tick = time.time_ns() * 512 // 125_000
        if tick <= self._last:
            tick = self._last + 1
        self._last = tick
        millisecond = tick >> 12
        if millisecond != self._millisecond:  # A burst makes hundreds in one: their first half is written once.
            digits = f"{millisecond:012x}"
            self._millisecond, self._head = millisecond, f"{digits[:8]}-{digits[8:]}-7"
        digits = f"{(tick & 0xFFF) << 64 | 1 << 63 | self._bits(62):019x}"
        return f"{self._head}{digits[:3]}-{digits[3:7]}-{digits[7:]}"


new_uuid7 = _Ids()
"""A new UUIDv7 as text: each sorts after the one made before it in this process."""


class Clock(Struct, frozen=True, kw_only=True):
    """Where the time, waiting and fresh ids come from.

    `now` is UTC and may jump; `monotonic` never does, and is what durations are measured with.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    new_id: Callable[[], str] = new_uuid7


SYSTEM = Clock()
