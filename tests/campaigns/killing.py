"""A daemon that is killed again and again while files drop and the services misbehave, and an outside judge.

The judge reads what was really done, not what the daemon believes: the jobs' own notes, the doubles' own records.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.doubles.slack import SlackDouble
from tests.doubles.telegram import TOKEN as TELEGRAM_TOKEN
from tests.launchers.command_kit import supervisors

ROOT = Path(__file__).parents[2]
ROOMS = ("C0FIRST", "C0SECOND")
# What goes wrong with calls, and with what share of them; the rest is answered.
TELEGRAM_FAULTS: list[dict[str, Any]] = [
    {"kind": "lost", "rate": 0.03, "count": None},
    {"kind": "reset", "rate": 0.03, "count": None},
    {"kind": "502", "rate": 0.02, "count": None},
    {"kind": "500", "rate": 0.02, "count": None},
    {"kind": "429", "rate": 0.01, "seconds": 2, "count": None},
]
SLACK_FAULTS: list[dict[str, Any]] = [
    {"kind": "lost", "rate": 0.03},
    {"kind": "reset", "rate": 0.03},
    {"kind": "502", "rate": 0.02},
    {"kind": "500", "rate": 0.02},
    {"kind": "429", "rate": 0.01, "seconds": 2},
]
CONFIG = """
http: {{port: 0}}
concurrency: 4
bursts: send
telegram: {{token: "{telegram_token}", api_url: "{telegram}"}}
slack: {{token: "{slack_token}", api_url: "{slack}/api/"}}
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
"""
TERMINAL = ("succeeded", "failed", "lost")


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What an outside condition gives once it holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return found


@dataclass
class World:
    """A folder, the doubles around it, and the daemon that lives in it for a while. `faulty`: the doubles misbehave."""

    folder: Path
    seed: int
    chats: int = 8
    faulty: bool = True
    names: list[str] = field(default_factory=list)
    daemon: subprocess.Popen[bytes] | None = None
    kills: int = 0
    supervisor_kills: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        (self.folder / "in").mkdir()
        (self.folder / "out").mkdir()
        self.effects = self.folder / "effects"
        self.effects.touch()
        self.doubles: list[subprocess.Popen[str]] = []
        telegram = self._double("telegram", TELEGRAM_FAULTS)
        slack = self._double("slack", SLACK_FAULTS, "--rooms", ",".join(ROOMS))
        self.chosen = [f"telegram:{100 + n}" for n in range(self.chats)] + [f"slack:{room}" for room in ROOMS]
        text = CONFIG.format(
            telegram_token=TELEGRAM_TOKEN,
            telegram=telegram.split()[0],
            slack_token=SlackDouble.token,
            slack=f"http://127.0.0.1:{slack.strip()}",
            effects=self.effects,
        )
        for status in TERMINAL:
            text += f'  - {{topic: "runs.*.{status}", to: "inbox:"}}\n'
        for one in self.chosen:
            text += f'  - {{topic: "runs.>", to: "{one}", where: {{severity: ">=info"}}}}\n'
        (self.folder / "sensord.yaml").write_text(text)

    def _double(self, name: str, faults: list[dict[str, Any]], *more: str) -> str:
        """Start a double that notes what it is asked; the line that it prints."""
        record = self.folder / f"{name}.jsonl"
        record.touch()
        words = ["--unlimited", "--record", str(record), "--seed", str(self.seed), *more]
        words += ["--faults", json.dumps(faults if self.faulty else [])]
        command = [sys.executable, "-m", f"tests.doubles.{name}", *words]
        double = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.doubles.append(double)
        assert double.stdout is not None
        return double.stdout.readline()

    def start(self, *, program: Sequence[str] = ("-m", "sensord")) -> None:
        """Start the daemon; it may be killed before it is ready."""
        command = [sys.executable, *program, "-c", "sensord.yaml", "run"]
        with (self.folder / "daemon.log").open("ab") as log:
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.daemon = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=env)

    def kill(self) -> None:
        """kill -9 of the daemon; its jobs and their supervisor go on."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()
        self.kills += 1

    def kill_supervisor(self) -> None:
        """kill -9 of the parent of the runs, if there is one."""
        for pid in supervisors(self.folder / ".sensord"):
            os.kill(pid, signal.SIGKILL)
            self.supervisor_kills += 1

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
        # In one statement: between two of them an event may be routed, and its delivery begin.
        ((runs, waiting, behind),) = self.ledger(
            "SELECT (SELECT count(*) FROM runs WHERE status IN ('succeeded','failed','cancelled','lost')), "
            "(SELECT count(*) FROM deliveries WHERE status IN ('pending','sending')), "
            "(SELECT max(seq) FROM events) - (SELECT max(seq) FROM bus_cursors WHERE name = 'deliveries')"
        )
        return bool(runs >= len(self.names) and waiting == 0 and behind == 0)

    def stop(self) -> None:
        """End everything in order."""
        for process in (self.daemon, *self.doubles):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
        for double in self.doubles:
            if double.stdout is not None:
                double.stdout.close()

    def sent(self) -> Iterator[tuple[str, str]]:
        """What people in chats and rooms see: destination and text, once for each time."""
        for line in (self.folder / "telegram.jsonl").read_text().splitlines():
            call = json.loads(line)
            if call["committed"] and call["method"].startswith("send"):  # An edit adds no message.
                yield f"telegram:{call['chat']}", call["text"]
        for line in (self.folder / "slack.jsonl").read_text().splitlines():
            call = json.loads(line)
            if call["committed"] and call["method"] == "chat.postMessage":
                yield f"slack:{call['body']['channel']}", call["body"]["text"]


def judge(world: World) -> str:
    """Hold what was done against what was promised (I1, I2, I4, I6, I7, I8, I13); a line of figures."""
    runs = world.ledger("SELECT id, run_key, status, attempt FROM runs")
    assert sorted(key for _, key, _, _ in runs) == sorted(world.names), "each file is one run"
    lost = _judge_runs(world, runs)
    terminal = world.ledger(
        "SELECT run, count(*) FROM events WHERE type IN ('run.succeeded','run.failed','run.lost') GROUP BY run"
    )
    assert sorted(terminal) == sorted((run, 1) for run, _, _, _ in runs), "one terminal event a run"
    messages, copies, doubts, never = _judge_messages(world, {run: name for run, name, _, _ in runs})
    assert world.ledger("PRAGMA integrity_check") == [("ok",)]
    return (
        f"seed {world.seed}: {len(runs)} files, {world.kills} daemons and {world.supervisor_kills} supervisors killed, "
        f"{lost} runs lost, {messages} messages, {copies} copies, {doubts} answers in doubt, "
        f"{never} messages with both answers lost that never came"
    )


def _judge_runs(world: World, runs: Sequence[tuple[Any, ...]]) -> int:
    """Each run ended as its job did, and was started once. Only a killed supervisor may cost an exit code."""
    effects = [line.split() for line in world.effects.read_text().splitlines()]
    starts = Counter(token for token, _ in effects)
    assert not [token for token, count in starts.items() if count > 1], "an attempt was started twice"
    lost = [name for _, name, status, _ in runs if status == "lost"]
    assert not lost or world.supervisor_kills, f"lost, though no supervisor was killed: {lost}"
    for run, name, status, attempt in runs:
        if status != "lost":
            assert status == ("failed" if "bad" in name else "succeeded"), f"run {run} of {name} is {status}"
            assert f"{run}.{attempt}" in starts, f"run {run} is {status} and never ran"
    assert set(world.names) - {name for _, name in effects} <= set(lost)
    return len(lost)


def _judge_messages(world: World, names: dict[str, str]) -> tuple[int, int, int, int]:
    """Everyone subscribed was told of each run; twice, or not at all, only where answers were in doubt, and said so."""
    rows = world.ledger(
        "SELECT d.destination, d.status, d.doubts, e.run FROM deliveries d JOIN events e ON e.id = d.event "
        "WHERE d.subscription NOT LIKE 'recovery:%'"
    )
    told = {
        (to, run): (status, json.loads(doubts))
        for to, status, doubts, run in rows
        if run and status in ("delivered", "uncertain")
    }
    assert len(told) == sum(1 for _, status, _, run in rows if run and status in ("delivered", "uncertain"))
    assert set(told) == {(one, run) for one in ("inbox:", *world.chosen) for run in names}, "each of each run, once"
    noticed = {subject for (subject,) in world.ledger("SELECT subject FROM events WHERE type = 'message'")}
    of = re.compile("|".join(map(re.escape, sorted(names.values(), reverse=True))))
    copies = Counter((to, found[0]) for to, text in world.sent() if (found := of.search(text)))
    never = 0
    for one in world.chosen:
        for run, name in names.items():
            (status, doubts), count = told[one, run], copies[one, name]
            assert count <= 1 + len(doubts), f"{one} got {name} {count} times without a doubt"
            if count == 0:  # Sent, its answer lost; sent once more, marked; that answer lost as well. A kill right
                # after that is one doubt more, about a part behind the last.
                said = f"{one} never got {name}, which is {status} with doubts {doubts}"
                assert (status, doubts.count(0)) == ("uncertain", 2), said
                assert one in noticed, f"{one} never got {name}, and the owner was not told"
                never += 1
    again = sum(count - 1 for count in copies.values())
    return sum(copies.values()), again, sum(len(doubts) for _, doubts in told.values()), never
