"""When may a call go out? Sliding windows, lanes by severity, backoff."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` calls in any `seconds`; windows with equal `key` are one and the same."""

    key: str
    limit: int
    seconds: float
