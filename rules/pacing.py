"""When may a call go out? Sliding windows and backoff. Time is a float of monotonic seconds, passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf

from msgspec import Struct, field

MARGIN_S = 0.005
MARGIN_SHARE = 0.0005
"""How much longer than its `seconds` a window counts a call, from the call's end.

A service counts arrivals, and a call arrives some time between its start and its end. Counting it from its end
therefore covers every latency, however it varies: what starts after that arrives after that. What is left for
the margin is the other side's clock: it may round to milliseconds at both ends of the window (5 ms is ample),
and two disciplined clocks may differ in rate by 500 parts in a million, the most that NTP slews.
"""


class Window(Struct, frozen=True):
    """At most `limit` calls in any `seconds`; windows with equal `key` are one and the same.

    A window of 0 seconds limits how many calls are in the air at once.
    """

    key: str
    limit: int
    seconds: float

    def __post_init__(self) -> None:
        if self.limit < 1 or self.seconds < 0:
            raise ValueError(f"window {self.key!r} needs a limit of at least 1 and seconds of at least 0")

    @property
    def span(self) -> float:
        """For how long after its end a call still counts."""
        return self.seconds + MARGIN_S + self.seconds * MARGIN_SHARE if self.seconds else 0.0


class _Count(Struct):
    """What counts against one key: calls in the air, the ends of those that still count, and a hold."""

    span: float
    in_the_air: int = 0
    ended: deque[float] = field(default_factory=deque)
    held_until: float = -inf

    def forget(self, now: float) -> None:
        while self.ended and self.ended[0] + self.span <= now:
            self.ended.popleft()


class Pacer:
    """True sliding windows: no interval of `seconds`, wherever it begins, sees more than `limit` arrivals.

    Times never go back. Memory is bounded by the keys in use: an idle key is forgotten.
    """

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self._sweep_at = 1024

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._counts)

    def earliest(self, windows: Iterable[Window], now: float) -> float:
        """When one call against all these windows may go, as far as is known: `now`, later, or infinity.

        Infinity: not before one of the calls in the air has ended.
        """
        return max((self.free_at(window, now) for window in windows), default=now)

    def free_at(self, window: Window, now: float) -> float:
        """The same for one window."""
        count = self._counts.get(window.key)
        if count is None:
            return now
        count.forget(now)
        at = max(now, count.held_until)
        over = count.in_the_air + len(count.ended) - window.limit
        if over < 0:
            return at
        return max(at, count.ended[over] + count.span) if over < len(count.ended) else inf

    def room(self, window: Window, now: float) -> int:
        """How many calls may go against this window at this moment."""
        count = self._counts.get(window.key)
        if count is None:
            return window.limit
        count.forget(now)
        return 0 if count.held_until > now else max(0, window.limit - count.in_the_air - len(count.ended))

    def take(self, windows: Iterable[Window], now: float) -> None:
        """A call goes: it counts against these windows from now until `seconds` after its end."""
        for window in windows:
            self._count(window, now).in_the_air += 1

    def done(self, windows: Iterable[Window], now: float) -> None:
        """A call that was taken has ended, with whatever answer or with none."""
        for window in windows:
            count = self._counts[window.key]
            count.in_the_air -= 1
            if window.seconds:
                count.ended.append(now)

    def undo(self, windows: Iterable[Window]) -> None:
        """A call that was taken was not made after all."""
        for window in windows:
            self._counts[window.key].in_the_air -= 1

    def recall(self, windows: Iterable[Window], at: float, now: float) -> None:
        """A call that ended at `at`, before this pacer existed. Calls are recalled in the order of their ends."""
        for window in windows:
            if window.seconds and at + window.span > now:
                self._count(window, now).ended.append(min(at, now))

    def hold(self, key: str, until: float) -> None:
        """Let no call against this key go before `until`; a hold is never shortened."""
        count = self._counts.setdefault(key, _Count(0.0))
        count.held_until = max(count.held_until, until)

    def _count(self, window: Window, now: float) -> _Count:
        count = self._counts.get(window.key)
        if count is None:
            if len(self._counts) >= self._sweep_at:
                self._sweep(now)
            count = self._counts[window.key] = _Count(window.span)
        count.span = window.span
        return count

    def _sweep(self, now: float) -> None:
        """Forget idle keys; doubling what is kept makes this constant per new key on average."""
        for key, count in list(self._counts.items()):
            count.forget(now)
            if not count.in_the_air and not count.ended and count.held_until <= now:
                del self._counts[key]
        self._sweep_at = max(1024, 2 * len(self._counts))


def backoff(attempt: int, *, base: float, cap: float, jitter: float) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1): doubling from `base` up to `cap`.

    `jitter` in 0…1 spreads it over the upper half, so that many who failed together do not return together.
    """
    if attempt < 1 or not 0 <= jitter <= 1:
        raise ValueError("attempts count from 1, and jitter lies in 0…1")
    full = min(cap, base * 2.0 ** min(attempt - 1, 64))
    return full * (0.5 + 0.5 * jitter)
