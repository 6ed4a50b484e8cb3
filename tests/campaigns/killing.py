"""A daemon that is killed again and again while files drop and the services misbehave, and an outside judge.

The judge reads what was really done, not what the daemon believes: the jobs' own notes, the doubles' own records.
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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.doubles.telegram import TOKEN

ROOT = Path(__file__).parents[2]
CHATS = 8
FAULTS: list[dict[str, Any]] = [
    {"kind": "lost", "rate": 0.05},
    {"kind": "reset", "rate": 0.05},
    {"kind": "502", "rate": 0.02},
    {"kind": "500", "rate": 0.05},
]
CONFIG = """
http: {{port: 0}}
concurrency: 4
telegram: {{token: "{token}", api_url: "{url}"}}
jobs:
  note:
    command: [sh, -c,
              'printf "%s %s\\n" "$SENSORD_RUN_ID.$SENSORD_ATTEMPT" "$2" >> "$1"; case "$2" in *bad*) exit 3;; esac',
              sh, "{effects}", "{{{{ run.config.name }}}}"]
sensors:
  drop:
    directory: {{path: in, pattern: "*.csv", rescan: 5s}}
    job: note
    run_key: "{{{{ file.name }}}}"
    run_config: {{name: "{{{{ file.name }}}}"}}
log: {{level: warning}}
subscriptions:
  - {{topic: "runs.*.failed", to: "inbox:"}}
  - {{topic: "runs.note.succeeded", to: "inbox:"}}
"""


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What an outside condition gives once it holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return found


@dataclass
class World:
    """A folder, the doubles around it, and the daemon that lives in it for a while."""

    folder: Path
    seed: int
    names: list[str] = field(default_factory=list)
    daemon: subprocess.Popen[bytes] | None = None
    kills: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        (self.folder / "in").mkdir()
        (self.folder / "out").mkdir()
        self.effects = self.folder / "effects"
        self.effects.touch()
        self.record = self.folder / "telegram.jsonl"
        self.record.touch()
        words = ["--unlimited", "--record", str(self.record), "--faults", json.dumps(FAULTS), "--seed", str(self.seed)]
        command = [sys.executable, "-m", "tests.doubles.telegram", *words]
        self.double = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.double.stdout is not None
        url = self.double.stdout.readline().split()[0]
        text = CONFIG.format(token=TOKEN, url=url, effects=self.effects)
        text += "".join(
            f'  - {{topic: "runs.>", to: "telegram:{100 + n}", where: {{severity: ">=info"}}}}\n' for n in range(CHATS)
        )
        (self.folder / "sensord.yaml").write_text(text)

    def start(self) -> None:
        """Start the daemon; it may be killed before it is ready."""
        command = [sys.executable, "-m", "sensord", "-c", "sensord.yaml", "run"]
        with (self.folder / "daemon.log").open("ab") as log:
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.daemon = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=env)

    def kill(self) -> None:
        """kill -9 of the daemon; its jobs and their supervisor go on."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()
        self.kills += 1

    def drop(self) -> None:
        """One more file, written, renamed or linked into the folder."""
        name = f"{len(self.names):05}{'-bad' if self.random.random() < 0.2 else ''}.csv"
        target, outside = self.folder / "in" / name, self.folder / "out" / name
        way = self.random.randrange(3)
        if way == 0:
            target.write_text("a,b\n1,2\n")
        else:
            outside.write_text("a,b\n1,2\n")
            (os.rename if way == 1 else os.link)(outside, target)
        self.names.append(name)

    def ledger(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says, read from outside."""
        connection = sqlite3.connect(f"file:{self.folder / 'sensord.db'}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def quiet(self) -> bool:
        """Whether every file has an ended run, every event was routed, and every delivery has ended."""
        if not self.ledger("SELECT 1 FROM sqlite_master WHERE name = 'runs'"):
            return False
        (runs,) = self.ledger("SELECT count(*) FROM runs WHERE status IN ('succeeded','failed','cancelled','lost')")
        (open_ones,) = self.ledger("SELECT count(*) FROM deliveries WHERE status IN ('pending','sending')")
        (behind,) = self.ledger(
            "SELECT (SELECT max(seq) FROM events) - (SELECT max(seq) FROM bus_cursors WHERE name = 'deliveries')"
        )
        return bool(runs[0] >= len(self.names) and open_ones[0] == 0 and behind[0] == 0)

    def stop(self) -> None:
        """End everything in order."""
        for process, number in ((self.daemon, signal.SIGTERM), (self.double, signal.SIGTERM)):
            if process is not None and process.poll() is None:
                process.send_signal(number)
                process.wait(30)
        if self.double.stdout is not None:
            self.double.stdout.close()


def judge(world: World) -> str:
    """Hold what was done against what was promised (I1, I2, I4, I6, I7, I8, I13); a line of figures."""
    runs = world.ledger("SELECT id, run_key, status, attempt FROM runs")
    assert sorted(key for _, key, _, _ in runs) == sorted(world.names), "each file is one run"
    effects = [line.split() for line in world.effects.read_text().splitlines()]
    starts = Counter(token for token, _ in effects)
    assert not [token for token, count in starts.items() if count > 1], "an attempt was started twice"
    done = {name for _, name in effects}
    for run, name, status, attempt in runs:
        expected = "failed" if "bad" in name else "succeeded"
        assert status == expected, f"run {run} of {name} is {status}"
        assert f"{run}.{attempt}" in starts, f"run {run} is {status} and never ran"
    assert done == set(world.names)
    terminal = world.ledger(
        "SELECT run, count(*) FROM events WHERE type IN ('run.succeeded','run.failed','run.lost') GROUP BY run"
    )
    assert sorted(terminal) == sorted((run, 1) for run, _, _, _ in runs), "one terminal event a run"
    rows = world.ledger(
        "SELECT d.id, d.destination, d.status, d.doubtful, e.run, e.type "
        "FROM deliveries d JOIN events e ON e.id = d.event"
    )
    told = Counter(
        (destination, run) for _, destination, status, _, run, kind in rows if status in ("delivered", "uncertain")
    )
    for run, _, _, _ in runs:
        for chat in range(CHATS):
            assert told[f"telegram:{100 + chat}", run] == 1, f"chat {chat} was not told of run {run}"
        assert told["inbox:", run] == 1
    copies: Counter[tuple[str, str | None]] = Counter()
    keys = {run: name for run, name, _, _ in runs}
    for line in world.record.read_text().splitlines():
        call = json.loads(line)
        if call["committed"]:
            name = next((name for name in keys.values() if name in call["text"]), None)
            copies[call["chat"], name] += 1
    doubtful = Counter(
        (d.removeprefix("telegram:"), keys[run]) for _, d, _, doubt, run, _ in rows if doubt for _ in range(doubt)
    )
    for chat in range(CHATS):
        for name in keys.values():
            count = copies[str(100 + chat), name]
            assert count >= 1, f"chat {chat} never got {name}"
            assert count <= 1 + doubtful[str(100 + chat), name], f"chat {chat} got {name} {count} times without a doubt"
    assert world.ledger("PRAGMA integrity_check") == [("ok",)]
    extra = sum(copies.values()) - len(copies)
    return (
        f"seed {world.seed}: {len(runs)} files, {world.kills} kills, {sum(copies.values())} messages, "
        f"{extra} copies, {sum(doubtful.values())} answers in doubt"
    )
