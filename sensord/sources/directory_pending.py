"""What must be looked at again: alarms, files that are not whole yet, files that wait for their done file."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

import anyio
from msgspec import Struct

from notifiers.clock import Clock
from sensord.sources.directory_ready import Finding, Verdict, Version
from sensord.sources.directory_tree import Folder

# A file that is held open for long is asked about ever less often, but at least this often.
_RARELY = 30.0
_OFTEN = 0.1
# Sums of floats: a wait of exactly `settle` must count as one.
_EPSILON = 1e-6

Again = Callable[[Folder, bytes], None]


class Alarms:
    """Calls to be made later. While none is set, nothing ticks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._sooner = anyio.Event()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Make this call once, so many seconds from now."""
        due = self._clock.monotonic() + seconds
        if not self._heap or due < self._heap[0][0]:
            self._sooner.set()
        heapq.heappush(self._heap, (due, next(self._numbers), call))

    def clear(self) -> None:
        """Make none of the calls."""
        self._heap.clear()

    async def run(self) -> None:
        """Make the calls, each when it is due, until cancelled."""
        while True:
            if self._sooner.is_set():
                self._sooner = anyio.Event()
            now = self._clock.monotonic()
            while self._heap and self._heap[0][0] <= now:
                heapq.heappop(self._heap)[2]()
            await self._wait(self._heap[0][0] - now if self._heap else None)

    async def _wait(self, seconds: float | None) -> None:
        if seconds is None:
            await self._sooner.wait()
            return
        async with anyio.create_task_group() as race:

            async def ring() -> None:
                await self._clock.sleep(seconds)
                race.cancel_scope.cancel()

            race.start_soon(ring)
            await self._sooner.wait()
            race.cancel_scope.cancel()


class Waiting(Struct):
    """One file that is not whole yet; `since` is when this version of it was first seen."""

    folder: Folder
    name: bytes
    version: Version
    since: float
    verdict: Verdict
    due: float = 0.0


class Pending:
    """Files that are not whole yet, by their path below the watched folder."""

    def __init__(self, clock: Clock, alarms: Alarms, again: Again, settle: float) -> None:
        self._clock = clock
        self._alarms = alarms
        self._again = again
        self._settle = settle
        self._files: dict[bytes, Waiting] = {}
        self._beside: dict[tuple[Folder, bytes], set[bytes]] = {}
        self._next = math.inf

    def get(self, relative: bytes) -> Waiting | None:
        """The file of this path, if it is not whole yet."""
        return self._files.get(relative)

    def unchanged(self, relative: bytes, version: Version | None) -> float:
        """For how many seconds this version was seen to stay as it is."""
        waiting = self._files.get(relative)
        if waiting is None or waiting.version != version:
            return 0.0
        return self._clock.monotonic() - waiting.since + _EPSILON

    def wait(self, finding: Finding, version: Version, verdict: Verdict) -> None:
        """Have this file looked at again: when it has settled, or from time to time while it is held open."""
        now = self._clock.monotonic()
        relative = finding.folder.below(finding.name)
        former = self._files.get(relative)
        since = former.since if former and former.version == version else now
        if verdict == "settling":
            delay = max(since + self._settle - now, 0.0)
        else:
            held = now - former.since if former else 0.0
            delay = min(max(held / 2, self._settle, _OFTEN), _RARELY)
        self._files[relative] = Waiting(finding.folder, finding.name, version, since, verdict, now + delay)
        self._ring_after(delay)

    def wait_beside(self, folder: Folder, done: bytes, name: bytes) -> None:
        """Have this file looked at again when its done file comes."""
        self._files.pop(folder.below(name), None)
        self._beside.setdefault((folder, done), set()).add(name)

    def came(self, folder: Folder, done: bytes) -> set[bytes]:
        """The files that waited for this one."""
        return self._beside.pop((folder, done), set())

    def drop(self, folder: Folder, name: bytes, done: bytes | None = None) -> None:
        """Wait no longer for this file."""
        self._files.pop(folder.below(name), None)
        if done is not None and (names := self._beside.get((folder, done))):
            names.discard(name)
            if not names:
                del self._beside[folder, done]

    def prune(self) -> None:
        """Wait for nothing in folders that are gone."""
        self._beside = {key: names for key, names in self._beside.items() if not key[0].gone}

    def clear(self) -> None:
        """Wait for none."""
        self._files.clear()
        self._next = math.inf
        self._beside.clear()

    def _ring_after(self, seconds: float) -> None:
        """One alarm for all: most files are closed, and so dropped, long before it rings."""
        due = self._clock.monotonic() + max(seconds, _OFTEN)
        if due < self._next - _OFTEN:
            self._next = due
            self._alarms.after(max(seconds, _OFTEN), lambda: self._ring(due))

    def _ring(self, due: float) -> None:
        if due != self._next:
            return  # Another alarm was set for an earlier time, and has taken care.
        self._next = math.inf
        now = self._clock.monotonic() + _EPSILON
        soonest = math.inf
        for waiting in list(self._files.values()):
            if waiting.due <= now:
                self._again(waiting.folder, waiting.name)
            else:
                soonest = min(soonest, waiting.due)
        if soonest < math.inf:
            self._ring_after(soonest - now)
