from __future__ import annotations

from collections import defaultdict
from math import inf
from random import Random
from time import perf_counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.lanes import Item, Lanes
from rules.pacing import Window
from tests.rules.service import Simulation

BOT = Window("bot", 30, 1.0)


def item(key: str, destination: str = "a", *, severity: int = 20, seq: int = 0, not_before: float = -inf) -> Item:
    gate = Window(f"to {destination}", 1, 0.0)
    return Item(key=key, destination=destination, severity=severity, seq=seq, windows=(gate,), not_before=not_before)


def chat(number: int, *, groups: int) -> tuple[Window, ...]:
    limits = [Window(f"in the air {number}", 1, 0.0), BOT, Window(f"chat {number}", 1, 1.0)]
    if number < groups:
        limits.append(Window(f"group {number}", 20, 60.0))
    return tuple(limits)


def drain(lanes: Lanes, now: float) -> list[str]:
    keys: list[str] = []
    while isinstance(found := lanes.next(now), Item):
        keys.append(found.key)
        lanes.done(found.windows, now)
    return keys


def test_the_highest_severity_goes_first_and_then_the_oldest() -> None:
    lanes = Lanes()
    for key, severity, seq in [("c", 20, 3), ("a", 50, 9), ("b", 20, 1), ("d", 40, 7)]:
        lanes.put(item(key, key, severity=severity, seq=seq))

    assert drain(lanes, 0.0) == ["a", "d", "b", "c"]


def test_one_destination_is_served_in_order_within_a_severity() -> None:
    lanes = Lanes()
    for seq in (3, 1, 2):
        lanes.put(item(f"{seq}", seq=seq))
    lanes.put(item("critical", severity=50, seq=4))

    assert drain(lanes, 0.0) == ["critical", "1", "2", "3"]


def test_what_waits_for_its_next_try_holds_back_the_younger_of_its_lane_only() -> None:
    lanes = Lanes()
    lanes.put(item("first", seq=1, not_before=10.0))
    lanes.put(item("second", seq=2))
    lanes.put(item("louder", severity=40, seq=3))
    lanes.put(item("elsewhere", "b", seq=4))

    assert drain(lanes, 0.0) == ["louder", "elsewhere"]
    assert lanes.next(0.0) == 10.0
    assert drain(lanes, 10.0) == ["first", "second"]


def test_an_item_aside_lets_the_younger_pass() -> None:
    lanes = Lanes()
    lanes.put(Item(key="poison", destination="a", severity=20, seq=1, windows=(), not_before=10.0, aside=True))
    lanes.put(item("second", seq=2))

    assert drain(lanes, 0.0) == ["second"]


def test_one_call_at_a_time_goes_to_a_destination() -> None:
    lanes = Lanes()
    lanes.put(item("1", seq=1))
    lanes.put(item("2", seq=2))
    first = lanes.next(0.0)
    assert isinstance(first, Item)

    assert lanes.next(5.0) == inf

    lanes.done(first.windows, 6.0)
    assert drain(lanes, 6.0) == ["2"]


def test_a_held_destination_does_not_hold_another() -> None:
    lanes = Lanes()
    lanes.put(item("1", "a", seq=1))
    lanes.put(item("2", "b", seq=2))
    lanes.hold("to a", 40.0)

    assert drain(lanes, 0.0) == ["2"]
    assert lanes.next(1.0) == 40.0
    assert drain(lanes, 40.0) == ["1"]


def test_dropping_a_destination_returns_its_items_in_order_and_frees_its_place() -> None:
    lanes = Lanes()
    one = Window("shared", 1, 1.0)
    for seq, destination in enumerate("aabc"):
        lanes.put(Item(key=f"{seq}", destination=destination, severity=20, seq=seq, windows=(one,)))
    first = lanes.next(0.0)
    assert isinstance(first, Item)
    assert isinstance(lanes.next(0.0), float)
    lanes.done(first.windows, 0.0)

    assert [dropped.key for dropped in lanes.drop("a", 0.5)] == ["1"]
    assert lanes.drop("a", 0.5) == []
    assert len(lanes) == 2
    assert Simulation(lanes, lambda: (0.0, 0.0), now=0.5).run() > 2.0


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_everything_goes_once_in_order_and_within_every_window(data: st.DataObject) -> None:
    random = Random(data.draw(st.integers(0, 2**32)))
    shared = [Window(f"s{n}", random.randint(1, 4), random.choice([0.0, 0.5, 2.0])) for n in range(3)]
    own = {
        f"d{n}": (
            Window(f"gate {n}", 1, 0.0),
            Window(f"own {n}", random.randint(1, 3), random.choice([0.1, 1.0, 5.0])),
            *random.sample(shared, random.randint(0, 3)),
        )
        for n in range(random.randint(1, 6))
    }
    items = [
        Item(
            key=f"{seq}",
            destination=(to := random.choice(list(own))),
            severity=random.choice([20, 20, 40, 50]),
            seq=seq,
            windows=own[to],
            not_before=random.choice([-inf, -inf, random.uniform(0, 9)]),
        )
        for seq in range(random.randint(1, 60))
    ]
    simulation = Simulation(Lanes(), lambda: (random.choice([0, 0.01, 0.3]), random.choice([0, 0.01, 0.3])))
    simulation.run(sorted(((random.choice([0.0, float(it.seq)]), it) for it in items), key=lambda pair: pair[0]))

    assert simulation.service.violations == []
    assert sorted(it.seq for _, it in simulation.sent) == [it.seq for it in items]
    assert all(at >= it.not_before for at, it in simulation.sent)
    assert len(simulation.lanes) == 0
    assert simulation.lanes.next(simulation.now + 100.0) == inf  # No gate stays behind.


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_what_is_queued_together_leaves_in_order_per_destination_and_severity(seed: int) -> None:
    random = Random(seed)
    lanes = Lanes()
    for seq in range(150):
        number = random.randrange(7)
        lanes.put(
            Item(
                key=f"{seq}",
                destination=f"{number}",
                severity=random.choice([20, 40]),
                seq=seq,
                windows=chat(number, groups=2),
            )
        )
    simulation = Simulation(lanes, lambda: (random.random() * 0.2, random.random() * 0.2))
    simulation.run()
    order: dict[tuple[str, int], list[int]] = defaultdict(list)
    for _, sent in simulation.sent:
        order[sent.destination, sent.severity].append(sent.seq)

    assert all(seqs == sorted(seqs) for seqs in order.values())


def test_ten_thousand_events_to_200_chats_earn_no_refusal_and_end_near_the_optimum() -> None:
    random = Random(1)
    lanes = Lanes()
    for seq in range(10_000):
        number = random.randrange(200)
        lanes.put(Item(key=f"{seq}", destination=f"{number}", severity=20, seq=seq, windows=chat(number, groups=50)))
    simulation = Simulation(lanes, lambda: (random.uniform(0.002, 0.02), random.uniform(0.002, 0.02)))
    makespan = simulation.run()
    optimum = (10_000 - 1) // 30
    print(f"makespan {makespan:.1f} s, optimum {optimum} s, ratio {makespan / optimum:.4f}")

    assert simulation.service.violations == []
    assert len(simulation.sent) == 10_000
    assert makespan <= 1.05 * optimum


def test_a_critical_leaves_within_1200_ms_while_5000_infos_wait() -> None:
    random = Random(2)
    lanes = Lanes()
    for seq in range(5_000):
        number = random.randrange(200)
        lanes.put(Item(key=f"{seq}", destination=f"{number}", severity=20, seq=seq, windows=chat(number, groups=0)))
    coming = []
    for n in range(150):
        number, at = random.randrange(200), 1.0 + n * 0.7
        windows = chat(number, groups=0)
        coming.append(
            (at, Item(key=f"critical {n}", destination=f"{number}", severity=50, seq=9_000 + n, windows=windows))
        )
    simulation = Simulation(lanes, lambda: (random.uniform(0.002, 0.02), random.uniform(0.002, 0.02)))
    simulation.run(coming)
    asked = {it.key: at for at, it in coming}
    waits = sorted(at - asked[it.key] for at, it in simulation.sent if it.severity == 50)
    print(f"critical waits p50 {waits[75]:.3f} s, p99 {waits[-2]:.3f} s, max {waits[-1]:.3f} s")

    assert simulation.service.violations == []
    assert waits[-2] < 1.2


def test_a_step_stays_cheap_with_thousands_of_destinations() -> None:
    def seconds_per_item(destinations: int) -> float:
        random, lanes = Random(3), Lanes()
        wide = Window("bot", 1000, 1.0)
        for seq in range(destinations * 3):
            number = seq % destinations
            windows = (Window(f"gate {number}", 1, 0.0), wide, Window(f"chat {number}", 1, 1.0))
            lanes.put(Item(key=f"{seq}", destination=f"{number}", severity=20, seq=seq, windows=windows))
        simulation = Simulation(lanes, lambda: (random.random() * 0.01, random.random() * 0.01))
        started = perf_counter()
        simulation.run()
        assert len(simulation.sent) == destinations * 3
        return (perf_counter() - started) / (destinations * 3)

    few, many = seconds_per_item(500), seconds_per_item(8_000)
    print(f"per item: {few * 1e6:.0f} µs with 500 destinations, {many * 1e6:.0f} µs with 8,000")

    assert many < 8 * few
