"""The other side is away for five minutes of real time, while twenty runs by its launcher go on or are asked for.

`pytest -m campaign -k other_side_away -s`; `SENSORD_TEST_AWAY` is how many seconds it is away, by default 300.

Some are running there when it goes, and end while nobody can be asked; the others are asked for meanwhile. Nobody
listens at its address; a Dagster behind it goes on. Caught up: after it is back, every run that waits has been asked
for, and every end that came meanwhile is recorded, within one interval (`every`).
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.campaigns.killing import until
from tests.doubles.rest import Plain
from tests.launchers.conformance_entries import PLAIN, Served
from tests.launchers.dagster_server import Front, Waiting, web_server

AWAY = float(os.environ.get("SENSORD_TEST_AWAY", "300"))
RUNS, BEFORE = 20, 5
EVERY, MOMENT = 10.0, 2.0
CONFIG = """
http: {port: 0}
concurrency: 100
log: {level: error}
jobs:
"""
SENSOR = 'directory: {{path: {name}, pattern: "*.csv"}}, job: {name}, run_config: {{path: "{{{{ file.path }}}}"}}'
TERMINAL = ("run.succeeded", "run.failed", "run.lost", "run.cancelled")


@dataclass
class TimedPlain(Plain):
    """Notes when it was asked to start something."""

    asked: list[float] = field(default_factory=list)

    async def _start(self, request: web.Request) -> web.Response:
        self.asked.append(time.monotonic())
        return await super()._start(request)


@dataclass
class TimedFront(Front):
    """Notes when it was asked to launch something."""

    asked: list[float] = field(default_factory=list)

    async def _hand_on(self, request: web.Request) -> web.Response:
        if b"launchRun" in await request.read():
            self.asked.append(time.monotonic())
        return await super()._hand_on(request)


@contextmanager
def far() -> Iterator[tuple[Any, TimedPlain]]:
    with TimedPlain().served() as double:
        assert isinstance(double, TimedPlain)
        config = PLAIN.replace("100ms, unknown_for", f"{EVERY:.0f}s, unknown_for").format(url=double.url, timeout="1h")
        yield Served(double, config), double


@contextmanager
def dagster() -> Iterator[tuple[Any, TimedFront]]:
    with web_server() as (url, home), TimedFront(real=url).served() as front:
        assert isinstance(front, TimedFront)
        outside = Waiting(home, front, "1h")
        # As somebody has it who wants no question before the launch: then what is counted is the launch alone.
        where = f"every: {EVERY:.0f}s, repository: __repository__, location: dagster_program.py"
        outside.config = outside.config.replace("every: 200ms", where)
        yield outside, front


KINDS: dict[str, Callable[[], AbstractContextManager[tuple[Any, Any]]]] = {"far": far, "dagster": dagster}


class Folder:
    """What the daemon works in, and what it has recorded."""

    def __init__(self, folder: Path, outsides: dict[str, Any]) -> None:
        self.folder = folder
        text = CONFIG + "".join(f"  {name}: {one.config}\n" for name, one in outsides.items()) + "sensors:\n"
        for name in outsides:
            (folder / name).mkdir()
            text += f"  {name}_drop: {{{SENSOR.format(name=name)}}}\n"
        (folder / "sensord.yaml").write_text(text)

    @contextmanager
    def daemon(self) -> Iterator[None]:
        words = [sys.executable, "-m", "sensord", "-c", "sensord.yaml", "run"]
        with (self.folder / "daemon.log").open("ab") as log:
            process = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log)
        try:
            until((self.folder / ".sensord" / "daemon.json").exists, 60, "the daemon is ready")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def drop(self, name: str, count: int) -> None:
        there = len(list((self.folder / name).iterdir()))
        for number in range(there, there + count):
            spare = self.folder / "spare"
            spare.write_text("a\n")
            spare.rename(self.folder / name / f"{number:03}.csv")

    def runs(self, name: str) -> list[tuple[str, str, int]]:
        """Token, status, attempt of each, in their order."""
        query = "SELECT id || '.' || attempt, status, attempt FROM runs WHERE job = ? ORDER BY id"
        return self._rows(query, name)

    def claimed(self, name: str) -> list[tuple[str, str, int]]:
        """The first of them, once they are there."""
        found = self.runs(name)
        return found if len(found) == BEFORE else []

    def all_run(self, name: str) -> bool:
        return {status for _, status, _ in self.runs(name)} == {"running"}

    def all_ended(self, name: str) -> bool:
        return self.ended(name) == RUNS

    def ended(self, name: str) -> int:
        return sum(status in ("succeeded", "failed", "lost", "cancelled") for _, status, _ in self.runs(name))

    def ends(self, name: str) -> int:
        marks = ", ".join(f"'{one}'" for one in TERMINAL)
        return len(self._rows(f"SELECT 1 FROM events WHERE type IN ({marks}) AND job = ?", name))

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with suppress(sqlite3.OperationalError):
            uri = f"file:{self.folder / 'sensord.db'}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True)) as connection:
                return connection.execute(query, values).fetchall()
        return []


def back(folder: Folder, sides: dict[str, tuple[Any, Any]]) -> dict[str, tuple[float, float]]:
    """It is there again. Of each: after how many seconds all was asked for, and all ends that came were recorded."""
    for _, double in sides.values():
        double.up()
    since = time.monotonic()
    recorded: dict[str, float] = {}

    def caught_up() -> bool:
        for name in sides:
            if name not in recorded and folder.ended(name) >= BEFORE:
                recorded[name] = time.monotonic() - since
        return len(recorded) == len(sides) and all(len(double.asked) >= RUNS for _, double in sides.values())

    until(caught_up, 300, "all is asked for")
    return {name: (max(double.asked) - since, recorded[name]) for name, (_, double) in sides.items()}


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["far", "dagster"])
def test_other_side_away_for_minutes_loses_nothing_and_is_caught_up_with_within_an_interval(
    tmp_path: Path, kind: str
) -> None:
    with ExitStack() as stack:
        side: tuple[Any, Any] = stack.enter_context(KINDS[kind]())
        sides = {kind: side}
        folder = Folder(tmp_path, {name: outside for name, (outside, _) in sides.items()})
        stack.enter_context(folder.daemon())
        for name, (outside, double) in sides.items():
            folder.drop(name, BEFORE)
            tokens = until(partial(folder.claimed, name), 60, "claimed")
            for token, _, _ in tokens:
                until(partial(outside.starts, token), 300, f"{token} runs there")
            until(partial(folder.all_run, name), 60, "known to run")
            double.down()
            for number, (token, _, _) in enumerate(tokens):
                outside.finish(token, "failed" if number == 0 else "succeeded")
            folder.drop(name, RUNS - BEFORE)
        began = time.monotonic()
        until(lambda: time.monotonic() - began >= AWAY, AWAY + 60, "it was away for so long")
        for name in sides:
            assert (len(folder.runs(name)), folder.ended(name)) == (RUNS, 0), "nothing is lost, nothing guessed"
        for name, (asked, recorded) in back(folder, sides).items():
            print(f"{name}: away {AWAY:.0f} s; all asked for after {asked:.2f} s, ends recorded after {recorded:.2f} s")
            assert asked <= EVERY + MOMENT
            assert recorded <= EVERY + MOMENT
        for name, (outside, _) in sides.items():
            for number, (token, _, _) in enumerate(folder.runs(name)):
                until(partial(outside.starts, token), 300, f"{token} runs there")
                if number >= BEFORE:
                    outside.finish(token, "failed" if number % 5 == 0 else "succeeded")
        for name, (outside, double) in sides.items():
            until(partial(folder.all_ended, name), 300, "all have ended")
            told = folder.runs(name)
            assert [outside.starts(token) for token, _, _ in told] == [1] * RUNS, "each was started once"
            assert len(double.asked) == RUNS, "and asked for once"
            assert [status for _, status, _ in told] == ["failed" if n % 5 == 0 else "succeeded" for n in range(RUNS)]
            assert {attempt for _, _, attempt in told} == {1}
            assert folder.ends(name) == RUNS, "one event of each end"
