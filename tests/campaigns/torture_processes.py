"""The processes of the directory torture: a sensor that remembers durably, and writers that note what they did.

`python -m tests.campaigns.torture_processes sense FOLDER DATABASE`
`python -m tests.campaigns.torture_processes write FOLDER OUTSIDE LOG SEED COUNT`
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import anyio

from rules.request import Sensed
from sensord.sources.directory import DirectoryConfig, open_directory

# Between two files of one writer: the sensor's lives are to see some of them each.
PAUSE = 0.004

TABLES = """
CREATE TABLE IF NOT EXISTS said (path TEXT, size INTEGER, at INTEGER, mark INTEGER, on_disk INTEGER, life INTEGER);
CREATE TABLE IF NOT EXISTS marks (mark INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS cursor (value TEXT);
CREATE TABLE IF NOT EXISTS lives (began INTEGER);
"""


class Durable:
    """An Emit whose emissions, marks and cursor are committed in one transaction, as the ledger's are."""

    def __init__(self, database: str) -> None:
        self._db = sqlite3.connect(database, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(TABLES)
        self._life = self._db.execute("INSERT INTO lives VALUES (?)", (time.monotonic_ns(),)).lastrowid

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        at = time.monotonic_ns()
        rows = [
            (one.context["file"]["relative"], one.context["file"]["size"], at, one.mark, _size(one), self._life)
            for one in sensed
        ]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO said VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._db.executemany("INSERT OR IGNORE INTO marks VALUES (?)", [(one.mark,) for one in sensed])
        self._db.execute("DELETE FROM cursor")
        self._db.execute("INSERT INTO cursor VALUES (?)", (cursor,))
        self._db.execute("COMMIT")

    async def failed(self, reason: str) -> None:
        print(reason, file=sys.stderr, flush=True)

    async def recovered(self) -> None:
        pass

    def looked(self) -> None:
        pass

    def behind(self, since: datetime | None) -> None:
        pass

    async def marks(self) -> set[int]:
        return {mark for (mark,) in self._db.execute("SELECT mark FROM marks")}

    async def forget(self, marks: Iterable[int]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("DELETE FROM marks WHERE mark = ?", [(mark,) for mark in marks])
        self._db.execute("COMMIT")

    @property
    def cursor(self) -> str | None:
        row = self._db.execute("SELECT value FROM cursor").fetchone()
        return row[0] if row else None


def _size(sensed: Sensed) -> int:
    """What is on the disk when it is emitted; -1: deleted or moved meanwhile."""
    try:
        return os.lstat(sensed.context["file"]["path"]).st_size
    except OSError:
        return -1


async def sense(folder: str, database: str) -> None:
    """Run the source until killed."""
    emit = Durable(database)
    config = DirectoryConfig.model_validate({"path": folder, "recursive": True, "settle": "1s", "rescan": "5s"})
    async with open_directory("torture", config) as source:
        await source.run(emit, emit.cursor)


class Writer:
    """Makes files in every way there is, several at a time, and notes each version just before it is complete.

    A file's versions all have different sizes, so that a size tells which version was seen.
    """

    def __init__(self, folder: Path, outside: Path, log: Path, seed: int) -> None:
        self.folder, self.outside, self.seed = folder, outside, seed
        self.log = log.open("w", encoding="utf-8", buffering=1)
        self.random = random.Random(seed)
        self.growing: list[tuple[str, BinaryIO, int]] = []
        self.number = 0
        outside.mkdir(exist_ok=True)

    def note(self, what: str, path: Path | str, size: int = 0) -> None:
        relative = os.path.relpath(path, self.folder)
        self.log.write(json.dumps([what, relative, size, time.monotonic_ns()]) + "\n")

    def run(self, count: int) -> None:
        ways: list[Callable[[Path], None]] = [
            *[self.slowly] * 3, self.renamed, self.linked, self.linked_open, self.appended, self.deleted,
            self.deep, self.tree, self.overwritten, self.moved_on,
        ]  # fmt: skip
        for self.number in range(count):
            self.random.choice(ways)(self.folder / f"{self.seed}-{self.number % 50}" / f"{self.number}")
            self.grow()
            signal.sigtimedwait([], PAUSE)
        while self.growing:
            self.grow()
        self.note("end", self.folder)

    def place(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, path: Path, size: int) -> None:
        """Write in two pieces and close."""
        with path.open("wb", buffering=0) as file:
            file.write(b"x" * (size // 2))
            file.write(b"x" * (size - size // 2))

    def slowly(self, path: Path) -> None:
        self.growing.append((str(path), self.place(path).open("wb", buffering=0), 0))

    def grow(self) -> None:
        """One more piece for some file that is open; now and then its last."""
        if not self.growing or (len(self.growing) < 20 and self.random.random() < 0.5 and self.number % 2):
            return
        at = self.random.randrange(len(self.growing))
        path, file, size = self.growing[at]
        size += file.write(b"y" * self.random.randint(1, 5_000))
        self.growing[at] = (path, file, size)
        if self.random.random() < 0.2 or len(self.growing) > 100:
            del self.growing[at]
            self.note("version", path, size)
            file.close()

    def renamed(self, path: Path) -> None:
        temporary = self.place(path).with_suffix(".tmp")
        self.put(temporary, 100)
        self.note("version", path, 100)
        temporary.rename(path)

    def linked(self, path: Path) -> None:
        hidden = self.place(path).with_name(f".{path.name}")
        self.put(hidden, 200)
        self.note("version", path, 200)
        path.hardlink_to(hidden)
        hidden.unlink()

    def linked_open(self, path: Path) -> None:
        """The link is there while its writer goes on under another name, elsewhere."""
        other = self.outside / path.name
        file = other.open("wb", buffering=0)
        size = file.write(b"z" * 10)
        self.place(path).hardlink_to(other)
        self.growing.append((str(path), file, size))

    def appended(self, path: Path) -> None:
        for size in (50, 120):
            with self.place(path).open("ab", buffering=0) as file:
                file.write(b"a" * (size - file.tell()))
                self.note("version", path, size)

    def overwritten(self, path: Path) -> None:
        self.note("version", path, 300)
        self.put(self.place(path), 300)
        with path.open("r+b", buffering=0) as file:
            file.truncate(70)
            file.write(b"b" * 60)
            self.note("version", path, 70)

    def deleted(self, path: Path) -> None:
        self.note("version", path, 400)
        self.put(self.place(path), 400)
        self.note("gone", path)
        path.unlink()

    def deep(self, path: Path) -> None:
        path = self.place(path.parent.joinpath(*"abcdef", str(self.number), path.name))
        self.note("version", path, 500)
        self.put(path, 500)

    def tree(self, path: Path) -> None:
        inside = self.outside / f"tree-{self.number}"
        (inside / "sub").mkdir(parents=True)
        for name in ("1", "sub/2"):
            self.put(inside / name, 600)
            self.note("version", path / name, 600)
        self.place(path)
        inside.rename(path)

    def moved_on(self, path: Path) -> None:
        self.note("version", path, 700)
        self.put(self.place(path), 700)
        target = path.with_name(f"{path.name}-moved")
        self.note("version", target, 700)
        self.note("gone", path)
        path.rename(target)


def main(what: str, *arguments: str) -> None:
    if what == "sense":
        folder_name, database = arguments
        anyio.run(sense, folder_name, database)
    else:
        folder, outside, log = map(Path, arguments[:3])
        Writer(folder, outside, log, int(arguments[3])).run(int(arguments[4]))
        shutil.rmtree(outside)


if __name__ == "__main__":
    main(*sys.argv[1:])
