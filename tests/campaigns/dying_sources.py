"""Daemons that die beside their sources' outsides: what happens, looked at or not, and what must come of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from tests.campaigns.dying import HURRIED
from tests.campaigns.killing import ROOT, until

if TYPE_CHECKING:
    from tests.campaigns.source_kinds import Kind
    from tests.sources.dagster_kit import Dagster

CONFIG = """
http: {{port: 0}}
concurrency: 4
jobs:
  first: {{command: ["true"]}}
  note: {{command: [sh, -c, 'echo "$SENSORD_RUN_ID.$SENSORD_ATTEMPT $SENSORD_RUN_KEY" >> "$1"', sh, "{effects}"]}}
sensors:
  watched:
    {sensor}
    job: note
log: {{level: warning}}
"""
ENDED = "status IN ('succeeded','failed','cancelled','lost')"


@dataclass
class World:
    """A folder with one sensor, what happened around it, and the daemon that lives in it for a while."""

    folder: Path
    kind: Kind
    words: dict[str, str] = field(default_factory=dict)
    dagster: Dagster | None = None
    expected: list[str] = field(default_factory=list)
    unheard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    daemon: subprocess.Popen[bytes] | None = None
    kills: int = 0

    def __post_init__(self) -> None:
        self.effects = self.folder / "effects"
        self.effects.touch()
        self.env = {**os.environ, "PYTHONPATH": str(ROOT)}
        if self.kind.hurried:
            self.env[HURRIED] = str(time.time())

    def start(self, point: str = "never:", nth: int = 0) -> None:
        """Start a daemon that dies there; one that comes to no such place lives on."""
        sensor = self.kind.sensor.format(**self.words)
        (self.folder / "sensord.yaml").write_text(CONFIG.format(effects=self.effects, sensor=sensor))
        program = [sys.executable, "-m", "tests.campaigns.dying", point, str(nth), "-c", "sensord.yaml", "run"]
        with (self.folder / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(program, cwd=self.folder, stdout=log, stderr=log, env=self.env)

    def happen(self) -> None:
        """One more thing; what must be told to the daemon is told until it has taken it."""
        name = f"{len(self.expected):03}.csv"
        self.expected.append(self.kind.happen(self, name))

    def tell(self, path: str, body: dict[str, Any]) -> None:
        """Have a program tell the daemon of something."""
        self.unheard.append((path, body))
        self.told()

    def told(self) -> bool:
        """Whether the daemon has taken what it was told; it is told again, by the same id, what it did not."""
        while self.unheard:
            path, body = self.unheard[0]
            try:
                url = json.loads((self.folder / ".sensord" / "daemon.json").read_text())["url"]
                data = json.dumps(body).encode()
                with urlopen(Request(f"{url}{path}", data, {"Content-Type": "application/json"}), timeout=5):
                    self.unheard.pop(0)
            except (OSError, HTTPException, ValueError):
                return False
        return True

    def dies(self, point: str, nth: int, most: int) -> None:
        """A life of the daemon that ends there, while things go on happening."""
        self.start(point, nth)
        daemon = self.daemon
        assert daemon is not None
        ready, began = self.folder / ".sensord" / "daemon.json", len(self.expected)
        until(lambda: ready.exists() or daemon.poll() is not None, 120, "it is ready, or was")
        give_up = time.monotonic() + 300
        while daemon.poll() is None:
            if len(self.expected) - began < most:
                self.happen()
            assert time.monotonic() < give_up, f"it did not come to {point} {nth} times"
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(0.3)
            self.told()
        assert daemon.returncode == -signal.SIGKILL, (self.folder / "daemon.log").read_text()
        self.kills += 1

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says, read from outside."""
        with closing(sqlite3.connect(f"file:{self.folder / 'sensord.db'}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def rests(self, count: int) -> bool:
        """Whether everything was heard, and so many runs have ended and none is open."""
        if not self.told() or not (self.folder / "sensord.db").exists():
            return False
        if not self.rows("SELECT 1 FROM sqlite_master WHERE name = 'runs'"):
            return False
        ((ended, open_),) = self.rows(
            f"SELECT coalesce(sum({ENDED}), 0), coalesce(sum(NOT {ENDED}), 0) FROM runs WHERE job = 'note'"
        )
        return bool(ended >= count and open_ == 0)

    def stop(self) -> None:
        """End it in order."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(30)

    def judge(self) -> str:
        """Each thing is one run that was started once, and nothing else ran; a line of figures."""
        runs = self.rows("SELECT run_key, status FROM runs WHERE job = 'note'")
        keys, ended = sorted(key for key, _ in runs), {key for key, status in runs if status == "succeeded"}
        effects = [line.split() for line in self.effects.read_text().splitlines()]
        done = Counter(key for _, key in effects)
        expected = minutes(keys) if self.kind.hurried else sorted(self.expected)
        assert keys == expected, f"each thing is one run: {keys} for {expected}"
        assert set(done.values()) == {1}, f"done more than once: {[key for key in done if done[key] > 1]}"
        # Minutes go on: one may just be under way as the daemon is stopped.
        assert ended <= set(done) <= set(keys)
        assert self.kind.hurried or ended == set(keys)
        assert self.rows(f"SELECT count(*) FROM runs WHERE {ENDED} AND status <> 'succeeded'") == [(0,)]
        assert self.rows("PRAGMA integrity_check") == [("ok",)]
        return f"{self.kind.name}: {self.kills} kills, {len(expected)} things, each run once"


def minutes(keys: Sequence[str]) -> list[str]:
    """Every minute from the first of these to the last."""
    first, last = datetime.fromisoformat(min(keys)), datetime.fromisoformat(max(keys))
    count = round((last - first) / timedelta(minutes=1))
    return [f"{first + timedelta(minutes=n):%Y-%m-%dT%H:%M:%SZ}" for n in range(count + 1)]
