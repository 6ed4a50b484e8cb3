"""The sources' outsides for daemons that die: what happens, whether or not anybody looks, and what must come of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import NAMESPACE_URL, uuid5

import anyio
from aiobotocore.session import get_session  # type: ignore[import-untyped]

from tests.campaigns.dying import HURRIED, around
from tests.campaigns.killing import ROOT, until
from tests.sources.conformance_entries import KEYS
from tests.sources.conformance_outsides import LISTS, READS
from tests.sources.python_kit import write
from tests.sources.s3_kit import ACCESS, SECRET, moto, rclone

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
        until(lambda: ready.exists() or daemon.poll() is not None, 30, "it is ready, or was")
        give_up = time.monotonic() + 90
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


@dataclass(frozen=True)
class Kind:
    """One source: its outside, the places where its daemon is killed besides those of every source."""

    name: str
    sensor: str
    happen: Callable[[World, str], str]
    looks: tuple[str, ...]
    open: Callable[[World], AbstractContextManager[object]] = lambda _world: nullcontext()
    hurried: bool = False

    @property
    def points(self) -> list[str]:
        """Where its daemon is killed."""
        return around("open_sensor", "commit_ticks", *self.looks)


def put(folder: Path, name: str) -> str:
    """A file that is whole at once."""
    spare = folder.parent / f"{folder.name}-{name}"
    spare.write_text(name)
    spare.rename(folder / name)
    return name


def put_file(world: World, name: str) -> str:
    return put(world.folder / "in", name)


@contextmanager
def with_folder(world: World) -> Iterator[None]:
    (world.folder / "in").mkdir()
    yield


@contextmanager
def with_bucket(world: World) -> Iterator[None]:
    served = world.folder / "served"
    (served / "data").mkdir(parents=True)
    with rclone(served) as url:
        world.words |= {"bucket": "data", "url": url}
        yield


@contextmanager
def with_queue(world: World) -> Iterator[None]:
    """A bucket whose notices go to a queue; what is received and not deleted comes again a second later."""
    with moto() as url:
        world.words |= {"bucket": "data", "url": url, "queue": anyio.run(_make_queue, url)}
        yield


async def _make_queue(url: str) -> str:
    session = get_session()
    session.set_credentials(ACCESS, SECRET)
    keys = {"endpoint_url": url, "region_name": "us-east-1"}
    async with session.create_client("s3", **keys) as s3, session.create_client("sqs", **keys) as sqs:
        await s3.create_bucket(Bucket="data")
        queue = await sqs.create_queue(QueueName="data", Attributes={"VisibilityTimeout": "1"})
        wanted = {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:data", "Events": ["s3:ObjectCreated:*"]}
        await s3.put_bucket_notification_configuration(
            Bucket="data", NotificationConfiguration={"QueueConfigurations": [wanted]}
        )
    return str(queue["QueueUrl"])


def upload(world: World, name: str) -> str:
    with urlopen(Request(f"{world.words['url']}/data/{name}", name.encode(), method="PUT"), timeout=10):
        return name


def publish(world: World, name: str) -> str:
    id_ = str(uuid5(NAMESPACE_URL, f"{world.folder}/{name}"))
    world.tell("/api/events", {"topic": "bp.test.oks", "message": name, "id": id_})
    return name


def report(world: World, name: str) -> str:
    run = str(uuid5(NAMESPACE_URL, f"{world.folder}/{name}"))
    job = {"namespace": "airflow", "name": "etl.load"}
    world.tell("/api/v1/lineage", {"eventType": "COMPLETE", "run": {"runId": run}, "job": job})
    return run


def launch(world: World, name: str) -> str:
    world.tell("/api/jobs/first/runs", {"run_key": name})
    return name


def with_module(code: str) -> Callable[[World], AbstractContextManager[None]]:
    @contextmanager
    def open_(world: World) -> Iterator[None]:
        (world.folder / "in").mkdir()
        if code == READS:
            (world.folder / "in" / "log").touch()
        write(world.folder, code)
        yield

    return open_


def append(world: World, name: str) -> str:
    with (world.folder / "in" / "log").open("a") as log:
        log.write(f"{name}\n")
    return name


def wait(_world: World, name: str) -> str:
    """Minutes pass by themselves."""
    return name


PYTHON = "python: {{module: team, function: mine, interval: 200ms}}"
KINDS = (
    Kind(
        "directory",
        "directory: {{path: in, rescan: 500ms}}\n    run_key: '{{{{ file.name }}}}'",
        put_file,
        ("list", "look"),
        with_folder,
    ),
    Kind("topic", "topic: bp.test.*\n    run_key: '{{{{ event.message }}}}'", publish, ("read",)),
    Kind("lineage", "lineage: {{job: etl.*}}\n    run_key: '{{{{ lineage.run.runId }}}}'", report, ("read",)),
    Kind("runs", "runs: {{job: first}}\n    run_key: '{{{{ run.run_key }}}}'", launch, ("read",)),
    Kind("schedule", "schedule: {{cron: '* * * * *', catch_up: all}}", wait, ("due",), hurried=True),
    Kind(
        "s3",
        f"s3: {{{{bucket: {{bucket}}, interval: 200ms, {KEYS}}}}}\n    run_key: '{{{{{{{{ object.name }}}}}}}}'",
        lambda world, name: put(world.folder / "served" / "data", name),
        ("page",),
        with_bucket,
    ),
    Kind(
        "s3 notices",
        f"s3: {{{{bucket: {{bucket}}, listing: false, queue_url: '{{queue}}', {KEYS}}}}}\n"
        "    run_key: '{{{{ object.name }}}}'",
        upload,
        ("receive", "delete"),
        with_queue,
    ),
    Kind("python", PYTHON, put_file, ("order", "hear"), with_module(LISTS)),
    Kind("python with a cursor", PYTHON, append, ("order", "hear"), with_module(READS)),
)
