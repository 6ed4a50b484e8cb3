"""One dead destination beside two hundred that live, in virtual time: does it make the others wait?

Start it with `python -m tests.bench dead`. The same events are told twice, with and without a chat that hangs, resets,
or has a gateway's 502 for every call; nothing else differs, down to the microsecond. See `scheduler` for how.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from tests.bench.figures import bar, percentile
from tests.bench.scheduler import ANSWER_S, Daemon, daemon, doubles
from tests.bench.scheduler_load import NUMBER, destinations
from tests.bench.virtual_time import VirtualLoop, virtually
from tests.doubles.telegram import Fault
from tests.doubles.telegram_wire import Trouble

CHATS, COUNT, APART = 200, 1_500, 0.036
"""28 events a second: nearly all that Telegram lets one bot send."""
TO_THE_DEAD = 20  # Every so many-th event.
BAR = 1.05
DEATHS: tuple[Trouble, ...] = ("slow", "reset", "502")
_HANGS_S = 120.0


async def waits(loop: VirtualLoop, folder: Path, death: Trouble | None) -> list[float]:
    """Seconds from the publication of each event to its arrival, of all destinations but the first."""
    to = destinations(CHATS, 0, 0)
    rng, published = Random(3), dict[str, float]()
    async with doubles(loop, 0, ANSWER_S) as services, daemon(loop, services, folder, to) as ours:
        dead = Fault(kind=death or "slow", count=None, chat=to[0].partition(":")[2], seconds=_HANGS_S)
        if death is not None:
            services.telegram.faults.insert(0, dead)
        for number in range(COUNT):
            dying = number % TO_THE_DEAD == 0
            await tell(ours, loop, to[0] if dying else rng.choice(to[1:]), number, None if dying else published)
        await ours.clock.sleep(30.0)
        told = services.told()["telegram"]
    assert bool(dead.hits) == (death is not None), "the dead destination was not dead"
    arrived = {number: at for at, text in told.arrivals for number in NUMBER.findall(text)}
    assert published.keys() <= arrived.keys(), "messages to living destinations never came"
    return [arrived[number] - at for number, at in published.items()]


async def tell(ours: Daemon, loop: VirtualLoop, to: str, number: int, published: dict[str, float] | None) -> None:
    """One event, and the time until the next."""
    text = f"message {number}."
    if published is not None:
        published[text.removesuffix(".")] = loop.time()
    await ours.publish([(to, text)])
    await ours.clock.sleep(APART)


def main() -> bool:
    """Print the figures and the bars."""
    print(f"{COUNT:,} events to {CHATS} chats, every {TO_THE_DEAD}th to one that is dead; virtual seconds")
    p99: dict[Trouble | None, float] = {}
    for death in (None, *DEATHS):
        with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
            taken = virtually(lambda loop, death=death, name=name: waits(loop, Path(name), death))  # type: ignore[misc]
        p99[death] = percentile(taken, 99)
        what = "all live" if death is None else f"one is dead ({death})"
        print(f"  {what}: p50 {percentile(taken, 50):.3f} s, p99 {p99[death]:.3f} s, n {len(taken)}")
    held = [bar(f"the others' p99 where one is dead ({one}), of theirs", p99[one] / p99[None], BAR) for one in DEATHS]
    return all(held)
