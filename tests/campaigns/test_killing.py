"""kill -9 at random while files drop and Telegram and Slack misbehave: short here, long by

`pytest -m campaign -k killing -s`
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.campaigns.killing import World, judge, until


def campaign(folder: Path, *, seed: int, files: int, kills: int, longest: float) -> str:
    """Drop files all the while, kill at random times, then let it come to rest, and judge."""
    world = World(folder, seed)
    try:
        for number in range(kills):
            world.start()
            end = time.monotonic() + world.random.uniform(0.2, longest)
            while time.monotonic() < end and len(world.names) < files * (number + 1) // kills:
                world.drop()
            rest = max(0.0, end - time.monotonic())
            until(lambda end=end: time.monotonic() >= end, rest + 1, "the next kill")  # type: ignore[misc]
            if world.random.random() < 0.3:
                world.kill_supervisor()
            world.kill()
            print(f"killed {number + 1} of {kills} times, {len(world.names)} files", flush=True)
        while len(world.names) < files:
            world.drop()
        world.start()
        until(lambda: (folder / "sensord.db").exists() and world.quiet(), 60 + files * 1.2, "everything is at rest")
        world.stop()
        return judge(world)
    finally:
        world.stop()


def test_killed_a_few_times_nothing_is_lost_and_nothing_is_done_twice(tmp_path: Path) -> None:
    print(campaign(tmp_path, seed=7, files=20, kills=4, longest=4.0))


@pytest.mark.campaign
def test_killing_forty_times(tmp_path: Path) -> None:
    print(campaign(tmp_path, seed=int(time.time()), files=400, kills=40, longest=8.0), flush=True)
