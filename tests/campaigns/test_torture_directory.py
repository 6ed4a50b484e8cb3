"""Torture of the directory sensor: many writers, overflowing queues, and a sensor that is killed again and again.

The long version, 100,000 files and 20 kills, about ten minutes, with progress:

    pytest -m campaign -k torture_directory -s
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MODULE = "tests.campaigns.torture_processes"
MAX_QUEUED = Path("/proc/sys/fs/inotify/max_queued_events")
USUAL = 16_384
WRITERS = 3


@dataclass
class Intended:
    """What the writers' logs say: by path, each version's size and the time before which it was not complete."""

    versions: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    gone: set[str] = field(default_factory=set)
    ended: int = 0

    def final(self) -> set[tuple[str, int]]:
        """What must have been emitted: the last version of each file that is still there."""
        return {(path, list(sizes)[-1]) for path, sizes in self.versions.items() if path not in self.gone}


def read_logs(logs: list[Path]) -> Intended:
    intended = Intended()
    for log in logs:
        for line in log.read_text(encoding="utf-8").splitlines():
            what, path, size, at = json.loads(line)
            if what == "version":
                intended.versions[path][size] = at
            elif what == "gone":
                intended.gone.add(path)
            else:
                intended.ended += 1
    return intended


@contextmanager
def short_queue(length: int) -> Iterator[None]:
    """Sensors that start meanwhile have a short queue, which overflows; without the right to, a long one."""
    before = MAX_QUEUED.read_text(encoding="ascii")
    try:
        MAX_QUEUED.write_text(str(length), encoding="ascii")
    except OSError:
        yield
        return
    try:
        yield
    finally:
        # Another test may have had it short.
        MAX_QUEUED.write_text(str(max(int(before), USUAL)), encoding="ascii")


def torture(folder: Path, files: int, kills: int, seconds: float) -> dict[str, int]:
    """Torture, check, and return what was counted."""
    watched, database = folder / "in", folder / "said.db"
    watched.mkdir()
    logs = [folder / f"log-{number}" for number in range(WRITERS)]
    dice = random.Random(files)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", MODULE, "sense", str(watched), str(database)], stdout=errors, stderr=errors
        )

    with (folder / "errors").open("wb") as errors, short_queue(128):
        sensor = start()
        writers = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    MODULE,
                    "write",
                    str(watched),
                    str(folder / f"out-{number}"),
                    str(log),
                    str(number),
                    str(files // WRITERS),
                ]
            )
            for number, log in enumerate(logs)
        ]
        killed = 0
        try:
            while killed < kills or any(writer.poll() is None for writer in writers):
                emits(database, 1)
                wait(dice.uniform(0.0, 2 * seconds / kills))
                if dice.random() < 0.5:
                    sensor.send_signal(signal.SIGSTOP)  # The queue runs over.
                    wait(dice.uniform(0.1, 0.5))
                    sensor.send_signal(signal.SIGCONT)
                    wait(dice.uniform(0.0, 0.3))
                if killed < kills:
                    killed += 1
                    sensor.kill()
                    sensor.wait()
                    sensor = start()
                print(f"  killed {killed}, emitted {said(database)}", flush=True)
            assert [writer.wait() for writer in writers] == [0] * WRITERS
            intended = read_logs(logs)
            converge(database, intended)
            assert sensor.poll() is None
        finally:
            for process in (sensor, *writers):
                process.kill()
                process.wait()
    overflows = (folder / "errors").read_text(encoding="utf-8").count("more happened")
    return check(watched, database, intended) | {"kills": killed, "overflows logged": overflows}


def wait(seconds: float) -> None:
    """Real processes need real time."""
    signal.sigtimedwait([], seconds)


def emits(database: Path, count: int) -> None:
    """Return when a sensor emits; after a while all the same, for it may have caught up."""
    before, deadline = said(database), time.monotonic() + 3
    while said(database) < before + count and time.monotonic() < deadline:
        wait(0.02)


def said(database: Path) -> int:
    try:
        with sqlite3.connect(database) as db:
            return int(db.execute("SELECT count(*) FROM said").fetchone()[0])
    except sqlite3.Error:
        return 0


def converge(database: Path, intended: Intended) -> None:
    """Give the last sensor the time to find what is left."""
    final = intended.final()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with sqlite3.connect(database) as db:
            if final <= set(db.execute("SELECT path, size FROM said")):
                return
        wait(0.2)


def check(watched: Path, database: Path, intended: Intended) -> dict[str, int]:
    """The oracle: what the writers' logs and the folder say against what was emitted."""
    with sqlite3.connect(database) as db:
        rows = db.execute("SELECT path, size, at, mark, on_disk FROM said").fetchall()
        lives = int(db.execute("SELECT count(*) FROM lives").fetchone()[0])
    assert intended.ended == WRITERS
    on_disk = {
        (os.path.relpath(os.path.join(top, name), watched), os.lstat(os.path.join(top, name)).st_size)  # noqa: PTH118
        for top, _, names in os.walk(watched)
        for name in names
    }
    assert on_disk == intended.final(), "the writers' logs and the folder disagree"
    emitted = Counter((path, size) for path, size, *_ in rows)
    missed = intended.final() - set(emitted)
    twice = {one: count for one, count in emitted.items() if count > 1}
    unwritten = [row for row in rows if row[1] not in intended.versions.get(row[0], {})]
    early = [row for row in rows if row not in unwritten and row[2] < intended.versions[row[0]][row[1]]]
    assert not missed, f"{len(missed)} missed: {sorted(missed)[:5]}"
    assert not twice, f"{len(twice)} twice: {list(twice.items())[:5]}"
    assert not unwritten, f"{len(unwritten)} half written: {unwritten[:5]}"
    assert not early, f"{len(early)} before their writer was done: {early[:5]}"
    return {"files": len(intended.final()), "emitted": len(rows), "lives": lives}


def test_torture_directory_short(tmp_path: Path) -> None:
    counted = torture(tmp_path, 2_000, 3, 2.0)
    assert counted["kills"] == 3
    assert counted["files"] > 1_500


@pytest.mark.campaign
def test_torture_directory_long(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if "campaign" not in str(request.config.getoption("markexpr")):
        pytest.skip("about ten minutes; start it with -m campaign")
    began = time.monotonic()
    counted = torture(tmp_path, 100_000, 20, 180.0)
    print({**counted, "seconds": round(time.monotonic() - began)})
    assert counted["kills"] == 20
