"""Files that arrive in every way there is: each version once, when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sensord.sources.directory_ready import Version
from tests.sources.directory_kit import NOBODY, HandClock, as_somebody, open_to_all, sensing, until


async def test_a_file_is_emitted_when_its_writer_closes_it_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    async with sensing(tmp_path) as sensor:
        with path.open("wb") as file:
            for piece in (b"one", b"two"):
                file.write(piece)
                file.flush()
                assert await sensor.heard() == []
                assert sensor.source.why(str(path)) == "it is still open for writing"
        assert await sensor.heard() == ["a.csv"]
        assert sensor.source.why(str(path)) is None
    assert [one.context["file"]["size"] for one in sensor.emit.sensed if one.subject == str(path)] == [6]


async def test_what_is_emitted_names_the_file_and_its_version(tmp_path: Path) -> None:
    async with sensing(tmp_path, recursive=True) as sensor:
        (tmp_path / "in").mkdir()
        file = tmp_path / "in" / "a.b.csv"
        file.write_bytes(b"one")
        await sensor.emitted(1)
    [sensed] = sensor.emit.sensed
    assert sensed.subject == str(file)
    assert sensed.key == f"in/a.b.csv@3-{file.stat().st_mtime_ns}"
    assert sensed.mark in sensor.emit.remembered
    context = dict(sensed.context["file"])
    assert context.pop("mtime").endswith("Z")
    assert context == {
        "name": "a.b.csv",
        "path": str(file),
        "relative": "in/a.b.csv",
        "stem": "a.b",
        "suffix": ".csv",
        "directory": str(tmp_path / "in"),
        "size": 3,
    }


def _move_in(folder: Path, outside: Path) -> None:
    (outside / "x").write_bytes(b"1")
    (outside / "x").rename(folder / "a")


def _rename_from_temporary(folder: Path, _: Path) -> None:
    (folder / "a.tmp").write_bytes(b"1")
    (folder / "a.tmp").rename(folder / "a")


def _link_in(folder: Path, outside: Path) -> None:
    (outside / "x").write_bytes(b"1")
    (folder / "a").hardlink_to(outside / "x")


def _link_and_unlink(folder: Path, _: Path) -> None:
    (folder / ".a").write_bytes(b"1")
    (folder / "a").hardlink_to(folder / ".a")
    (folder / ".a").unlink()


def _copy(folder: Path, outside: Path) -> None:
    (outside / "x").write_bytes(b"1" * 1_000_000)
    shutil.copy2(outside / "x", folder / "a")


def _write_unbuffered(folder: Path, _: Path) -> None:
    with (folder / "a").open("wb", buffering=0) as file:
        for _piece in range(100):
            file.write(b"piece")


def _truncate(folder: Path, _: Path) -> None:
    with (folder / "a").open("wb") as file:
        file.write(b"123")
        file.truncate(1)


@pytest.mark.parametrize(
    "arrive",
    [_move_in, _rename_from_temporary, _link_in, _link_and_unlink, _copy, _write_unbuffered, _truncate],
    ids=lambda arrive: arrive.__name__.strip("_"),
)
async def test_however_a_file_arrives_it_is_emitted_once(tmp_path: Path, arrive: Callable[[Path, Path], None]) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.mkdir()
    async with sensing(folder) as sensor:
        arrive(folder, outside)
        await until(lambda: "a" in sensor.emit.names)
        await sensor.listed()
        assert await sensor.heard() == ["a"]


async def test_a_hard_link_whose_writer_closes_another_name_is_found_by_asking_again(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.mkdir()
    hand = HandClock()
    async with sensing(folder, clock=hand.clock) as sensor:
        with (outside / "x").open("wb") as file:
            file.write(b"1")
            file.flush()
            (folder / "a").hardlink_to(outside / "x")
            assert await sensor.heard() == []
            await hand.pass_(2.0)
            assert await sensor.heard() == []
        # Nobody tells of this close: it was the other name's.
        await hand.pass_(10.0)
        await sensor.emitted(3)
        assert await sensor.heard() == ["a"]


async def test_a_new_version_of_a_file_is_emitted_with_a_new_key(tmp_path: Path) -> None:
    path = tmp_path / "a"
    async with sensing(tmp_path) as sensor:
        path.write_bytes(b"1")
        await sensor.emitted(1)
        path.write_bytes(b"22")  # in its place
        await sensor.emitted(2)
        (tmp_path / "b.tmp").write_bytes(b"333")
        (tmp_path / "b.tmp").replace(path)
        await sensor.emitted(3)
        with path.open("ab") as file:
            file.write(b"4")
        await sensor.emitted(4)
        os.truncate(path, 2)
        with path.open("r+b") as file:
            file.truncate(1)
        await until(lambda: sensor.emit.sensed[-1].context["file"]["size"] == 1)
        assert set(await sensor.heard()) == {"a"}
    keys = [one.key for one in sensor.emit.sensed if one.key.startswith("a@")]
    assert len(set(keys)) == len(keys) >= 5


async def test_a_file_renamed_within_the_folder_is_another_file(tmp_path: Path) -> None:
    async with sensing(tmp_path) as sensor:
        (tmp_path / "a").write_bytes(b"1")
        await sensor.emitted(1)
        (tmp_path / "a").rename(tmp_path / "b")
        await sensor.emitted(2)
        assert await sensor.heard() == ["a", "b"]


async def test_a_file_deleted_before_it_is_whole_is_nobodys_trouble(tmp_path: Path) -> None:
    hand = HandClock()
    async with sensing(tmp_path, clock=hand.clock) as sensor:
        with (tmp_path / "held").open("wb") as file:
            file.write(b"1")
            file.flush()
            (tmp_path / "empty").touch()
            await until(lambda: sensor.waiting(b"empty"))
            (tmp_path / "held").unlink()
            (tmp_path / "empty").unlink()
        assert await sensor.heard() == []
        assert sensor.waiting(b"held") is None
        await hand.pass_(60.0)
        assert await sensor.heard() == []
    assert sensor.emit.failures == []


async def test_an_empty_file_is_taken_only_when_it_stays_empty(tmp_path: Path) -> None:
    hand = HandClock()
    async with sensing(tmp_path, clock=hand.clock) as sensor:
        (tmp_path / "a").touch()
        (tmp_path / "b").touch()
        assert await sensor.heard() == []
        assert "stays as it is for 2.0 s more" in str(sensor.source.why(str(tmp_path / "a")))
        with (tmp_path / "b").open("ab") as file:  # Its writer comes back to fill it.
            file.write(b"1")
        await until(lambda: "b" in sensor.emit.names)
        await hand.pass_(1.9)
        assert await sensor.heard() == ["b"]
        await hand.pass_(0.2)
        await until(lambda: "a" in sensor.emit.names)
        assert await sensor.heard() == ["b", "a"]


async def test_an_empty_file_that_is_held_open_is_not_taken(tmp_path: Path) -> None:
    hand = HandClock()
    async with sensing(tmp_path, clock=hand.clock) as sensor:
        with (tmp_path / "a").open("wb"):
            for _ in range(3):
                await hand.pass_(5.0)
                assert await sensor.heard() == []


async def test_ready_settle_waits_even_when_the_writer_is_gone(tmp_path: Path) -> None:
    hand = HandClock()
    async with sensing(tmp_path, clock=hand.clock, ready="settle", settle=30.0) as sensor:
        path = tmp_path / "a"
        path.write_bytes(b"1")
        await until(lambda: sensor.waiting(b"a"))
        await hand.pass_(29.0)
        path.write_bytes(b"22")  # Changed: the wait begins anew.
        await until(lambda: getattr(sensor.waiting(b"a"), "version", Version(0, 0, 0, 0)).size == 2)
        await hand.pass_(29.0)
        assert sensor.emit.names == []
        await hand.pass_(2.0)
        await sensor.emitted(1)
    assert sensor.emit.sensed[0].context["file"]["size"] == 2


async def test_a_file_of_another_user_has_to_settle() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make files of two users")
    hand = HandClock()
    with open_to_all() as folder, as_somebody():
        async with sensing(folder, clock=hand.clock) as sensor:
            (folder / "mine").write_bytes(b"1")
            os.seteuid(0)
            (folder / "theirs").write_bytes(b"1")
            os.seteuid(NOBODY)
            await until(lambda: sensor.waiting(b"theirs"))
            assert await sensor.heard() == ["mine"]
            await hand.pass_(2.1)
            await until(lambda: "theirs" in sensor.emit.names)
