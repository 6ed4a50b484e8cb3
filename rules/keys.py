"""Whether a run_key that is held may be taken by another run: the policies of a sensor."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

Policy = Literal["once", "per_version", "retry_failed", "latest_wins"]
"""`once`: one run for a key. `per_version`: one for each version of what was sensed. `retry_failed`: another one where
the last came to nothing (failed, cancelled or lost). `latest_wins`: a newer version takes the key at once, and a run of
an older one that has not ended is cancelled; one that is known to be no longer the newest takes it from nobody."""

POLICIES: tuple[Policy, ...] = get_args(Policy)
_CAME_TO_NOTHING = frozenset({"failed", "cancelled", "lost"})


class KeyRule(Struct, frozen=True):
    """How long and against whom a key is held. `ttl` is microseconds since it was claimed; None: for ever."""

    policy: Policy = "once"
    ttl: int | None = None

    def key_of(self, run_key: str, version: str) -> str:
        """The text that is claimed for a run_key of something of that version."""
        return f"{run_key}@{version}" if self.policy == "per_version" else run_key

    def takes(self, held: Held, version: str, now: int, *, newest: bool = True) -> bool:
        """Whether a request of that version may take the key, at that many microseconds since 1970.

        `newest` is false where what was sensed had been replaced by then: things may be heard of in any order.
        """
        if self.ttl is not None and now - held.claimed_at >= self.ttl:
            return True
        if self.policy == "retry_failed":
            return held.status in _CAME_TO_NOTHING
        return self.policy == "latest_wins" and newest and held.version != version


class Held(Struct, frozen=True):
    """Who holds a key: the status of its run (None: it is not kept any more), of which version, since when."""

    status: str | None
    version: str | None
    claimed_at: int


ONCE = KeyRule()
