"""What is remembered over restarts, what is forgotten, and what costs nothing."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import anyio
import pytest

from rules.request import Sensed
from sensord.sources.directory import DirectoryConfig, open_directory
from sensord.sources.directory_memory import Memory
from sensord.sources.directory_tree import RootLostError
from tests.sources.directory_kit import HandClock, Recorder, sensing, until


async def test_what_was_emitted_is_known_after_a_restart_and_what_came_meanwhile_is_new(tmp_path: Path) -> None:
    emit = Recorder()
    async with sensing(tmp_path, emit, recursive=True) as sensor:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a").write_bytes(b"1")
        (tmp_path / "b").write_bytes(b"1")
        await sensor.emitted(2)
    (tmp_path / "c").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"changed")
    async with sensing(tmp_path, emit, recursive=True) as sensor:
        await sensor.emitted(4)
        await sensor.listed()
    assert sorted(emit.names) == ["b", "b", "c", "sub/a"]


async def test_marks_of_files_that_are_gone_are_forgotten_and_no_others(tmp_path: Path) -> None:
    emit = Recorder()
    async with sensing(tmp_path, emit, recursive=True) as sensor:
        (tmp_path / "sub").mkdir()
        for name in ("a", "b", "sub/c", "sub/d"):
            (tmp_path / name).write_bytes(b"1")
        await sensor.emitted(4)
    marks = {one.context["file"]["relative"]: one.mark for one in emit.sensed}
    (tmp_path / "a").unlink()
    shutil.rmtree(tmp_path / "sub")
    async with sensing(tmp_path, emit, recursive=True):
        pass
    assert emit.forgotten == {marks["a"], marks["sub/c"], marks["sub/d"]}
    assert emit.remembered == {marks["b"]}


async def test_nothing_is_forgotten_while_another_folder_stands_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    emit = Recorder()
    async with sensing(folder, emit) as sensor:
        (folder / "a").write_bytes(b"1")
        await sensor.emitted(1)
    folder.rename(tmp_path / "away")
    folder.mkdir()
    async with sensing(folder, emit):
        pass
    assert emit.forgotten == set()
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    async with sensing(folder, emit) as sensor:
        assert await sensor.heard() == ["a"]


async def test_nothing_is_forgotten_by_a_listing_that_could_not_see_everything() -> None:
    from tests.sources.directory_kit import as_somebody, open_to_all

    emit = Recorder()
    with open_to_all() as folder, as_somebody():
        async with sensing(folder, emit, recursive=True) as sensor:
            (folder / "sub").mkdir()
            (folder / "sub" / "a").write_bytes(b"1")
            (folder / "b").write_bytes(b"1")
            await sensor.emitted(2)
        (folder / "b").unlink()
        (folder / "sub").chmod(0)
        async with sensing(folder, emit, recursive=True):
            assert emit.forgotten == set()
        (folder / "sub").chmod(0o755)
        async with sensing(folder, emit, recursive=True):
            assert len(emit.forgotten) == 1
        assert len(emit.remembered) == 1


async def test_a_daemon_that_runs_for_long_forgets_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensord.sources.directory_memory._ROOM", 10)
    hand = HandClock()
    async with sensing(tmp_path, clock=hand.clock, rescan=60.0) as sensor:
        for number in range(12):
            (tmp_path / f"{number}").write_bytes(b"1")
        await sensor.emitted(12)
        for number in range(11):
            (tmp_path / f"{number}").unlink()
        await hand.pass_(60.0)
        await until(lambda: len(sensor.emit.forgotten) == 11)
        assert len(sensor.emit.remembered) == 1


async def test_a_rescan_of_an_unchanged_tree_lists_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = HandClock(elapsed=100.0)  # Long after the folders last changed.
    for number in range(20):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "a").write_bytes(b"1")
    async with sensing(tmp_path, clock=hand.clock, rescan=60.0, recursive=True) as sensor:
        listed: list[int] = []
        scandir = os.scandir

        def noting(fd: int) -> object:
            listed.append(fd)
            return scandir(fd)

        monkeypatch.setattr(os, "scandir", noting)
        looks = sensor.emit.looks
        await hand.pass_(60.0)
        await until(lambda: sensor.emit.looks > looks)
        assert listed == []
        (tmp_path / "7" / "b").write_bytes(b"1")
        await sensor.emitted(21)
        looks = sensor.emit.looks
        await hand.pass_(60.0)
        await until(lambda: sensor.emit.looks > looks)
        assert len(listed) == 1


async def test_an_idle_sensor_uses_no_processor_time(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}").mkdir()
    async with sensing(tmp_path, recursive=True):
        began = time.process_time()
        with anyio.move_on_after(0.5):
            await anyio.sleep_forever()
        assert time.process_time() - began < 0.02


async def test_a_file_missed_by_every_event_is_found_by_the_rescan(tmp_path: Path) -> None:
    hand = HandClock()
    (tmp_path / "sub").mkdir()
    async with sensing(tmp_path, clock=hand.clock, rescan=60.0, recursive=True) as sensor:
        for folder in sensor.tree.walk():
            assert folder.unwatch is not None
            folder.unwatch()
            folder.unwatch = None
        (tmp_path / "sub" / "a").write_bytes(b"1")
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "b").write_bytes(b"1")
        await hand.pass_(59.0)
        await sensor.idle()
        assert sensor.emit.names == []
        await hand.pass_(1.0)
        await sensor.emitted(2)


async def test_events_are_served_while_a_long_listing_goes_on(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(3_000):
        (tmp_path / "many" / f"{number}").touch()
    os.sync()
    async with sensing(tmp_path, recursive=True, wait=False, pattern="*.csv", settle=1000.0) as sensor:
        await until(lambda: sensor.source._files.root and sensor.tree.unwatch)
        (tmp_path / "now.csv").write_bytes(b"1")
        await sensor.emitted(1)


async def test_a_dry_run_shows_what_would_be_emitted_and_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.csv", "b.csv", "sub/c.csv", "d.tmp", "e.txt"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "empty.csv").touch()
    config = DirectoryConfig(path=tmp_path, pattern="*.csv", recursive=True)
    async with open_directory("drop", config) as source:
        with (tmp_path / "held.csv").open("wb") as file:
            file.write(b"1")
            file.flush()
            first = {one.context["file"]["relative"]: one for one in await source.look(set())}
            assert sorted(first) == ["a.csv", "b.csv", "sub/c.csv"]
            mark = first["a.csv"].mark
            assert mark is not None
            again = await source.look({mark})
        assert sorted(_relative(again)) == ["b.csv", "sub/c.csv"]
        emit = Recorder()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.run, emit, None)
            await until(lambda: len(emit.sensed) == 4)
            tasks.cancel_scope.cancel()
    assert sorted(emit.names) == ["a.csv", "b.csv", "held.csv", "sub/c.csv"]


def _relative(sensed: object) -> list[str]:
    assert isinstance(sensed, list)
    return [one.context["file"]["relative"] for one in sensed if isinstance(one, Sensed)]


async def test_a_dry_run_of_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    async with open_directory("drop", DirectoryConfig(path=tmp_path / "in")) as source:
        with pytest.raises(RootLostError, match="does not exist; create it"):
            await source.look(set())
        assert "does not exist; create it" in str(source.why(str(tmp_path / "in" / "a")))


async def test_every_silence_has_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub" / ".git").mkdir(parents=True)
    for name in ("a.csv", "b.txt", "c.tmp", "sub/.git/x.csv", "sub/.hidden.csv", "back\\slash.csv"):
        (folder / name).write_bytes(b"1")
    config = DirectoryConfig(path=folder, pattern=["*.csv", "*.json"], recursive=True)
    async with open_directory("drop", config) as source:
        reasons = {
            "a.csv": None,
            "sub/../a.csv": None,
            str(folder / "a.csv"): None,
            "back\\slash.csv": None,
            "back\\\\slash.csv": None,
            "b.txt": "its name does not match '*.csv' or '*.json'",
            "c.tmp": "its name is ignored by '*.tmp'",
            "sub/.git/x.csv": "its folder .git is ignored by '.*'",
            "sub/.hidden.csv": "its name is ignored by '.*'",
            "missing.csv": "it does not exist",
            "a.csv/x.csv": "it does not exist",
            "/etc/passwd": f"it is outside the folder {folder}",
            str(tmp_path / "inside.csv"): f"it is outside the folder {folder}",
            str(folder): "it is the watched folder itself",
        }
        assert {subject: source.why(subject) for subject in reasons} == reasons


def test_marks_are_forgotten_only_for_the_folder_they_are_of() -> None:
    memory = Memory({1, 2, 3}, "disk:1")
    memory.expect()
    assert memory.has(1)
    assert not memory.take_gone(None)
    memory.expect()
    assert memory.has(1)
    assert not memory.take_gone("other:1")
    memory.expect()
    assert memory.has(1)
    assert sorted(memory.take_gone("disk:1")) == [2, 3]
    assert [memory.has(mark) for mark in (1, 2, 3)] == [True, False, False]
    assert len(memory) == 1
    assert memory.cursor_at("disk:1") == "disk:1"
    assert memory.cursor_at("other:1") == "several"
    assert memory.cursor_at("disk:1") == "several"
    memory.expect()
    assert not memory.take_gone("disk:1")
