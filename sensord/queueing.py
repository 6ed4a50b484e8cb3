"""Which run goes next: priority, then order of request, within the limits of each job and of all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from heapq import heappop, heappush

from msgspec import Struct


class Place(Struct, frozen=True, order=True):
    """A run's place in the queue: higher priority first, then the order of ids, which is that of requests."""

    rank: int
    run: str
    job: str


class RunQueue:
    """Runs that wait for a slot. Slots are taken by `next` (or `take`) and given back by `release`."""

    def __init__(self, total: int, per_job: Mapping[str, int | None]) -> None:
        self._total = total
        self._per_job = per_job
        self._ready: list[Place] = []
        self._parked: dict[str, list[Place]] = defaultdict(list)  # Waiting for their own job's limit.
        self._gone: set[str] = set()
        self._busy: Counter[str] = Counter()
        self.running = 0
        self.waiting = 0

    def put(self, run: str, job: str, priority: int) -> None:
        """Queue a run."""
        heappush(self._ready, Place(-priority, run, job))
        self.waiting += 1

    def drop(self, run: str) -> None:
        """Forget a waiting run: it was cancelled."""
        self._gone.add(run)

    def take(self, job: str) -> None:
        """Count a run that is running already, whatever the limits say."""
        self._busy[job] += 1
        self.running += 1

    def next(self) -> str | None:
        """The run that may start now, with its slot taken; None while none may."""
        while self._ready and self.running < self._total:
            place = heappop(self._ready)
            if place.run in self._gone:
                self._gone.discard(place.run)
                self.waiting -= 1
            elif self._full(place.job):
                heappush(self._parked[place.job], place)
            else:
                self.waiting -= 1
                self.take(place.job)
                return place.run
        return None

    def release(self, job: str) -> None:
        """Give a slot back, and let the job's best waiting run compete again."""
        self._busy[job] -= 1
        self.running -= 1
        if self._parked[job]:
            heappush(self._ready, heappop(self._parked[job]))

    def _full(self, job: str) -> bool:
        limit = self._per_job.get(job)
        return limit is not None and self._busy[job] >= limit
