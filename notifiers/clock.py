"""Time and ids, injected, so that a test can hold them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio
from uuid6 import uuid7

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(moment: datetime) -> int:
    """An aware time as whole microseconds since 1970 UTC: how the tables keep times."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """The aware UTC time that `to_us` made a number of."""
    return EPOCH + timedelta(microseconds=us)


def new_uuid7() -> str:
    """A new UUIDv7 (RFC 9562) as text: sorts by the time it was made."""
    return str(uuid7())


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where the time, waiting and fresh ids come from.

    `now` is UTC and may jump; `monotonic` never does, and is what durations are measured with.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    new_id: Callable[[], str] = new_uuid7


SYSTEM = Clock()
