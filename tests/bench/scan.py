"""Listings of trees that hold nothing new, and a start with a million known files.

`python -m tests.bench.scan [FILES …]` (default 1000 100000 1000000; 1,000 files a folder, on /dev/shm where there is
one). Each figure comes from a process of its own, and the bare scandir walks of the same tree stand beside it.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

import anyio

from rules.request import Sensed
from sensord.sources.directory import DirectoryConfig, open_directory
from sensord.sources.directory_names import mark_of
from tests.bench.figures import bar

PER_FOLDER = 1_000
ROUNDS = 5
IDLE = 5.0


class Known:
    """An Emit that knows every file from the start and counts what it is told."""

    def __init__(self, marks: set[int], cursor: str) -> None:
        self._marks: set[int] | None = marks
        self.cursor = cursor
        self.emitted = 0
        self.forgotten = 0
        self.looks = 0
        self.looked_again = anyio.Event()
        self.told = anyio.Event()

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        self.cursor = cursor or self.cursor
        self.emitted += len(sensed)
        self.told.set()

    async def failed(self, reason: str) -> None:
        raise RuntimeError(reason)

    async def recovered(self) -> None:
        pass

    def looked(self) -> None:
        self.looks += 1
        self.looked_again.set()

    def behind(self, since: datetime | None) -> None:
        pass

    async def marks(self) -> set[int]:
        marks, self._marks = self._marks or set(), None
        return marks

    async def forget(self, marks: Iterable[int]) -> None:
        self.forgotten += len(list(marks))


def make(folder: Path, files: int) -> None:
    """A tree of that many files, 32 folders of folders wide, and old enough to be trusted."""
    for first in range(0, files, PER_FOLDER):
        place = folder / f"d{first // PER_FOLDER // 32:03}" / f"s{first // PER_FOLDER:05}"
        place.mkdir(parents=True)
        fd = os.open(place, os.O_RDONLY)
        for number in range(first, min(first + PER_FOLDER, files)):
            os.close(os.open(f"file_{number:08}.csv", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
        os.close(fd)


def walk_types(folder: str) -> int:
    """The limit of every listing: names and types, nothing kept."""
    count, todo = 0, [folder]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    count += 1
    return count


def walk_stat(folder: str) -> int:
    """The limit of every listing that looks at the files, too."""
    count, todo = 0, [folder]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    count += entry.stat(follow_symlinks=False).st_nlink
    return count


def marks_of(folder: str) -> set[int]:
    """What a sensor that emitted every file of the tree remembers."""
    marks = set()
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)  # noqa: PTH118 (a million times)
            status = os.lstat(path)
            relative = os.fsencode(os.path.relpath(path, folder))
            marks.add(mark_of(relative, status.st_size, status.st_mtime_ns, status.st_ino))
    return marks


def rss() -> float:
    """Resident memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def cpu_of(work: Callable[[], object]) -> float:
    """The median processor time of a few rounds, in ms."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append((time.process_time() - began) * 1e3)
    return statistics.median(times)


async def measure(folder: str) -> dict[str, float]:
    """Start with everything known, let one new file in at once, then list again and idle."""
    status, system = os.stat(folder), os.statvfs(folder)  # noqa: PTH116
    emit = Known(marks_of(folder), f"{system.f_fsid or status.st_dev:x}:{status.st_ino:x}")
    figures = {"rss with marks": rss()}
    config = DirectoryConfig.model_validate({"path": folder, "recursive": True, "rescan": "1d"})
    async with open_directory("bench", config) as source, anyio.create_task_group() as tasks:
        began, cpu = time.perf_counter(), time.process_time()
        tasks.start_soon(source.run, emit, emit.cursor)
        while not emit.told.is_set():
            # Events count from when the folder itself is watched; before that a file is found by its listing.
            drop(folder)
            with anyio.move_on_after(0.05):
                await emit.told.wait()
        figures["active"] = time.perf_counter() - began
        await listed(source)
        figures["listed"] = time.perf_counter() - began
        figures["start cpu"] = time.process_time() - cpu
        figures["rss"], figures["rss peak"] = rss(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        await anyio.sleep(2.1)  # Folders that changed lately are listed again: not what is measured.
        figures["rescan cpu ms"] = await rescan(source, emit)
        cpu = time.process_time()
        await anyio.sleep(IDLE)
        figures["idle cpu ms"] = (time.process_time() - cpu) * 1e3
        figures["forgotten"] = emit.forgotten
        tasks.cancel_scope.cancel()
    return figures


def drop(folder: str) -> None:
    Path(folder, f"new-{time.monotonic_ns()}").write_bytes(b"1")


async def listed(source: object) -> None:
    """Return when the listing at the start has come to its end."""
    folders = source._folders  # type: ignore[attr-defined]
    while folders._walk is None or folders._walk.busy or folders._wanted:  # noqa: ASYNC110
        await anyio.sleep(0.02)


async def rescan(source: object, emit: Known) -> float:
    """The median processor time of a re-scan, in ms; the first one lists what is young and is not counted."""
    times = []
    for _ in range(ROUNDS + 1):
        emit.looked_again = anyio.Event()
        began = time.process_time()
        source._folders._want("changed")  # type: ignore[attr-defined]
        await emit.looked_again.wait()
        times.append((time.process_time() - began) * 1e3)
    return statistics.median(times[1:])


def child(what: str, folder: str) -> dict[str, float]:
    """One measurement in a fresh process."""
    output = subprocess.run(
        [sys.executable, "-m", "tests.bench.scan", f"--{what}", folder], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def main(sizes: Sequence[int] = (1_000, 100_000, 1_000_000)) -> bool:
    """Print the figures; False where a bar fails."""
    print("files      re-scan ms  types ms  stat ms   active s  listed s  cpu s  rss MB  peak MB  idle ms in 5 s")
    holds = []
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    for files in sizes:
        folder = tempfile.mkdtemp(dir=base)
        try:
            make(Path(folder), files)
            limit, ours = child("limit", folder), child("measure", folder)
        finally:
            shutil.rmtree(folder)
        print(
            f"{files:<10} {ours['rescan cpu ms']:<11.2f} {limit['types']:<9.1f} {limit['stat']:<9.1f} "
            f"{ours['active']:<9.3f} {ours['listed']:<9.2f} {ours['start cpu']:<6.2f} {ours['rss']:<7.0f} "
            f"{ours['rss peak']:<8.0f} {ours['idle cpu ms']:.2f}",
            flush=True,
        )
        holds.append(bar(f"idle pass over {files} known files, ms of a core", ours["rescan cpu ms"], 10))
        if files >= max(sizes):
            holds += [
                bar("seconds from start to active", ours["active"], 10),
                bar("MB of memory when listed", ours["rss"], 300),
                bar("idle: share of a core, %", ours["idle cpu ms"] / IDLE / 10, 0.2),
            ]
    return all(holds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--limit"]:
        tree = sys.argv[2]
        print(json.dumps({"types": cpu_of(lambda: walk_types(tree)), "stat": cpu_of(lambda: walk_stat(tree))}))
    elif sys.argv[1:2] == ["--measure"]:
        print(json.dumps(anyio.run(measure, sys.argv[2])))
    else:
        sys.exit(0 if main([int(size) for size in sys.argv[1:]] or (1_000, 100_000, 1_000_000)) else 1)
