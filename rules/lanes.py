"""Who goes next? Pending calls in lanes, chosen by severity and age, as far as the windows allow."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count
from math import inf

from msgspec import Struct, field

from rules.pacing import Pacer, Window


class Item(Struct, frozen=True, kw_only=True):
    """One pending call: `key` names it, `seq` is its age, `not_before` a time before which it must not go.

    Items of one destination and severity go in order of `seq`, and wait for the first of them; one that is
    `aside` lets the others pass. `windows` is what the call counts against.
    """

    key: str
    destination: str
    severity: int
    seq: int
    windows: tuple[Window, ...]
    not_before: float = -inf
    aside: bool = False


class _Lane(Struct, eq=False):
    """The items of one destination and severity. `stamp` tells the one valid entry in any heap from stale ones."""

    name: tuple[str, int, str]
    items: list[tuple[int, str, Item]] = field(default_factory=list)
    stamp: int = 0

    @property
    def head(self) -> Item:
        return self.items[0][2]


_Entry = tuple[int, int, int, _Lane]
"""(-severity, seq, stamp, lane): the smallest goes first. Stamps are unique, so lanes are never compared."""


class _Gate(Struct, eq=False):
    """A window that was found closed, the lanes waiting for it, and when to look again."""

    window: Window
    waiting: list[_Entry] = field(default_factory=list)
    alarm: float = inf


class Lanes:
    """The scheduler: highest severity first, then oldest, among everything that may go.

    A lane that may not go waits at the one gate that keeps it longest, so it is not looked at again before that
    gate opens, and a gate lets through as many as it has room for: a step costs O(log n) with any number of
    destinations, and a closed destination costs the others nothing.
    """

    def __init__(self, pacer: Pacer | None = None) -> None:
        self.pacer = pacer if pacer is not None else Pacer()
        self._lanes: dict[tuple[str, int, str], _Lane] = {}
        self._of: dict[str, set[tuple[str, int, str]]] = {}
        self._ready: list[_Entry] = []
        self._gates: dict[str, _Gate] = {}
        self._alarms: list[tuple[float, int, _Gate | None, _Lane | None]] = []
        self._stamps = count(1)
        self._size = 0

    def __len__(self) -> int:
        """How many items are pending."""
        return self._size

    def put(self, item: Item) -> None:
        """Add a pending item."""
        name = (item.destination, item.severity, item.key if item.aside else "")
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name)
            self._of.setdefault(item.destination, set()).add(name)
        heappush(lane.items, (item.seq, item.key, item))
        self._size += 1
        if lane.head is item:
            self._make_ready(lane)

    def next(self, now: float) -> Item | float:
        """The item that goes now, its windows taken, or the time at which to ask again (infinity: after a change).

        The caller says `done` for each of its windows, and puts an item that has to be tried again.
        """
        while True:
            self._sound(now)
            lane = self._best(self._ready)
            if lane is None:
                return self._next_alarm()
            item = lane.head
            if not self._rest(lane, now):
                heappop(lane.items)
                self._size -= 1
                self.pacer.take(item.windows, now)
                self._look_again(item.windows, now)
                if lane.items:
                    self._make_ready(lane)
                else:
                    self._forget(lane)
                return item

    def done(self, windows: Iterable[Window], now: float) -> None:
        """A call ended, as far as these windows are concerned."""
        windows = tuple(windows)
        self.pacer.done(windows, now)
        self._look_again(windows, now)

    def undo(self, windows: Iterable[Window], now: float) -> None:
        """A call was not made after all, as far as these windows are concerned."""
        windows = tuple(windows)
        self.pacer.undo(windows)
        self._look_again(windows, now)

    def hold(self, key: str, until: float) -> None:
        """Let nothing that counts against this key go before `until`."""
        self.pacer.hold(key, until)

    def drop(self, destination: str, now: float) -> list[Item]:
        """Take out and return everything pending for a destination."""
        dropped: list[Item] = []
        for name in list(self._of.get(destination, ())):
            lane = self._lanes[name]
            items = [item for _, _, item in sorted(lane.items, key=lambda entry: entry[:2])]
            lane.items.clear()
            lane.stamp = next(self._stamps)
            self._forget(lane)
            # It may have been let through a gate: its place is another's.
            self._look_again(items[0].windows, now)
            dropped.extend(items)
        self._size -= len(dropped)
        return dropped

    def _make_ready(self, lane: _Lane) -> None:
        self._enter(self._ready, lane)

    def _enter(self, heap: list[_Entry], lane: _Lane) -> None:
        lane.stamp = next(self._stamps)
        head = lane.head
        heappush(heap, (-head.severity, head.seq, lane.stamp, lane))

    @staticmethod
    def _best(heap: list[_Entry]) -> _Lane | None:
        while heap:
            _, _, stamp, lane = heappop(heap)
            if lane.stamp == stamp:
                return lane
        return None

    def _rest(self, lane: _Lane, now: float) -> bool:
        """Put a lane that may not go where it will be found when it may. False: it may go."""
        head = lane.head
        if head.not_before > now:
            lane.stamp = next(self._stamps)
            heappush(self._alarms, (head.not_before, lane.stamp, None, lane))
            self._look_again(head.windows, now)
            return True
        closed = max(head.windows, key=lambda window: self.pacer.free_at(window, now), default=None)
        if closed is None or self.pacer.free_at(closed, now) <= now:
            return False
        gate = self._gates.get(closed.key)
        if gate is None:
            gate = self._gates[closed.key] = _Gate(closed)
        self._enter(gate.waiting, lane)
        # At its other windows it may have been let through: somebody else may go there now. At this one it
        # sets the alarm.
        self._look_again(head.windows, now)
        return True

    def _look_again(self, windows: Iterable[Window], now: float) -> None:
        """Set the alarm of each gate at these windows for when it has room."""
        for window in windows:
            gate = self._gates.get(window.key)
            if gate is not None:
                at = self.pacer.free_at(window, now)
                if at < gate.alarm:
                    gate.alarm = at
                    heappush(self._alarms, (at, next(self._stamps), gate, None))

    def _sound(self, now: float) -> None:
        while self._alarms and self._alarms[0][0] <= now:
            at, stamp, gate, lane = heappop(self._alarms)
            if gate is not None and gate.alarm == at:
                self._open(gate, now)
            elif lane is not None and lane.stamp == stamp:
                self._make_ready(lane)

    def _open(self, gate: _Gate, now: float) -> None:
        gate.alarm = inf
        for _ in range(self.pacer.room(gate.window, now)):
            lane = self._best(gate.waiting)
            if lane is None:
                del self._gates[gate.window.key]
                return
            self._make_ready(lane)
        if self.pacer.free_at(gate.window, now) > now:
            self._look_again((gate.window,), now)

    def _next_alarm(self) -> float:
        while self._alarms:
            at, stamp, gate, lane = self._alarms[0]
            if (gate is not None and gate.alarm == at) or (lane is not None and lane.stamp == stamp):
                return at
            heappop(self._alarms)
        return inf

    def _forget(self, lane: _Lane) -> None:
        del self._lanes[lane.name]
        names = self._of[lane.name[0]]
        names.discard(lane.name)
        if not names:
            del self._of[lane.name[0]]
