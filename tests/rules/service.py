"""A strict service in virtual time: calls arrive some time between start and end, and every window is watched."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from rules.lanes import Item, Lanes
from rules.pacing import Window


@dataclass
class Service:
    """Counts arrivals in true sliding windows and remembers every call that was one too many."""

    arrivals: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    violations: list[tuple[str, float]] = field(default_factory=list)

    def arrive(self, windows: tuple[Window, ...], at: float) -> None:
        for window in windows:
            if not window.seconds:
                continue
            seen = self.arrivals[window.key]
            while seen and seen[0] <= at - window.seconds:
                seen.popleft()
            seen.append(at)
            if len(seen) > window.limit:
                self.violations.append((window.key, at))


@dataclass
class Simulation:
    """Drives lanes against a service; `latency()` is (how long to arrive, how long the answer takes)."""

    lanes: Lanes
    latency: Callable[[], tuple[float, float]]
    now: float = 0.0
    service: Service = field(default_factory=Service)
    sent: list[tuple[float, Item]] = field(default_factory=list)
    steps: int = 0

    def run(self, arriving: list[tuple[float, Item]] | None = None) -> float:
        """Send everything; return when the last call started. `arriving` is sorted by time."""
        coming = deque(arriving or ())
        order = count()
        calls: list[tuple[float, int, str, Item]] = []
        while len(self.lanes) or calls or coming:
            self.steps += 1
            while coming and coming[0][0] <= self.now:
                self.lanes.put(coming.popleft()[1])
            found = self.lanes.next(self.now)
            if isinstance(found, Item):
                there, back = self.latency()
                heappush(calls, (self.now + there, next(order), "arrive", found))
                heappush(calls, (self.now + there + back, next(order), "end", found))
                self.sent.append((self.now, found))
                continue
            upcoming = [found, *(entry[0] for entry in calls[:1]), *([coming[0][0]] if coming else [])]
            self.now = max(self.now, min(upcoming))
            while calls and calls[0][0] <= self.now:
                at, _, what, item = heappop(calls)
                if what == "arrive":
                    self.service.arrive(item.windows, at)
                else:
                    self.lanes.done(item.windows, self.now)
        return self.sent[-1][0] if self.sent else 0.0
