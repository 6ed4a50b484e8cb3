"""The daemon dies at each step of each launcher, is started again, and an outside judge looks: some here, all by

`pytest -m campaign -k launcher_points -s`

Dagster and GitLab take no id of ours, so what they may have been asked for before the daemon died is looked for there;
one that is not found is `lost`, and was then never started.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.campaigns.dying import around
from tests.campaigns.killing import ROOT, until
from tests.launchers.conformance_entries import KINDS, Kind
from tests.launchers.dagster_server import Front, Waiting, web_server

CONFIG = """
http: {{port: 0}}
concurrency: 4
jobs:
  load: {job}
sensors:
  drop: {{directory: {{path: in, pattern: "*.csv"}}, job: load, run_config: {{path: "{{{{ file.path }}}}"}}}}
log: {{level: warning}}
"""
STEPS = {"command": ("launch", "commit_steps"), "python": ("launch", "commit_steps")}
ELSEWHERE = ("note", "request", "commit_steps")
SOME = (("http", "after:request"),)
DAGSTER = around("note", "begin", "query", "commit_steps")
ALL = [(kind.name, point) for kind in KINDS for point in around(*STEPS.get(kind.name, ELSEWHERE))]
FORGETFUL = ("dagster", "gitlab")
FILES, MOST = 3, 9


class World:
    """A folder whose job runs in the kind's outside, and daemons that live in it."""

    def __init__(self, folder: Path, outside: Any, *, may_lose: bool = False) -> None:
        self.folder = folder
        self.outside = outside
        self.may_lose = may_lose
        self.dropped = 0
        (folder / "in").mkdir()
        (folder / "sensord.yaml").write_text(CONFIG.format(job=outside.config))
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self, point: str = "never:", nth: int = 0) -> subprocess.Popen[bytes]:
        """A daemon that dies there; one that comes to no such place lives on."""
        words = [sys.executable, "-m", "tests.campaigns.dying", point, str(nth), "-c", "sensord.yaml", "run"]
        with (self.folder / "daemon.log").open("ab") as log:
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.daemon = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log, env=env)
        return self.daemon

    def drop(self) -> None:
        """One more file."""
        spare = self.folder / "spare"
        spare.write_text("a\n")
        spare.rename(self.folder / "in" / f"{self.dropped:03}.csv")
        self.dropped += 1

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says, read from outside; nothing while there is none."""
        with suppress(sqlite3.OperationalError):
            uri = f"file:{self.folder / 'sensord.db'}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True)) as connection:
                return connection.execute(query).fetchall()
        return []

    def finish(self) -> None:
        """Let everything end that runs there; every third has failed."""
        for number, (token,) in enumerate(self.rows("SELECT id || '.' || attempt FROM runs ORDER BY id")):
            if self.outside.starts(token) and self.outside.runs(token):
                self.outside.finish(token, "failed" if number % 3 == 2 else "succeeded")

    def rests(self) -> bool:
        """Whether every file is a run, and every run has ended."""
        self.finish()
        ended = "SELECT count(*) FROM runs WHERE status IN ('succeeded', 'failed', 'lost')"
        return self.rows(ended) == [(self.dropped,)]

    def judge(self) -> str:
        """Each file is one run, started once, with its true end and one event of it."""
        runs = self.rows("SELECT id, attempt, status FROM runs ORDER BY id")
        assert len(runs) == self.dropped
        lost = 0
        for number, (run, attempt, status) in enumerate(runs):
            assert attempt == 1
            if self.may_lose and status == "lost":
                assert self.outside.starts(f"{run}.1") == 0, f"{run} is lost, and was started"
                lost += 1
                continue
            assert self.outside.starts(f"{run}.1") == 1, f"{run} was started {self.outside.starts(f'{run}.1')} times"
            assert status == ("failed" if number % 3 == 2 else "succeeded"), f"{run} is {status}"
        ends = "SELECT count(*) FROM events WHERE type IN ('run.succeeded', 'run.failed', 'run.lost', 'run.cancelled')"
        assert self.rows(ends) == [(self.dropped,)], "one event of each end"
        return f"{self.dropped} files, each run at most once, with its true end; {lost} lost, which were not started"

    def stop(self) -> None:
        """End it in order."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(30)


@contextmanager
def world(folder: Path, kind: Kind) -> Iterator[World]:
    with kind.outside(folder, "1h") as outside:
        one = World(folder, outside, may_lose=kind.name in FORGETFUL)
        try:
            yield one
        finally:
            one.stop()


def died_and_came_back(folder: Path, kind: Kind, point: str, nth: int) -> str:
    with world(folder, kind) as one:
        daemon = one.start(point, nth)
        for _ in range(FILES):
            one.drop()
        while daemon.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(0.3)
            one.finish()
            if daemon.poll() is None and (folder / ".sensord" / "daemon.json").exists() and one.dropped < MOST:
                one.drop()
            assert one.dropped < MOST or not one.rests(), f"it did not come to {point} {nth} times"
        assert daemon.returncode == -signal.SIGKILL, (folder / "daemon.log").read_text()
        one.start()
        until(one.rests, 600 if one.may_lose else 180, "everything is at rest")
        one.stop()
        return one.judge()


@pytest.mark.parametrize(("name", "point"), SOME)
def test_killed_there_a_launch_is_made_once_and_its_end_found(tmp_path: Path, name: str, point: str) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    print(died_and_came_back(tmp_path, kind, point, 1))


@pytest.mark.campaign
@pytest.mark.parametrize("nth", [1, 2, 4])
@pytest.mark.parametrize(("name", "point"), ALL)
def test_launcher_points(tmp_path: Path, name: str, point: str, nth: int) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    print(name, point, nth, died_and_came_back(tmp_path, kind, point, nth), flush=True)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Path]]:
    with web_server() as one:
        yield one


@pytest.mark.campaign
@pytest.mark.parametrize("nth", [1, 2, 4])
@pytest.mark.parametrize("point", DAGSTER)
def test_launcher_points_of_dagster(tmp_path: Path, server: tuple[str, Path], point: str, nth: int) -> None:
    url, home = server

    @contextmanager
    def outside(_folder: Path, timeout: str) -> Iterator[Waiting]:
        front = Front(real=url)
        with front.served():
            yield Waiting(home, front, timeout)

    kind = Kind("dagster", outside)
    print("dagster", point, nth, died_and_came_back(tmp_path, kind, point, nth), flush=True)
