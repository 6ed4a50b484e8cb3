"""What the owner is told of deliveries that do not arrive: an event, and deliveries of it by another way."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, select

from notifiers.bus.embedded import append
from notifiers.clock import Clock, to_us
from notifiers.fanout import insert_deliveries, new_delivery
from notifiers.tables import events
from rules.event import Event, Severity

SOURCE = "sensord:deliveries"
QUIET_S = 600.0
"""The owner is told of one destination's undelivered messages at most this often; each is listed all the same."""


class Notice(Struct, frozen=True):
    """An event about deliveries, and where it goes beside its topic: (delivery id, subscription, destination)."""

    event: Event
    to: tuple[tuple[str, str, str], ...]


def about_deliveries(event: Event) -> bool:
    """Whether an event is itself such a notice, or stands for an answer in a chat: of these nobody is told.

    So nothing feeds itself, and whoever asked can ask again.
    """
    return event.source == SOURCE or event.type == "chat.answer"


def post(conn: Connection, notice: Notice) -> None:
    """Publish the notice and its own deliveries as part of the caller's transaction."""
    append(conn, [notice.event])
    seq = conn.scalar(select(events.c.seq).where(events.c.id == notice.event.id)) or 0
    now_us = to_us(notice.event.time)
    insert_deliveries(
        conn,
        [
            new_delivery(one, notice.event, seq, subscription=name, destination=to, now_us=now_us)
            for one, name, to in notice.to
        ],
    )


def ways_to(destination: str | None, *, has_inbox: bool) -> tuple[tuple[str, str], ...]:
    """Where the owner is told, beside the topic: what stands for a subscription there, and the destination."""
    ways = [("owner", destination)] if destination else []
    return tuple(ways + ([("inbox", "inbox:")] if has_inbox and destination != "inbox:" else []))


class Owner:
    """Makes notices: once for each destination and kind of trouble in a while, and never about a notice."""

    def __init__(self, destination: str | None, clock: Clock, has_inbox: bool) -> None:
        self._ways = list(ways_to(destination, has_inbox=has_inbox))
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}

    def paused(self, event: Event, destination: str, reason: str) -> Notice | None:
        """The destination gets nothing more; what is for it waits."""
        text = f"{destination} gets no messages any more: {reason}"
        hint = f"What is for it waits. Once it is well again: sensord deliveries resume {destination}"
        return self._notice("paused", event, destination, text, hint, reason)

    def undelivered(self, event: Event, destination: str, delivery: str, reason: str) -> Notice | None:
        """A message ended without being delivered for certain; quiet about more of the same for a while."""
        now = self._clock.monotonic()
        self._told = {key: until for key, until in self._told.items() if until > now}
        if ("undelivered", destination) in self._told:
            return None
        text = f"A message for {destination} did not arrive, as far as is known: {reason}"
        notice = self._notice("undelivered", event, destination, text, f"It is delivery {delivery}.", reason, delivery)
        if notice is not None:
            self._told["undelivered", destination] = now + QUIET_S
        return notice

    def template(self, where: str, reason: str) -> Notice | None:
        """A team's own template is broken, and ours is in its place. Whoever says so says it once."""
        text = f"The template {where} is broken, and the built-in one stands in for it: {reason}"
        about = Event(id="", type="template", topic="deliveries.template", time=self._clock.now())
        return self._notice("template", about, where, text, "sensord check shows what is wrong in templates.", reason)

    def _notice(
        self, what: str, event: Event, destination: str, text: str, hint: str, reason: str, delivery: str | None = None
    ) -> Notice | None:
        if about_deliveries(event):
            return None
        told = Event(
            id=self._clock.new_id(),
            type="message",
            topic=f"deliveries.{what}",
            time=self._clock.now(),
            source=SOURCE,
            severity=Severity.error,
            message=text,
            subject=destination,
            data={
                "destination": destination,
                "hint": hint,
                "reason": reason,
                "delivery": delivery,
                "event": event.id or None,
            },
        )
        ways = [(self._clock.new_id(), name, to) for name, to in self._ways if to != destination]
        return Notice(told, tuple(ways))
