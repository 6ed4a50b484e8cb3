"""An event: which subscriptions are told, and why the others are not."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import attrgetter

from msgspec import Struct

from rules.conditions import EVERYTHING, Where, compile_where
from rules.event import Event
from rules.matching import Patterns
from rules.phrases import phrase
from rules.topics import check_pattern, matches

__all__ = ["EVERYTHING", "Router", "Subscription", "Verdict", "Where", "compile_where", "explain"]


class Subscription(Struct, frozen=True, gc=False):
    """Events of topics that the pattern `topic` takes, and that meet `where`, are told to the destination."""

    id: str
    topic: str
    destination: str
    where: Where = EVERYTHING


class Verdict(Struct, frozen=True, gc=False):
    """What becomes of an event for a subscription to its topic: `reason` None is delivery, else why not."""

    subscription: Subscription
    reason: str | None


_id_of = attrgetter("id")


class Router:
    """Every subscription there is, found by topic."""

    __slots__ = ("_subscriptions", "_topics")

    def __init__(self) -> None:
        self._subscriptions: dict[str, Subscription] = {}
        self._topics: Patterns[Subscription] = Patterns(key=_id_of)

    def __len__(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    def add(self, subscription: Subscription) -> None:
        """Take a subscription in, in place of one with the same id. ValueError: its topic is no pattern."""
        check_pattern(subscription.topic)
        self.remove(subscription.id)
        self._subscriptions[subscription.id] = subscription
        self._topics.add(subscription.topic, subscription)

    def remove(self, id: str) -> None:  # noqa: A002 - the word that the whole product uses
        """Let go of a subscription; one that is not there is gone already."""
        subscription = self._subscriptions.pop(id, None)
        if subscription is not None:
            self._topics.remove(subscription.topic, subscription)

    def wants(self, topics: Iterable[str]) -> bool:
        """Whether `route` may say anything of an event on these topics: a verdict, or that one of them is none."""
        try:
            return any(self._topics.match(topic) for topic in topics)
        except ValueError:
            return True

    def route(self, event: Event, without: Collection[str] = ()) -> list[Verdict]:
        """One verdict for each subscription to a topic of the event, in order of their ids.

        Those whose ids are in `without` are left out, as if they had not been added. A destination is told once: by
        the first subscription, in that order, that leads to it and has no objection. ValueError: one of the event's
        topics is none.
        """
        topics = event.topics
        found = self._topics.match(topics[0])
        if len(topics) > 1:
            both = {one.id: one for one in (*found, *self._topics.match(topics[1]))}
            found = sorted(both.values(), key=_id_of)
        if without:
            found = [one for one in found if one.id not in without]
        told: dict[str, str] = {}
        verdicts: list[Verdict] = []
        judged: dict[int, str | None] = {}  # Who asks for the same often shares one Where.
        for subscription in found:
            where = subscription.where
            if where is EVERYTHING:
                reason = None
            elif (place := id(where)) in judged:
                reason = judged[place]
            else:
                reason = judged[place] = where.why_not(event)
            if reason is None:
                destination = subscription.destination
                first = told.setdefault(destination, subscription.id)
                if first != subscription.id:
                    reason = f"{destination} is already told by subscription {first}"
            verdicts.append(Verdict(subscription, reason))
        return verdicts


def explain(event: Event, subscription: Subscription) -> str:
    """What this subscription, were it the only one, makes of the event, in words; of any topic."""
    topics = event.topics
    if not any(matches(subscription.topic, topic) for topic in topics):
        if len(topics) > 1:
            first, second = topics[:2]
            return phrase(
                "topic {first} nor {second} does not match {pattern}",
                first=first,
                second=second,
                pattern=subscription.topic,
            )
        return phrase("topic {topic} does not match {pattern}", topic=topics[0], pattern=subscription.topic)
    reason = subscription.where.why_not(event)
    return reason or phrase("is told to {destination}", destination=subscription.destination)
