from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.pacing import MARGIN_S, Pacer, Window, backoff
from tests.rules.service import Service

SECOND = Window("chat", 1, 1.0)


def test_a_call_counts_until_a_window_after_its_end_and_not_after_its_start() -> None:
    pacer = Pacer()
    pacer.take([SECOND], 0.0)

    assert pacer.earliest([SECOND], 0.5) == inf

    pacer.done([SECOND], 0.7)

    assert 1.7 < pacer.earliest([SECOND], 0.7) < 1.7 + 2 * MARGIN_S


def test_nothing_counts_against_a_fresh_window() -> None:
    assert Pacer().earliest([SECOND], 5.0) == 5.0


def test_windows_with_one_key_are_one_window_and_others_are_not_touched() -> None:
    pacer = Pacer()
    bot, first, second = Window("bot", 2, 1.0), Window("a", 1, 1.0), Window("b", 1, 1.0)
    pacer.take([bot, first], 0.0)
    pacer.done([bot, first], 0.0)

    assert pacer.earliest([bot, second], 0.0) == 0.0
    assert pacer.earliest([bot, first], 0.0) > 1.0


def test_a_window_of_no_seconds_limits_the_calls_in_the_air() -> None:
    gate = Window("destination", 1, 0.0)
    pacer = Pacer()
    pacer.take([gate], 0.0)

    assert pacer.earliest([gate], 100.0) == inf

    pacer.done([gate], 101.0)

    assert pacer.earliest([gate], 101.0) == 101.0


def test_a_hold_stops_its_own_key_alone_and_is_never_shortened() -> None:
    pacer = Pacer()
    pacer.hold("chat", 30.0)
    pacer.hold("chat", 10.0)

    assert pacer.earliest([SECOND], 1.0) == 30.0
    assert pacer.room(SECOND, 1.0) == 0
    assert pacer.earliest([Window("other", 1, 1.0)], 1.0) == 1.0


def test_calls_of_an_earlier_process_still_count() -> None:
    group = Window("group", 2, 60.0)
    pacer = Pacer()
    pacer.recall([group], at=-70.0, now=0.0)
    pacer.recall([group], at=-50.0, now=0.0)
    pacer.recall([group], at=-10.0, now=0.0)

    assert 10.0 < pacer.earliest([group], 0.0) < 10.1


def test_idle_keys_are_forgotten() -> None:
    pacer = Pacer()
    for number in range(20_000):
        windows = [Window(f"chat {number}", 1, 1.0)]
        pacer.take(windows, float(number))
        pacer.done(windows, float(number))

    assert len(pacer) <= 1024


@pytest.mark.parametrize(("limit", "seconds"), [(0, 1.0), (1, -1.0)])
def test_a_window_that_makes_no_sense_is_refused(limit: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="window 'x' needs"):
        Window("x", limit, seconds)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0.1, 1.0, 3.0, 60.0])), min_size=1, max_size=3),
    st.integers(0, 2**32),
)
def test_no_window_is_ever_exceeded_at_the_service_whatever_the_latencies(
    shapes: list[tuple[int, float]], seed: int
) -> None:
    windows = tuple(Window(f"w{n}", limit, seconds) for n, (limit, seconds) in enumerate(shapes))
    random, pacer, service = Random(seed), Pacer(), Service()
    now = 0.0
    arrivals: list[float] = []
    ends: list[float] = []
    for _ in range(60):
        at = pacer.earliest(windows, now)
        while ends and (at == inf or min(ends) <= at):
            now = max(now, min(ends))
            ends.remove(min(ends))
            pacer.done(windows, now)
            at = pacer.earliest(windows, now)
        now = max(now, at)
        pacer.take(windows, now)
        latency = random.choice([0.0, 0.001, 0.05, 0.9, 5.0])
        arrivals.append(now + latency * random.random())
        ends.append(now + latency)
    for at in sorted(arrivals):
        service.arrive(windows, at)

    assert service.violations == []


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_stays_between_half_and_the_whole_of_what_doubling_allows(attempt: int, jitter: float) -> None:
    delay = backoff(attempt, base=1.0, cap=60.0, jitter=jitter)
    whole = min(60.0, 2.0 ** min(attempt - 1, 10))

    assert whole / 2 <= delay <= whole


def test_backoff_refuses_an_attempt_that_never_was() -> None:
    with pytest.raises(ValueError, match="count from 1"):
        backoff(0, base=1.0, cap=2.0, jitter=0.0)
