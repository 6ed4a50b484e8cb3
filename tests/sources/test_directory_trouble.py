"""Trouble outside is said, outlived, and followed by a look at everything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rules.request import Sensed
from sensord.sources.directory import DirectoryConfig, open_directory
from tests.sources.directory_kit import HandClock, Recorder, as_somebody, mount, open_to_all, sensing, umount, until


async def test_a_missing_folder_is_said_once_it_is_missed_and_found_when_it_comes(tmp_path: Path) -> None:
    hand = HandClock()
    folder = tmp_path / "in"
    async with sensing(folder, clock=hand.clock, wait=False) as sensor:
        await until(lambda: sensor.emit.failures)
        assert sensor.emit.failures[0] == f"the folder {folder} does not exist; create it, mount it, or correct `path`"
        assert sensor.emit.recoveries == 0
        folder.mkdir()
        (folder / "a").write_bytes(b"1")
        await hand.pass_(5.0)
        await sensor.emitted(1)
        assert sensor.emit.recoveries == 1


async def test_waiting_for_a_folder_becomes_rarer_up_to_five_seconds(tmp_path: Path) -> None:
    hand = HandClock()
    async with sensing(tmp_path / "in", clock=hand.clock, wait=False) as sensor:
        tries = []
        for _ in range(200):
            await until(lambda: hand._sleepers)
            due = min(hand._sleepers.values())
            tries.append(due - hand.elapsed)
            count = len(sensor.emit.failures)
            hand.elapsed = due
            for event in list(hand._sleepers):
                event.set()
            await until(_longer(sensor.emit.failures, count))
            if tries[-1] == 5.0:
                break
    assert tries == sorted(tries)
    assert tries[-1] == 5.0


def _longer(texts: list[str], count: int) -> Callable[[], bool]:
    return lambda: len(texts) > count


async def test_a_file_in_the_folders_place_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"1")
    async with sensing(tmp_path / "in", wait=False) as sensor:
        await until(lambda: sensor.emit.failures)
    assert sensor.emit.failures[0] == f"{tmp_path / 'in'} is no folder; correct `path`"


async def test_marks_outlive_a_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    hand = HandClock()
    folder = tmp_path / "in"
    folder.mkdir()
    async with sensing(folder, clock=hand.clock, recursive=True) as sensor:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_bytes(b"1")
        await sensor.emitted(1)
        folder.rename(tmp_path / "away")
        await until(lambda: sensor.emit.failures)
        (tmp_path / "away" / "sub" / "b").write_bytes(b"1")
        (tmp_path / "away").rename(folder)
        await hand.pass_(5.0)
        await sensor.emitted(2)
        assert await sensor.heard() == ["sub/a", "sub/b"]
        assert sensor.emit.recoveries == 1
    assert sensor.emit.forgotten == set()


async def test_a_folder_replaced_by_another_is_listed_and_followed(tmp_path: Path) -> None:
    folder, new = tmp_path / "in", tmp_path / "new"
    folder.mkdir()
    new.mkdir()
    (new / "b").write_bytes(b"1")
    (tmp_path / "link").symlink_to(folder)
    async with sensing(tmp_path / "link", rescan=0.2) as sensor:
        (folder / "a").write_bytes(b"1")
        await sensor.emitted(1)
        (tmp_path / "link2").symlink_to(new)
        (tmp_path / "link2").replace(tmp_path / "link")  # Nothing in either folder changes.
        await sensor.emitted(2)
        (new / "c").write_bytes(b"1")
        await sensor.emitted(3)
        await sensor.listed()
        assert sensor.emit.forgotten == set()  # Marks of two folders are mixed.
        assert sensor.emit.cursor == "several"
    assert sensor.emit.names == ["a", "b", "c"]


async def test_a_mount_that_goes_and_comes_forgets_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    mount(folder)
    hand = HandClock()
    try:
        async with sensing(folder, clock=hand.clock) as sensor:
            (folder / "a").write_bytes(b"1")
            await sensor.emitted(1)
            await sensor.idle()
            umount(folder)
            await until(lambda: sensor.emit.failures)
            assert "looks unmounted" in sensor.emit.failures[0]
            mount(folder)
            (folder / "b").write_bytes(b"1")
            await hand.pass_(5.0)
            await sensor.emitted(2)
            await sensor.listed()
            assert sensor.emit.forgotten == set()
    finally:
        umount(folder)


async def test_an_unreadable_sub_folder_is_named_and_the_rest_goes_on() -> None:
    hand = HandClock()
    with open_to_all() as folder, as_somebody():
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_bytes(b"1")
        (folder / "sub").chmod(0)
        async with sensing(folder, clock=hand.clock, recursive=True) as sensor:
            assert sensor.emit.failures == [
                f"the sub-folder {folder}/sub cannot be read: Permission denied; give it read and search permission"
            ]
            (folder / "b").write_bytes(b"1")
            await sensor.emitted(1)
            recoveries = sensor.emit.recoveries
            await hand.pass_(5.0)
            await until(lambda: len(sensor.emit.failures) == 2)
            await sensor.idle()
            (folder / "sub").chmod(0o755)
            await hand.pass_(5.0)
            await sensor.emitted(2)
            await until(lambda: sensor.emit.recoveries == recoveries + 1)
            (folder / "sub" / "c").write_bytes(b"1")
            await sensor.emitted(3)


async def test_an_unreadable_folder_is_said_and_outlived() -> None:
    hand = HandClock()
    with open_to_all() as folder, as_somebody():
        (folder / "in").mkdir(mode=0)
        async with sensing(folder / "in", clock=hand.clock, wait=False) as sensor:
            await until(lambda: sensor.emit.failures)
            assert "may not be read by user id" in sensor.emit.failures[0]
            (folder / "in").chmod(0o755)
            (folder / "in" / "a").write_bytes(b"1")
            await hand.pass_(5.0)
            await sensor.emitted(1)


async def test_an_emit_that_fails_is_not_hidden(tmp_path: Path) -> None:
    class Broken(Recorder):
        async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
            raise RuntimeError(f"no room for {len(sensed)} at {cursor}")

    (tmp_path / "a").write_bytes(b"1")
    config = DirectoryConfig(path=tmp_path)
    async with open_directory("drop", config) as source:
        with pytest.raises(ExceptionGroup) as caught:
            await source.run(Broken(), None)
    assert caught.group_contains(RuntimeError, match="no room for 1")


async def test_sub_folders_may_come_and_go_while_everything_is_listed(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "a").write_bytes(b"1")
    async with sensing(tmp_path, recursive=True, wait=False) as sensor:
        for number in range(50):
            if number % 2:
                shutil.rmtree(tmp_path / f"{number}")
            else:
                (tmp_path / f"{number}").rename(tmp_path / f"moved-{number}")
        await until(lambda: all(f"moved-{number}/a" in sensor.emit.names for number in range(0, 50, 2)))
        await sensor.listed()
        assert len(sensor.emit.names) == len(set(sensor.emit.names))
    assert sensor.emit.failures == []


async def test_events_of_a_mounted_sub_folder_are_heard_and_its_unmounting_is_followed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "under").write_bytes(b"1")
    mount(tmp_path / "sub")
    try:
        async with sensing(tmp_path, recursive=True) as sensor:
            (tmp_path / "sub" / "a").write_bytes(b"1")
            await sensor.emitted(1)
            await sensor.idle()
            umount(tmp_path / "sub")
            await sensor.emitted(2)
    finally:
        umount(tmp_path / "sub")
    assert sensor.emit.names == ["sub/a", "sub/under"]
