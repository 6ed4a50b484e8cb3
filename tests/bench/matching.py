"""One event against 1,000,000 subscriptions: how long until it is known who is told, filters included, and the memory.

Start it with `python -m tests.bench matching`. It is the daemon's own `rules.routing.Router`, with a Subscription for
each, as `notifiers.routing` makes it of its row. Topics are four tokens; half of the patterns are exact, the others
take `*` or `>`; half have a filter. An event has at most 10 matches here, and so has each of the measured ones at
least one. The topics that are measured were not asked for lately, so nothing is remembered of them; beside them stand
the same events on topics that come again and again, and a fixed loop of 500 additions, which shows what the machine is
busy with else."""

from __future__ import annotations

import gc
import os
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from notifiers.clock import new_uuid7
from rules.event import Event, Severity
from rules.routing import Router, Subscription, compile_where
from tests.bench.figures import bar, percentile, resident_mb

COUNT = 1_000_000
EVENTS = 50_000
MOST = 10
PASSES = 3
NOW = datetime(2026, 11, 21, tzinfo=UTC)
TEAMS, JOBS, STATUSES = 40, 2_500, ("queued", "started", "succeeded", "failed", "retrying")


def topic(rng: random.Random) -> str:
    """One of 1,000,000 topics."""
    return f"bp.team{rng.randrange(TEAMS)}.job{rng.randrange(JOBS)}_{rng.randrange(2)}.{rng.choice(STATUSES)}"


def pattern(rng: random.Random) -> str:
    """A topic, or one in which a wildcard stands for a token or for the last one."""
    text = topic(rng)
    lot = rng.random()
    if lot < 0.5:
        return text
    tokens = text.split(".")
    if lot < 0.8:
        tokens[1 if lot < 0.65 else 3] = "*"
        return ".".join(tokens)
    return ".".join([*tokens[:3], ">"])


def wanted(rng: random.Random) -> dict[str, Any]:
    """One of some 2,000 filters, of six shapes."""
    shapes: tuple[dict[str, Any], ...] = (
        {"severity": rng.choice((">=warning", ">=error", "info"))},
        {"severity": ">=info", "data.rows": f">{rng.randrange(1_000)}"},
        {"tags.team": rng.choice(("geo", "bi", "core"))},
        {"job": f"job{rng.randrange(500)}*"},
        {"message": f"*{rng.randrange(300)}*"},
        {"tags.team": ["geo", "bi"], "data.rows": f"<={rng.randrange(500)}"},
    )
    return rng.choice(shapes)


def subscription(number: int, rng: random.Random) -> Subscription:
    """One of somebody's own."""
    where = wanted(rng) if rng.random() < 0.5 else {}
    return Subscription(new_uuid7(), pattern(rng), f"telegram:{number}", compile_where(where))


def event(rng: random.Random) -> Event:
    """Something that happened on one of the topics."""
    data = {"rows": rng.randrange(2_000), "tags": {"team": rng.choice(("geo", "bi"))}}
    severity, words = rng.choice(tuple(Severity)), f"The table houses was loaded: {rng.randrange(10**6)} rows"
    return Event(
        id=new_uuid7(),
        type="message",
        topic=topic(rng),
        time=NOW,
        severity=severity,
        job=f"job{rng.randrange(500)}",
        message=words,
        data=data,
    )


def main() -> bool:
    """Print the figures and the bar."""
    rng = random.Random(1)
    gc.collect()
    before, start = resident_mb(os.getpid()), time.perf_counter()
    router = Router()
    for number in range(COUNT):
        router.add(subscription(number, rng))
    built = time.perf_counter() - start
    gc.collect()
    held = (resident_mb(os.getpid()) - before) * 2**20 / COUNT
    print(f"{len(router):,} subscriptions in {built:.1f} s, {held:.0f} bytes each with ids, topics and filters")
    events = [one for one in (event(rng) for _ in range(3 * EVENTS)) if 1 <= len(router.route(one)) <= MOST][:EVENTS]
    counts = [len(router.route(one)) for one in events]
    told = sum(verdict.reason is None for one in events for verdict in router.route(one))
    print(f"{len(events):,} events, matches: mean {statistics.fmean(counts):.1f}, most {max(counts)}; told: {told:,}")
    gc.freeze()  # As in the daemon, a collection does not go over what lives as long as it does.
    figures("a fixed loop", measure(additions, events))
    passes = [measure(router.route, events) for _ in range(PASSES)]
    p99 = min(figures("a topic that is new", taken) for taken in passes)
    figures("the same, each event's best pass", [min(taken) for taken in zip(*passes, strict=True)])
    figures("a topic that comes again", measure(router.route, [one for one in events[:500] for _ in range(100)]))
    gc.unfreeze()
    return bar("matching one event, p99, us", p99, 50.0)


def additions(_: Event) -> None:
    """Always the same work."""
    total = 0
    for number in range(500):
        total += number


def measure(work: Callable[[Event], object], events: list[Event]) -> list[float]:
    """One pass over the events: the microseconds that each took.

    As in the daemon, an event was read just before it is routed.
    """
    taken = []
    read = msgspec.json.Decoder(Event).decode
    for raw in [msgspec.json.encode(one) for one in events]:
        one = read(raw)
        begin = time.perf_counter_ns()
        work(one)
        taken.append((time.perf_counter_ns() - begin) / 1000)
    return taken


def figures(name: str, taken: list[float]) -> float:
    """Print one line; the p99."""
    p50, p99 = percentile(taken, 50), percentile(taken, 99)
    print(f"  {name}: p50 {p50:.1f} us, p99 {p99:.1f} us, p99.9 {percentile(taken, 99.9):.1f} us, {1e6 / p50:,.0f}/s")
    return p99
