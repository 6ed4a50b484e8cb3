"""Events are routed in their order, by the subscriptions as they are in the database at that moment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, func, select

from notifiers.bursts import WHY, Bursts
from notifiers.bus.embedded import from_row
from notifiers.clock import Clock, to_us
from notifiers.database import Database
from notifiers.failures import failures_before
from notifiers.fanout import Routed, Unrouted, commit_routed, insert_deliveries, new_deliveries, read_unrouted
from notifiers.living import only_edits
from notifiers.noise import BURST, NO_OPTIONS, SCHEDULE, Held
from notifiers.store import Waiting
from notifiers.subscriptions import Directory, load_directory
from notifiers.tables import deliveries, events
from rules.event import Event
from rules.living import state_of
from rules.noise import FAILURES, passes
from rules.routing import Router, Subscription, Verdict, compile_where

log = logging.getLogger(__name__)

NO_PROGRESS = "progress is shown where a message can be changed, and told to subscriptions to *.progress"


class Known(Struct, frozen=True):
    """The subscriptions as of one version. Replaced as a whole, never changed: what waits half-way keeps its own."""

    directory: Directory
    router: Router
    since: Mapping[str, int]
    """By subscription, the event after which it holds."""


class Routing:
    """Makes deliveries of events. The same events and subscriptions make the same deliveries, whenever it runs."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bursts: Bursts | None = None,
        edits: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`edits` says of a destination whether messages can be changed there."""
        self._database = database
        self._clock = clock
        self._bursts = bursts or Bursts()
        self.holds = False  # Whether the last step made deliveries that are held.
        self._edits = edits
        self._also_wants: Callable[[Iterable[str]], bool] = lambda _: False
        self.topics: Sequence[str] = ()
        self._known = Known(Directory(-1, (), {}, frozenset()), Router(), {})

    @property
    def directory(self) -> Directory:
        """The subscriptions and destinations as they were read last."""
        return self._known.directory

    async def step(self) -> tuple[int, list[Waiting]]:
        """Route what is next: how many events that was, and what is to be sent because of them."""
        self.topics = ()
        known = self._known
        unrouted = await self._read(known)
        if unrouted.version != known.directory.version:
            await self.reload()
            known = self._known
            unrouted = await self._read(known)
        if not unrouted.count:
            return 0, []
        now_us = to_us(self._clock.now())
        rows: list[dict[str, Any]] = []
        for seq, event in unrouted.events:
            verdicts = self._where_it_fits(event, _route(known, event, seq))
            verdicts = await self._patiently(known, event, seq, verdicts)
            made = new_deliveries(
                event, seq, verdicts, directory=known.directory, new_id=self._clock.new_id, now_us=now_us
            )
            rows += [await self._held(known, event, row) for row in made]
        routed = Routed(
            cursor=unrouted.cursor,
            upto=unrouted.upto,
            version=known.directory.version,  # Not what is known by now: others may have read it anew meanwhile.
            deliveries=tuple(rows),
        )
        # Where nobody is to be told, nobody waits either.
        if not await self._database.write(commit_routed, routed, patient=not rows):
            return unrouted.count, []  # The subscriptions changed meanwhile: the next step does it again.
        self.holds = any(row["status"] == "held" for row in rows)
        self.topics = [event.topic for _, event in unrouted.events]
        return unrouted.count, [_waiting(row) for row in rows if row["status"] == "pending"]

    def also_wants(self, wants: Callable[[Iterable[str]], bool]) -> None:
        """Events on these topics are read even where nobody is to be told; `topics` has those of the last step."""
        self._also_wants = wants

    def _where_it_fits(self, event: Event, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
        """Progress is for messages that change, and for whoever asked for it by name."""
        if state_of(event) != "progress":
            return verdicts
        return [
            one
            if one.reason or one.subscription.topic.endswith(".progress") or self._edits(one.subscription.destination)
            else Verdict(one.subscription, NO_PROGRESS)
            for one in verdicts
        ]

    async def _read(self, known: Known) -> Unrouted:
        def wants(topics: Iterable[str]) -> bool:
            return known.router.wants(topics) or self._also_wants(topics)

        return await self._database.read(lambda conn: read_unrouted(conn, wants))

    async def reload(self) -> None:
        """Read the subscriptions anew. Of several that read at once, what is newest stays, whoever ends last."""
        directory = await self._database.read(load_directory)
        if directory.version < self.directory.version:
            return
        router = Router()
        for row in directory.subscriptions:
            try:
                router.add(_subscription(row))
            except ValueError as error:
                # Both ways in check what they let in, so this was written by another version of the program.
                log.error("subscription.unusable", extra={"subscription": row["id"], "error": str(error)})  # noqa: TRY400 - no bug of ours
        self._known = Known(directory, router, {row["id"]: row["since_seq"] for row in directory.subscriptions})

    async def replay(self, event_id: str) -> list[Waiting]:
        """Tell everyone subscribed now of an event again, whenever it was. ValueError: no such event."""
        await self.reload()
        row = await self._database.read(lambda conn: _event_row(conn, event_id))
        if row is None:
            raise ValueError(f"there is no event {event_id!r}; it may have been old enough to be deleted")
        event, known = from_row(row), self._known
        verdicts = [verdict for verdict in known.router.route(event) if verdict.reason is None]
        rows = new_deliveries(
            event,
            row["seq"],
            verdicts,
            directory=known.directory,
            new_id=self._clock.new_id,
            now_us=to_us(self._clock.now()),
        )
        return [_waiting(row) for row in await self._database.write_many(insert_replays, rows)]

    async def _held(self, known: Known, event: Event, row: dict[str, Any]) -> dict[str, Any]:
        """A new delivery as it is, or held: by a mute, quiet hours, a digest's time, or because there is too much.

        What changes a message that is there notifies nobody, so neither mutes nor quiet hours hold it.
        """
        if row["status"] != "pending":
            return row
        to, noise = row["destination"], known.directory.noise
        why = noise.why(event, row["subscription"], to, self._clock.now()) if noise.any else None
        if why is not None and why.by != SCHEDULE and self._edits(to):
            edits = await self._database.read(partial(only_edits, event=event, destination=to))
            why = None if edits else why
        if why is None and not passes(event.severity) and (until := self._bursts.holds(to, row["severity"])):
            why = Held(until, BURST, WHY)
        if why is None:
            return row
        return {**row, "status": "held", "held_by": why.by, "next_attempt_at": why.until, "error": why.why}

    async def _patiently(
        self, known: Known, event: Event, seq: int, verdicts: Sequence[Verdict], without: frozenset[str] = frozenset()
    ) -> Sequence[Verdict]:
        """With a reason for each subscription that wants to hear of several failures in a row, and not of this one.

        It must not stand in another's way to the same destination.
        """
        options = known.directory.noise.options
        if event.type not in FAILURES or not options:
            return verdicts
        early: list[Verdict] = []
        for verdict in verdicts:
            wanted = options.get(verdict.subscription.id, NO_OPTIONS).after
            if verdict.reason is None and wanted > 1:
                count = await self._database.read(partial(failures_before, event=event, seq=seq, most=wanted))
                if count < wanted:
                    reason = f"failure {count} in a row; told after {wanted}"
                    early.append(Verdict(verdict.subscription, reason))
        if not early:
            return verdicts
        without |= {verdict.subscription.id for verdict in early}
        others = await self._patiently(known, event, seq, _route(known, event, seq, without), without)
        return [*others, *early]


def _route(known: Known, event: Event, seq: int, without: frozenset[str] = frozenset()) -> Sequence[Verdict]:
    try:
        verdicts = known.router.route(event, without)
        # Those that came after the event must not stand in another's way to the same destination either.
        early = {one.subscription.id for one in verdicts if known.since[one.subscription.id] >= seq}
        return known.router.route(event, without | early) if early else verdicts
    except ValueError as error:
        # Whoever publishes checks the topic; one bad event must not keep all later ones from being told.
        log.error("event.unroutable", extra={"event_id": event.id, "error": str(error)})  # noqa: TRY400 - no bug of ours
        return []


def insert_replays(conn: Connection, batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Insert deliveries beside those that their event and subscription have already."""
    rows: list[dict[str, Any]] = []
    for row in batch:
        same = (deliveries.c.event == row["event"]) & (deliveries.c.subscription == row["subscription"])
        last = conn.scalar(select(func.max(deliveries.c.replay)).where(same))
        rows.append({**row, "replay": 0 if last is None else last + 1})
    insert_deliveries(conn, rows)
    return rows


def _event_row(conn: Connection, event_id: str) -> Mapping[str, Any] | None:
    row = conn.execute(select(events).where(events.c.id == event_id)).mappings().first()
    return None if row is None else dict(row)


def _subscription(row: Mapping[str, Any]) -> Subscription:
    return Subscription(row["id"], row["topic"], row["destination"], compile_where(row["where"]))


def _waiting(row: Mapping[str, Any]) -> Waiting:
    return Waiting(row["id"], row["destination"], row["severity"], row["event_seq"])
