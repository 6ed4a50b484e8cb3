"""The bus: events go in once, and everyone who reads it sees them in one order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rules.event import Event


class Bus(Protocol):
    """Where events are published."""

    async def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        """Return once the events are safe. False for an event whose id was there already: published once."""
        ...
