"""The daemon is killed at each step of each source, is started again, and an outside judge looks: some here, all by

`pytest -m campaign -k source_points -s`
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns.dying_sources import World
from tests.campaigns.killing import until
from tests.campaigns.source_kinds import KINDS, Kind

MOST, AFTER = 40, 2
OF = {kind.name: kind for kind in KINDS}
# Its row is opened once a life.
ALL = [
    (kind.name, point, nth)
    for kind in KINDS
    for point in kind.points
    for nth in ([1] if "open_sensor" in point else [1, 3])
]
SOME = [
    ("topic", "after:read", 2),
    ("runs", "before:commit_ticks", 2),
    ("schedule", "after:commit_ticks", 2),
    ("s3", "after:commit_ticks", 1),
    ("s3 notices", "before:commit_ticks", 1),
    ("dagster", "after:commit_ticks", 1),
    ("python with a cursor", "after:commit_ticks", 1),
]


def died_and_came_back(folder: Path, kind: Kind, points: list[tuple[str, int]]) -> str:
    """Each life ends at its point; the last one brings everything to rest."""
    world = World(folder, kind)
    with kind.open(world):
        try:
            for point, nth in points:
                world.dies(point, nth, MOST)
            world.start()
            for _ in range(AFTER):
                world.happen()
            things = AFTER if kind.hurried else len(world.expected)
            until(lambda: world.rests(things), 300, "everything is at rest")
            world.stop()
            return world.judge()
        finally:
            world.stop()


@pytest.mark.parametrize(("name", "point", "nth"), SOME)
def test_killed_at_a_step_of_a_source_each_thing_is_run_once(tmp_path: Path, name: str, point: str, nth: int) -> None:
    print(died_and_came_back(tmp_path, OF[name], [(point, nth)]))


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "point", "nth"), ALL)
def test_source_points(tmp_path: Path, name: str, point: str, nth: int) -> None:
    """Twice in a row at the same place: what the second life begins with is what the first one left."""
    print(point, nth, died_and_came_back(tmp_path, OF[name], [(point, nth), (point, 1)]), flush=True)
