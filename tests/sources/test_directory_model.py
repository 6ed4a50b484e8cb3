"""Whatever happens in a folder, in whatever order: each version that stays is emitted once, and none half written."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

import anyio
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.sources.directory_kit import HandClock, Recorder, Sensor, sensing

FOLDERS = ("", "d", "d/e", "f")
NAMES = ("a", "b", "x.tmp")
paths = st.builds(lambda folder, name: f"{folder}/{name}".lstrip("/"), st.sampled_from(FOLDERS), st.sampled_from(NAMES))
folders = st.sampled_from(FOLDERS[1:])
steps = st.one_of(
    st.tuples(st.just("write"), paths),
    st.tuples(st.just("write slowly"), paths),
    st.tuples(st.just("open"), paths),
    st.tuples(st.just("append"), paths),
    st.tuples(st.just("close"), paths),
    st.tuples(st.just("delete"), paths),
    st.tuples(st.just("rename"), paths, paths),
    st.tuples(st.just("link"), paths, paths),
    st.tuples(st.just("mkdir"), folders),
    st.tuples(st.just("move"), folders, folders),
    st.tuples(st.just("rmtree"), folders),
    st.tuples(st.just("overflow")),
    st.tuples(st.just("wait")),
    st.tuples(st.just("time")),
    st.tuples(st.just("restart")),
)


class World:
    """A folder, the writers in it, and what they know to be complete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open: dict[int, BinaryIO] = {}
        self.complete: set[tuple[int, int]] = set()  # inode and size
        self.size = 0

    def act(self, kind: str, *names: str) -> None:
        """Do one step; one that cannot be done is none."""
        with contextlib.suppress(FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, OSError):
            getattr(self, f"_{kind}")(*(self.folder / name for name in names))

    def _write(self, path: Path) -> None:
        self._open(path)
        self._append(path)
        self._close(path)

    def _open(self, path: Path) -> None:
        if not path.exists() or path.stat().st_ino not in self.open:
            file = path.open("ab", buffering=0)
            self.open[os.fstat(file.fileno()).st_ino] = file

    def _append(self, path: Path) -> None:
        if file := self.open.get(path.stat().st_ino):
            self.size += 1  # No two versions have the same size, whatever the clock's grain.
            file.truncate(self.size)

    def _close(self, path: Path) -> None:
        inode = path.stat().st_ino
        if file := self.open.pop(inode, None):
            file.close()
            self.complete.add((inode, path.stat().st_size))

    def _delete(self, path: Path) -> None:
        path.unlink()

    def _rename(self, path: Path, target: Path) -> None:
        path.rename(target)

    def _link(self, path: Path, target: Path) -> None:
        target.hardlink_to(path)

    def _mkdir(self, path: Path) -> None:
        path.mkdir(parents=True)

    def _move(self, path: Path, target: Path) -> None:
        if not target.exists():
            path.rename(target)

    def _rmtree(self, path: Path) -> None:
        shutil.rmtree(path)

    def end(self) -> None:
        for inode, file in self.open.items():
            self.complete.add((inode, os.fstat(file.fileno()).st_size))
            file.close()

    def whole(self) -> set[tuple[str, int]]:
        """The files that are there, and taken."""
        return {
            (str(path.relative_to(self.folder)), path.stat().st_size)
            for path in self.folder.rglob("*")
            if path.is_file() and path.suffix != ".tmp" and not path.name.startswith("last-")
        }


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, max_size=40))
def test_each_version_that_stays_is_emitted_once(script: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        world, emit, hand = World(Path(name)), Recorder(), HandClock()
        anyio.run(_play, world, emit, hand, script)
        note(str(emit.names))
        files = [one.context["file"] for one in emit.sensed]
        said = [(file["relative"], file["size"]) for file in files if not file["name"].startswith("last-")]
        marks = [one.mark for one in emit.sensed]
        assert world.whole() <= set(said)
        assert len(marks) == len(set(marks))
        assert {size for _, size in said} <= {size for _, size in world.complete}


async def _play(world: World, emit: Recorder, hand: HandClock, script: list[tuple[str, ...]]) -> None:
    parts: list[list[tuple[str, ...]]] = [[]]
    for step in script:
        if step[0] == "restart":
            parts.append([])
        else:
            parts[-1].append(step)
    for number, part in enumerate(parts):
        async with sensing(world.folder, emit, clock=hand.clock, recursive=True, wait=number % 2 == 0) as sensor:
            for kind, *names in part:
                await _step(world, sensor, hand, kind, *names)
            if number == len(parts) - 1:
                world.end()
                await sensor.heard()
                for _ in range(2):  # What was found empty or held has its time to be looked at again.
                    await hand.pass_(40.0)
                    await sensor.heard()


async def _step(world: World, sensor: Sensor, hand: HandClock, kind: str, *names: str) -> None:
    if kind == "overflow":
        sensor.source.overflowed()
    elif kind == "time":
        await hand.pass_(3.0)
    elif kind == "wait":
        await sensor.idle()
    elif kind == "write slowly":
        for part in ("open", "append", "append", "close"):
            world.act(part, *names)
            await sensor.idle()
    else:
        world.act(kind, *names)
