"""What happened in Dagster, as the source reads it: by the millisecond of Dagster's own time, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from hashlib import blake2b
from typing import Any, Protocol

from msgspec import Struct

from rules.request import Sensed


class Happened(Struct, frozen=True):
    """One thing that happened: a run ended, an asset was materialised.

    `at`: the millisecond that it is listed under; `began`: the one that it really happened in, which may be earlier.
    `what` is the history's own. The same thing always has the same key and mark.
    """

    at: int
    began: int
    key: str
    mark: int
    what: Any


class Page(Struct, frozen=True):
    """What is listed of a span of time; `whole`: that is all there is. `upto`: the last moment of what is listed.

    What nobody wants is counted in `upto`, but is not among `things`.
    """

    things: Sequence[Happened]
    whole: bool
    upto: int | None


class History(Protocol):
    """One kind of things that happen."""

    sure: int
    """Everything that Dagster showed by then was listed: its clock, in milliseconds, as the last listing began."""

    async def begin(self, after: int) -> bool:
        """Begin a look at what happened after that moment. False: nothing did."""
        ...

    async def page(self, after: int, before: int | None) -> Page:
        """What happened between these moments, which do not count themselves, unless it is much."""
        ...

    def pages(self, after: int, before: int) -> AsyncIterator[Page]:
        """All of that, however much it is, page after page."""
        ...

    async def sensed(self, things: Sequence[Happened]) -> list[tuple[Happened, Sensed]]:
        """What is emitted of them, in their order; without those that are gone."""
        ...

    def end(self) -> None:
        """The look has come to its end, and all it showed is committed."""
        ...

    def why(self, subject: str) -> str | None:
        """Why this was not wanted, if it was met."""
        ...


def mark_of(key: str) -> int:
    """63 bits of a key."""
    return int.from_bytes(blake2b(key.encode("utf-8", "backslashreplace"), digest_size=8).digest()) >> 1
