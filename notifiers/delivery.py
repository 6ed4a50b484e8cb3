"""Deliveries, from the event log to the receipt: route → claim → render → pace → send → record.

Rows are the truth, and everything in memory can be made again from them. The order of the commits is what keeps
the promise: an event is routed in the transaction that moves the cursor over it; a try is counted before it is
made; a receipt is recorded before the destination's next message goes. A crash leaves at most one message of each
destination in doubt, and such a one is sent once more, marked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace
from sqlalchemy import Connection

from notifiers.backlog import Backlog
from notifiers.bell import Bell
from notifiers.bursts import Bursts
from notifiers.channels import Channel, Editable
from notifiers.clock import SYSTEM, Clock, to_us
from notifiers.database import Database, Op
from notifiers.held import Taking, take
from notifiers.holding import Holding
from notifiers.living import Later, Living, shows_failure
from notifiers.message import Message
from notifiers.noise import Held
from notifiers.outcomes import Patience
from notifiers.owner import Owner
from notifiers.reading import ENGLISH, Reader
from notifiers.reading.templates import NOTHING, Own
from notifiers.reading.tongues import Tongues, post_notices
from notifiers.recoveries import Recoveries
from notifiers.routing import Routing
from notifiers.sending import Sending
from notifiers.store import Claimed, Result, Waiting, claim, requeue, resume
from notifiers.waiting import WaitingRoom
from rules.event import Event
from rules.lanes import Item

LOOK_S = 2.0
"""The event log is looked at this often, whether or not anybody rang."""

GATHER_S, MANY, GATHER_MANY_S = 0.01, 10, 0.03
"""Events that follow close upon others gather for this long, so that a burst is routed in few transactions; after
many at once the next ones gather longer."""


class Delivery:
    """Tells everyone subscribed of every event: at least once, in order, and with no limit exceeded."""

    def __init__(
        self,
        database: Database,
        routing: Routing,
        waiting: WaitingRoom,
        sending: Sending,
        living: Living,
        clock: Clock,
        *,
        bursts: Bursts,
        tongues: Tongues,
        base_url: str | None = None,
    ) -> None:
        self._database = database
        self._routing = routing
        self._waiting = waiting
        self._sending = sending
        self._clock = clock
        self._living = living
        self._tongues = tongues
        tongues.readers = lambda: routing.directory.readers
        self._recoveries = Recoveries(database, clock, waiting.admit)
        routing.also_wants(self._recoveries.wants)
        self._events = Bell(clock)
        self._holding = Holding(
            database,
            clock,
            routing,
            waiting,
            bursts,
            refresh=self._take_in,
            voice=tongues.of_digest,
            base_url=base_url,
        )
        self._backlog = Backlog(database, clock, routing, waiting.admit)
        self._calls: set[anyio.CancelScope] = set()
        self._idle = Bell(clock)

    def wake(self) -> None:
        """There may be new events. A hint: they are found without it, a little later."""
        self._events.ring()

    async def run(self, *, drain: float = 0.0) -> None:
        """Deliver until cancelled; then let the calls in the air end and be recorded, for `drain` seconds at most."""
        recovered = await self._database.write(self._living.recover, to_us(self._clock.now()))
        await self._routing.reload()
        await self._waiting.recall(recovered)
        await self._waiting.reload(self._routing.directory.paused)
        await self._recoveries.open()
        await self._holding.calm(self._waiting.destinations)
        self._tongues.templates.told_now()
        await self._tell_of_templates()
        if self._tongues.to_warm():
            await anyio.to_thread.run_sync(self._tongues.warm)
        async with anyio.create_task_group() as calls:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._route)
                    tasks.start_soon(self._backlog.run)
                    tasks.start_soon(self._holding.run)
                    tasks.start_soon(self._dispatch, calls)
            finally:
                await self._drain(drain)

    def catch_up(self) -> None:
        """There may be a new subscription that is to be told of the past."""
        self._backlog.ring()

    async def _route(self) -> None:
        """Event → deliveries, in the order of events."""
        while True:
            routed, waiting = await self._routing.step()
            self._waiting.admit(waiting)
            await self._holding.calm({one.destination for one in waiting})
            if self._routing.holds or (routed and self._routing.directory.noise.awaits_success):
                self._holding.ring()
            await self._recoveries.routed(self._routing.topics)
            if routed:
                await self._clock.sleep(GATHER_S if routed < MANY else GATHER_MANY_S)
            else:
                await self._events.wait(LOOK_S)

    async def _dispatch(self, calls: TaskGroup) -> None:
        """Pace: whoever may go, goes; one call at a time to each destination, many destinations at once."""
        while True:
            if self._waiting.thin:
                await self._waiting.refill()
            found = self._waiting.next()
            if isinstance(found, Item):
                calls.start_soon(self._deliver, found)
            else:
                await self._waiting.bell.wait(found)

    async def _deliver(self, item: Item) -> None:
        """Claim → render → send → record. Not stopped half-way but by `_drain`: what is out shall be recorded."""
        with anyio.CancelScope(shield=True) as call:
            self._calls.add(call)
            try:
                noise, edits = self._routing.directory.noise, self._living.edits(item.destination)
                asked = Taking(self._waiting.ask(item), noise, self._clock.now(), edits)
                claimed = await self._database.write(self._take, asked)
                if isinstance(claimed, Later):
                    self._waiting.called(item, claimed)
                    self._waiting.put_off(item, claimed.at)
                    return
                if not isinstance(claimed, Claimed):
                    self._waiting.called(item, None)
                    self._waiting.settled(item, None)
                    self._holding.ring()
                    return
                result = await self._sending.attempt(replace(claimed, reader=self._tongues.reader(claimed)))
                await self._tell_of_templates()
                self._waiting.called(item, claimed)
                recorded = await self._database.write(self._living.record, result)
                self._waiting.settled(item, result if recorded else None)
                if recorded:
                    await self._follow(result)
            finally:
                self._calls.discard(call)
                self._idle.ring()

    def _take(self, conn: Connection, batch: Sequence[Taking]) -> Sequence[Claimed | Held | Later | None]:
        """What is to wait by what holds now is held; the rest is claimed."""
        return take(conn, batch, self._living.claim)

    async def _follow(self, result: Result) -> None:
        """See to what a recorded try changed beside itself."""
        if result.changes_more_than_itself:
            await self.refresh()
        if (job := shows_failure(result)) is not None:
            await self._recoveries.failed(job)

    def expect(self, waiting: Iterable[Waiting]) -> None:
        """Deliveries were made by other hands: send them, without a look at all the others."""
        self._waiting.admit(waiting)

    async def _tell_of_templates(self) -> None:
        """The owner is told of what is broken in the templates, once for each place and reason."""
        while (notice := self._tongues.trouble()) is not None:
            self._waiting.admit(await self._database.write(post_notices, notice))

    async def refresh(self) -> None:
        """Take in what changed in the database by other hands: replays, resumed and moved destinations."""
        await self._take_in()
        self._holding.ring()

    async def _take_in(self) -> None:
        await self._routing.reload()
        await self._waiting.reload(self._routing.directory.paused)
        await self._holding.calm(self._waiting.destinations)

    async def resume(self, destination: str) -> bool:
        """Send to a paused destination again, first what waited. False: it was not paused."""
        resumed = await self._database.write(resume, (destination, to_us(self._clock.now())))
        await self.refresh()
        return resumed

    def channel(self, destination: str) -> Channel:
        """The channel that sends to a destination. ValueError: it is not configured."""
        name = destination.partition(":")[0]
        if (found := self._sending.channels.get(name)) is None:
            raise ValueError(f"{name} is not configured; add its section to sensord.yaml")
        return found

    async def replay_event(self, event_id: str) -> list[str]:
        """Tell everyone subscribed now of an event again; the new deliveries' ids. ValueError: no such event."""
        waiting = await self._routing.replay(event_id)
        self._waiting.admit(waiting)
        return [one.id for one in waiting]

    async def replay_delivery(self, delivery_id: str) -> bool:
        """Try a dead, uncertain or suppressed delivery again. False: there is no such delivery in such a state."""
        requeued = await self._database.write(requeue, delivery_id)
        await self.refresh()
        return requeued

    async def _drain(self, seconds: float) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(seconds):
            while self._calls:
                await self._idle.wait()
        for call in list(self._calls):
            call.cancel()


@asynccontextmanager
async def open_delivery(
    database: Database,
    channels: Mapping[str, Channel],
    *,
    clock: Clock = SYSTEM,
    owner: str | None = None,
    base_url: str | None = None,
    patience: Patience | None = None,
    per_channel: int = 64,
    front: int = 500,
    wording: Callable[[Event], Message] | None = None,
    random: Random | None = None,
    claiming: Op[str, Claimed | None] = claim,
    living: Collection[str] | None = None,
    digested: Collection[str] = (),
    own: Own = NOTHING,
    reader: Reader = ENGLISH,
    environment: str = "",
) -> AsyncIterator[Delivery]:
    """A Delivery whose `run` is to be started.

    `owner` is a destination that is told of what does not arrive; `per_channel` is how many calls may be in the
    air for one channel; `front` is about how many deliveries of one severity of one destination are in memory.
    `claiming` is how deliveries are claimed: `notifiers.store.claim`, or what puts buttons on their messages with it.
    `living` are the channels where a run is one message that changes; by default those that can edit. `digested` are
    the channels on which a destination that is told too much at once is told in digests. `own` are a team's templates,
    and `reader` is who reads where nothing is said about that; `wording` says every event in its own way instead.
    `environment` stands before the title of every message, where it has a name.
    """
    told = Owner(owner, clock, has_inbox="inbox" in channels)
    tongues = Tongues(told, own=own, reader=reader, base_url=base_url, wording=wording, environment=environment)
    sending = Sending(
        channels,
        tongues.voice,
        clock=clock,
        patience=patience or Patience(),
        owner=told,
        random=random or Random(),
    )
    waiting = WaitingRoom(database, channels, clock, per_channel=per_channel, front=front)
    bursts = Bursts(digested)
    editable = {name for name, channel in channels.items() if isinstance(channel, Editable)}
    lives = Living(editable if living is None else editable & set(living), clock, claiming)
    routing = Routing(database, clock, bursts, lives.edits)
    yield Delivery(database, routing, waiting, sending, lives, clock, bursts=bursts, tongues=tongues, base_url=base_url)
