"""How far a backfill has come: how much of it may be claimed now, when it is over, and what it came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, field

Verdict = Literal["succeeded", "failed", "cancelled"]


class Progress(Struct, kw_only=True):
    """Partitions are claimed one after the other, in the backfill's order; at most `concurrency` are open at a time.

    `claimed` is how many were, so that it is the place of the next one; `open` are the ids of the runs that have not
    ended; `ended` counts the others by their status.
    """

    total: int
    concurrency: int
    claimed: int = 0
    open: set[str] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    cancelled: bool = False

    @property
    def room(self) -> int:
        """How many of the next partitions may be claimed now."""
        return 0 if self.cancelled else min(self.concurrency - len(self.open), self.total - self.claimed)

    @property
    def over(self) -> bool:
        """Nothing is left to be claimed, and nothing is open."""
        return not self.open and (self.cancelled or self.claimed == self.total)

    @property
    def verdict(self) -> Verdict:
        """What it came to, once it is over: whatever did not succeed has failed."""
        if self.cancelled:
            return "cancelled"
        return "succeeded" if self.ended["succeeded"] == self.total else "failed"

    def claim(self, runs: Iterable[str]) -> None:
        """The next partitions are claimed by these runs."""
        found = set(runs)
        self.open |= found
        self.claimed += len(found)

    def end(self, run: str, status: str) -> bool:
        """A run ended; whether it was an open one of this backfill."""
        if run not in self.open:
            return False
        self.open.remove(run)
        self.ended[status] += 1
        return True
