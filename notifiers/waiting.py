"""What waits to be sent, in memory: the front of each lane, fed from the database, chosen by the scheduler."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from notifiers.bell import Bell
from notifiers.channels import Channel, Editable
from notifiers.clock import Clock, to_us
from notifiers.database import Database
from notifiers.living import Ask, Later
from notifiers.noise import ASKED_FOR
from notifiers.store import Claimed, Result, Waiting
from notifiers.waiting_rows import load_destination, load_lane, load_waiting, recent_calls
from rules.event import Severity
from rules.lanes import Item, Lanes
from rules.noise import BUDGET, MINUTE_S
from rules.pacing import Window

log = logging.getLogger(__name__)

MEMORY_S = 120.0
"""Calls that ended this long ago still count after a restart; longer than any window that a channel declares."""

_LOOK_AGAIN_S = 1.0  # Where there is no room for an edit, and it is not known when there will be.

_NEWS = tuple(int(severity) for severity in Severity if severity < Severity.critical)


class WaitingRoom:
    """At most about `front` deliveries of each severity of each destination; the rest stays in the database.

    `bell` rings whenever the scheduler may have something new to say.
    """

    def __init__(
        self, database: Database, channels: Mapping[str, Channel], clock: Clock, *, per_channel: int, front: int
    ) -> None:
        self.bell = Bell(clock)
        self._database = database
        self._channels = channels
        self._editable = {name: channel for name, channel in channels.items() if isinstance(channel, Editable)}
        self._clock = clock
        self._per_channel = per_channel
        self._front = front
        self._lanes = Lanes()
        self._here: dict[str, Item] = {}
        self._counts: dict[tuple[str, int], int] = {}
        # Lanes with more in the database than here: True once something was left there since the last look.
        self._longer: dict[tuple[str, int], bool] = {}
        self._thin: set[tuple[str, int]] = set()
        self._paused: set[str] = set()
        # One call at a time to each destination.
        self._air: dict[str, Item] = {}
        self._sent: dict[str, deque[float]] = {}
        self._kept: dict[str, tuple[Window, ...]] = {}  # Room for an edit, of what is being claimed or called.
        self._edits: dict[str, set[str]] = {}  # What waits to be an edit, by destination.

    def __len__(self) -> int:
        """How many deliveries are here, those being sent included."""
        return len(self._here)

    def next(self) -> Item | float:
        """The delivery that goes now, or for how many seconds there is none unless the bell rings."""
        now = self._clock.monotonic()
        found = self._lanes.next(now)
        if isinstance(found, Item):
            self._air[found.destination] = found
            return found
        return found - now

    def in_the_air(self, destination: str) -> frozenset[str]:
        """What is being sent there."""
        item = self._air.get(destination)
        return frozenset() if item is None else frozenset({item.key})

    def news(self, destination: str) -> int:
        """How many messages wait for a destination beside what is being sent: neither critical, nor edits."""
        item, edits = self._air.get(destination), self._edits.get(destination, set())
        waiting = sum(self._counts.get((destination, severity), 0) for severity in _NEWS)
        return waiting - len(edits) - (item is not None and item.severity in _NEWS and item.key not in edits)

    def sent(self, destination: str) -> int:
        """How much news went there within the last minute, as far as that matters."""
        since = self._clock.monotonic() - MINUTE_S
        return sum(at > since for at in self._sent.get(destination, ()))

    def paced(self, destination: str) -> bool:
        """Whether its service takes only so much in a while."""
        return len(self._limits(destination)) > 2  # noqa: PLR2004 - two are ours

    @property
    def destinations(self) -> set[str]:
        """Everyone for whom something is here."""
        return {destination for destination, _ in self._counts}

    def admit(self, waiting: Iterable[Waiting]) -> None:
        """Take in pending deliveries, each once."""
        now_us, now = to_us(self._clock.now()), self._clock.monotonic()
        for one in waiting:
            lane = one.destination, one.severity
            if one.id in self._here or one.destination in self._paused:
                continue
            if lane in self._longer:
                self._longer[lane] = True
                continue
            due = now + max(0, one.next_attempt_at - now_us) / 1e6 if one.next_attempt_at is not None else now
            if one.error is not None and one.error.startswith("rate_limited"):
                self._hold(one.destination, due)
            self._put(one, due)
            if self._counts[lane] >= self._front:
                self._longer[lane] = True
        self.bell.ring()

    def _put(self, one: Waiting, due: float) -> None:
        windows = self._limits(one.destination)
        item = Item(
            key=one.id,
            destination=one.destination,
            severity=one.severity,
            seq=one.seq,
            windows=windows,
            not_before=due,
        )
        lane = one.destination, one.severity
        self._here[one.id] = item
        self._counts[lane] = self._counts.get(lane, 0) + 1
        self._lanes.put(item)

    def _limits(self, destination: str) -> tuple[Window, ...]:
        """The channel's limits; then two of ours: so many calls in the air for a channel, and one for a destination."""
        name, _, target = destination.partition(":")
        limits: tuple[Window, ...] = ()
        if name in self._channels:
            try:
                limits = tuple(self._channels[name].windows(target))
            except Exception as error:  # noqa: BLE001 - sending says what is wrong with the target, and records it
                log.warning("delivery.no_windows", extra={"destination": destination, "error": type(error).__name__})
        return (*limits, Window(f"/{name}", self._per_channel, 0.0), Window(f"/{destination}", 1, 0.0))

    async def look_anew(self, destination: str) -> None:
        """Many of its deliveries were changed by other hands: forget what is here, but what is being sent."""
        self._drop(destination)
        self.admit(await self._database.read(lambda conn: load_destination(conn, destination, self._front)))

    def ask(self, item: Item) -> Ask:
        """What to claim it with. As it may turn out to be an edit, room is kept for one; without room, it waits."""
        extra = tuple(window for window in self._edit_limits(item.destination) if window not in item.windows)
        now = self._clock.monotonic()
        free = self._lanes.pacer.earliest(extra, now)
        if free > now:
            wait = min(free - now, _LOOK_AGAIN_S)
            return Ask(item.key, to_us(self._clock.now()) + round(wait * 1e6))
        self._lanes.pacer.take(extra, now)
        self._kept[item.key] = extra
        return Ask(item.key)

    def _edit_limits(self, destination: str) -> Sequence[Window]:
        name, _, target = destination.partition(":")
        channel = self._editable.get(name)
        if channel is None:
            return ()
        try:
            return channel.edit_windows(target)
        except Exception:  # noqa: BLE001 - as with the limits of sending, which have said so
            return ()

    def called(self, item: Item, claimed: Claimed | Later | None) -> None:
        """Its call has ended, if there was one: from now on the service's windows run out."""
        now = self._clock.monotonic()
        kept = self._kept.pop(item.key, ())
        mine = (*item.windows[:-2], *kept)
        counts: Sequence[Window] = ()
        if isinstance(claimed, Claimed):
            counts = self._edit_limits(item.destination) if claimed.edits else item.windows[:-2]
            # What somebody asked for, or what changes a message, is no news.
            if item.severity in _NEWS and not claimed.edits and claimed.subscription not in ASKED_FOR:
                self._sent.setdefault(item.destination, deque(maxlen=BUDGET + 1)).append(now)
        self._lanes.done([window for window in mine if window in counts], now)
        self._lanes.undo([window for window in mine if window not in counts], now)
        self.bell.ring()

    def put_off(self, item: Item, at: int) -> None:
        """It was not tried, and goes after `at` (microseconds). Others of its lane need not wait for it."""
        now = self._clock.monotonic()
        self._leave(item)
        due = now + max(0, at - to_us(self._clock.now())) / 1e6 + 0.001
        self._return(replace(item, not_before=due, aside=True))
        if item.severity in _NEWS:
            self._edits.setdefault(item.destination, set()).add(item.key)
        self._lanes.done(item.windows[-2:], now)
        self.bell.ring()

    def settled(self, item: Item, result: Result | None) -> None:
        """What became of it is recorded; the destination's next may go. None: it was not ours to send."""
        now = self._clock.monotonic()
        self._leave(item)
        if result is not None and result.pause is not None:
            self.pause(item.destination)
        elif result is not None and result.destination != item.destination:
            self._drop(item.destination)
        elif result is not None and result.status == "pending":
            self._again(item, result, now)
        self._lanes.done(item.windows[-2:], now)
        self.bell.ring()

    def _again(self, item: Item, result: Result, now: float) -> None:
        due = now
        if result.next_attempt_at is not None:
            due += max(0, result.next_attempt_at - to_us(self._clock.now())) / 1e6
        if result.hold:
            self._hold(item.destination, due)
        self._return(replace(item, not_before=due, aside=result.aside))

    def _return(self, item: Item) -> None:
        lane = item.destination, item.severity
        self._here[item.key] = item
        self._counts[lane] = self._counts.get(lane, 0) + 1
        self._lanes.put(item)

    def _hold(self, destination: str, until: float) -> None:
        """Keep away from a destination, and from whoever shares its narrowest limit: a chat's other threads."""
        limits = self._limits(destination)
        self._lanes.hold(limits[-1].key, until)
        narrowest = min(limits[:-2], key=lambda window: window.limit, default=limits[-1])
        self._lanes.hold(narrowest.key, until)

    def _leave(self, item: Item) -> None:
        if self._air.get(item.destination) is item:
            del self._air[item.destination]
        if edits := self._edits.get(item.destination):
            edits.discard(item.key)
            if not edits:
                del self._edits[item.destination]
        if self._here.pop(item.key, None) is None:
            return
        lane = item.destination, item.severity
        self._counts[lane] -= 1
        if lane in self._longer and self._counts[lane] <= self._front // 2:
            self._thin.add(lane)
        if not self._counts[lane]:
            del self._counts[lane]

    def pause(self, destination: str) -> None:
        """Keep what is for a destination in the database."""
        self._paused.add(destination)
        self._drop(destination)

    def _drop(self, destination: str) -> None:
        for item in self._lanes.drop(destination, self._clock.monotonic()):
            self._leave(item)
        for lane in [lane for lane in self._longer if lane[0] == destination]:
            del self._longer[lane]
            self._thin.discard(lane)

    @property
    def thin(self) -> bool:
        """Whether a lane is nearly empty here while the database has more of it."""
        return bool(self._thin)

    async def refill(self) -> None:
        """Fetch more of the lanes that are thin."""
        while self._thin:
            lane = self._thin.pop()
            if lane not in self._longer:
                continue
            self._longer[lane] = False
            destination, severity = lane
            found = await self._database.read(
                partial(load_lane, destination=destination, severity=severity, limit=self._front)
            )
            left = self._longer.pop(lane, None)
            if left is None:
                continue  # It was dropped meanwhile.
            self.admit(found)
            if left or len(found) == self._front:
                self._longer[lane] = True
                if self._counts.get(lane, 0) <= self._front // 2:
                    self._thin.add(lane)

    async def reload(self, paused: Iterable[str]) -> None:
        """Take in whatever is pending in the database and not here; `paused` is who gets nothing."""
        self._paused = set(paused)
        self.admit(await self._database.read(lambda conn: load_waiting(conn, self._front)))

    async def recall(self, recovered: Iterable[str]) -> None:
        """At start: what an earlier process sent still counts; `recovered` is where it was sending when it ended."""
        now_us, now = to_us(self._clock.now()), self._clock.monotonic()
        calls = await self._database.read(partial(recent_calls, since=now_us - round(MEMORY_S * 1e6), now=now_us))
        for destination, ended, times in [*calls, *((one, now_us, 1) for one in recovered)]:
            at = now - max(0, now_us - ended) / 1e6
            for _ in range(times):
                # Whether it was an edit is not known: it counts as either.
                limits = {*self._limits(destination), *self._edit_limits(destination)}
                self._lanes.pacer.recall(limits, at, now)
                self._sent.setdefault(destination, deque(maxlen=BUDGET + 1)).append(at)
