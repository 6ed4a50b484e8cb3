"""A daemon that dies in the midst of a backfill: the next one goes on, and each partition runs once."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backfill_project import begin, ended, opened, ran
from tests.cli.project import BIN, Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with opened(tmp_path) as one:
        yield one


def test_killed_in_the_midst_it_goes_on_and_runs_each_once(project: Project) -> None:
    project.start()
    backfill = begin(project, "2024-01-01", "2024-04-09", concurrency=3)
    for part in (20, 60):
        project.until(lambda part=part: len(ran(project)) >= part)
        assert project.daemon is not None
        project.daemon.kill()
        project.daemon.wait()
        project.start()
    found = ended(project, backfill)
    assert (found["status"], found["counts"]["succeeded"]) == ("succeeded", 100)
    assert set(Counter(ran(project)).values()) == {1}
    assert len(ran(project)) == 100


@pytest.mark.parametrize("point", ["before:claim_partitions", "after:claim_partitions", "after:commit_steps"])
def test_killed_there_it_neither_leaves_one_out_nor_runs_one_twice(project: Project, point: str) -> None:
    command = [str(BIN / "python"), "-m", "tests.campaigns.dying", point, "3", "run"]
    env = {**project.env, "PYTHONPATH": str(Path(__file__).parents[1])}
    with (project.folder / "daemon.log").open("ab") as log:
        project.daemon = subprocess.Popen(command, cwd=project.folder, env=env, stdout=log, stderr=log)
    project.until(project._noted)
    backfill = begin(project, "2024-01-01", "2024-01-10", concurrency=2)
    assert project.daemon.wait(20) == -signal.SIGKILL
    project.start()
    assert ended(project, backfill)["counts"]["succeeded"] == 10
    assert sorted(ran(project)) == [f"2024-01-{day:02}" for day in range(1, 11)]
