"""The schedule sensor when the ledger fails, the machine sleeps and clocks are set, in any order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifiers.zones import zone_of
from rules.request import Sensed
from rules.schedules import parse_cron
from tests.sources.directory_kit import Recorder
from tests.sources.schedule_kit import Time, keys_of, recording, utc

STEPS = st.lists(
    st.tuples(st.sampled_from(["pass", "down", "suspend", "set", "restart"]), st.integers(-3 * 3600, 9 * 3600)),
    max_size=12,
)
SCHEDULES = st.sampled_from(
    [
        {"cron": "0 * * * *", "timezone": "Europe/Lisbon"},
        {"cron": "30 1,4 * * *", "timezone": "Europe/Lisbon"},
        {"cron": "*/15 * * * *", "timezone": "Australia/Lord_Howe", "jitter": "40m"},
        {"cron": "30 2 * * *", "timezone": "America/New_York", "jitter": "5m"},
    ]
)
# Shortly before clocks change in Lisbon and New York, and at Lord Howe Island.
BEGINS = st.sampled_from([utc("2026-10-24T20:13"), utc("2026-03-07T23:59:59.5"), utc("2026-04-04T09:00")])


class Breaking(Recorder):
    """A ledger that fails at a commit."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        if not self.left:
            raise OSError("the disk is full")
        self.left -= 1
        await super().__call__(sensed, cursor)


async def test_a_long_catch_up_goes_in_batches_and_on_where_it_broke_off() -> None:
    time, emit = Time(utc("2026-11-21T12:00")), Breaking(after=3)
    keys = {"cron": "* * * * *", "catch_up": "all"}
    async with recording(time, emit, **keys):
        pass
    time.down(days=1)
    with pytest.raises(ExceptionGroup, match="unhandled"):
        async with recording(time, emit, **keys):
            pass
    assert len(emit.sensed) == 200
    emit.left = 1000
    async with recording(time, emit, **keys):
        assert len(set(keys_of(emit))) == len(emit.sensed) == 1440
    assert max(emit.batches) == 100


async def live(time: Time, emit: Recorder, steps: list[tuple[str, int]], keys: dict[str, Any]) -> None:
    """Go through these steps, then on until nothing that was due can be due no more."""
    furthest = time.wall
    waiting = list(steps)
    while waiting:
        async with recording(time, emit, **keys):
            while waiting:
                step, amount = waiting.pop(0)
                if step == "pass":
                    await time.pass_(abs(amount))
                elif step in ("suspend", "set"):
                    time.down(seconds=abs(amount) if step == "suspend" else amount)
                else:
                    break
                furthest = max(furthest, time.wall)
        if step == "down":
            time.down(seconds=abs(amount))
            furthest = max(furthest, time.wall)
    async with recording(time, emit, **keys):
        time.wall = max(furthest, time.wall) + timedelta(hours=1)
        await time.pass_(60)


@settings(max_examples=150)
@given(BEGINS, SCHEDULES, STEPS, st.sampled_from(["all", "last", "none"]))
def test_whatever_happens_to_daemon_machine_and_clock_each_instant_comes_once(
    begin: datetime, keys: dict[str, Any], steps: list[tuple[str, int]], catch_up: str
) -> None:
    time, emit = Time(begin), Recorder()
    anyio.run(live, time, emit, steps, {**keys, "catch_up": catch_up})
    cron = parse_cron(keys["cron"], zone_of(keys["timezone"]))
    longest = timedelta(minutes=int(keys.get("jitter", "0m")[:-1]))
    instants = [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in cron.between(begin, time.wall)]
    sure = [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in cron.between(begin, time.wall - longest)]
    found = keys_of(emit)
    assert found == sorted(set(found))
    assert set(found) <= set(instants)
    if catch_up == "all":
        assert set(found) >= set(sure)


async def test_crashes_at_any_commit_lose_nothing_and_double_nothing() -> None:
    chosen = random.Random(7)
    time, emit = Time(utc("2026-11-21T12:00")), Breaking(after=1)
    keys = {"cron": "*/7 * * * *", "catch_up": "all"}
    async with recording(time, emit, **keys):
        pass
    for _ in range(40):
        emit.left = chosen.randrange(3)
        try:
            async with recording(time, emit, **keys):
                await time.pass_(minutes=chosen.randrange(60))
        except ExceptionGroup:
            time.down(minutes=chosen.randrange(30))
    emit.left = 1000
    async with recording(time, emit, **keys):
        pass
    cron = parse_cron("*/7 * * * *", zone_of("UTC"))
    assert keys_of(emit) == [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in cron.between(utc("2026-11-21T12:00"), time.wall)]
