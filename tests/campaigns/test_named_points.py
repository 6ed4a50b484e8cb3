"""The daemon dies exactly there, is started again, and an outside judge looks: some places here, all of them by

`pytest -m campaign -k named -s`
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.campaigns.dying import POINTS
from tests.campaigns.killing import World, judge, until

FILES, MOST = 3, 20
SOME = ("after:commit_ticks", "after:launch", "after:send")


def died_and_came_back(folder: Path, point: str, nth: int) -> str:
    world = World(folder, seed=5, chats=1, faulty=False)
    try:
        world.start(program=("-m", "tests.campaigns.dying", point, str(nth)))
        daemon = world.daemon
        assert daemon is not None
        for _ in range(FILES):
            world.drop()
        # A place that is passed once for many files is passed again with the next file.
        ready = folder / ".sensord" / "daemon.json"
        until(lambda: ready.exists() or daemon.poll() is not None, 30, "it is ready, or was")
        while daemon.poll() is None:
            world.drop()
            assert len(world.names) <= MOST, f"it did not come to {point} {nth} times"
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(1)
        assert daemon.returncode == -9, (folder / "daemon.log").read_text()
        world.kills += 1
        world.start()
        until(lambda: (folder / "sensord.db").exists() and world.quiet(), 60, "everything is at rest")
        world.stop()
        return judge(world)
    finally:
        world.stop()


@pytest.mark.parametrize("point", SOME)
def test_killed_there_it_loses_nothing_and_does_nothing_twice(tmp_path: Path, point: str) -> None:
    print(died_and_came_back(tmp_path, point, 1))


@pytest.mark.campaign
@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize("point", POINTS)
def test_named_points(tmp_path: Path, point: str, nth: int) -> None:
    print(point, nth, died_and_came_back(tmp_path, point, nth), flush=True)
