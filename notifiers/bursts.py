"""Destinations that are told too much at the moment, and so in digests. In memory: what is held is in the database."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from rules.event import Severity
from rules.noise import FIRST_S, MINUTE_S

FIRST_US = round(FIRST_S * 1e6)
MINUTE_US = round(MINUTE_S * 1e6)

WHY = "many messages at once: waits for the next digest"


class _Storm(Struct):
    """The next digest, and the highest severity that waits for it."""

    until: int
    severity: int


class Bursts:
    """Says whether news for a destination waits for its next digest. Times in microseconds.

    `channels` are those that take digests: where people read, one call at a time and few a minute.
    """

    def __init__(self, channels: Collection[str] = ()) -> None:
        self._channels = frozenset(channels)
        self._storms: dict[str, _Storm] = {}

    def digested(self, destination: str) -> bool:
        """Whether this destination may be told in digests."""
        return destination.partition(":")[0] in self._channels

    def holds(self, destination: str, severity: int) -> int | None:
        """Until when news of that severity waits. None: it goes at once, as does what is more severe than before."""
        storm = self._storms.get(destination)
        if storm is None:
            return None
        if severity > storm.severity:
            storm.severity = severity
            return None
        return storm.until

    def known(self, destination: str) -> bool:
        """Whether it is told in digests at the moment."""
        return destination in self._storms

    def begin(self, destination: str, now: int) -> int:
        """It is told too much: when its first digest is."""
        self._storms[destination] = _Storm(now + FIRST_US, Severity.critical)
        return now + FIRST_US

    def begun(self, destination: str, severity: int) -> None:
        """What waited is held: nothing of it is more severe than that. Until this is said, everything is held."""
        storm = self._storms.get(destination)
        if storm is not None:
            storm.severity = severity

    def due(self, now: int) -> list[str]:
        """Whose digest is due; from now on their news waits for the one after it."""
        found = [destination for destination, storm in self._storms.items() if storm.until <= now]
        for destination in found:
            self._storms[destination].until = now + MINUTE_US
        return found

    def over(self, destination: str) -> None:
        """Nothing waited for its digest."""
        self._storms.pop(destination, None)

    def waits(self) -> dict[str, int]:
        """When each of them has its next digest."""
        return {destination: storm.until for destination, storm in self._storms.items()}
