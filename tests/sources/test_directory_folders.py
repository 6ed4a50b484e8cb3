"""Sub-folders, links, done files and odd names."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.sources.directory_kit import HandClock, Recorder, sensing, until


async def test_folders_made_moved_in_and_filled_at_once_lose_nothing(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.mkdir()
    async with sensing(folder, recursive=True) as sensor:
        deep = folder.joinpath(*"abcdefgh")
        deep.mkdir(parents=True)
        (deep / "1").write_bytes(b"1")
        (outside / "tree" / "below").mkdir(parents=True)
        (outside / "tree" / "2").write_bytes(b"1")
        (outside / "tree" / "below" / "3").write_bytes(b"1")
        (outside / "tree").rename(folder / "tree")
        await sensor.emitted(3)
        (folder / "tree").rename(folder / "moved")  # New paths, new files.
        await sensor.emitted(5)
        (folder / "moved" / "below" / "4").write_bytes(b"1")
        await sensor.emitted(6)
        assert sorted(await sensor.heard()) == [
            "a/b/c/d/e/f/g/h/1",
            "moved/2",
            "moved/below/3",
            "moved/below/4",
            "tree/2",
            "tree/below/3",
        ]


async def test_a_writer_goes_on_in_a_folder_that_moves(tmp_path: Path) -> None:
    async with sensing(tmp_path, recursive=True) as sensor:
        (tmp_path / "a").mkdir()
        with (tmp_path / "a" / "x").open("wb") as file:
            file.write(b"1")
            file.flush()
            assert await sensor.heard() == []
            (tmp_path / "a").rename(tmp_path / "b")
            assert await sensor.heard() == []
            file.write(b"2")
        await until(lambda: "b/x" in sensor.emit.names)
        assert await sensor.heard() == ["b/x"]


async def test_a_folder_deleted_and_made_again_is_watched_again(tmp_path: Path) -> None:
    async with sensing(tmp_path, recursive=True) as sensor:
        for round_ in range(5):
            (tmp_path / "a" / "b").mkdir(parents=True)
            (tmp_path / "a" / "b" / f"{round_}").write_bytes(b"1")
            await sensor.emitted(round_ + 1)
            shutil.rmtree(tmp_path / "a")
        assert await sensor.heard() == [f"a/b/{round_}" for round_ in range(5)]
        await until(lambda: not sensor.tree.children)


async def test_without_recursive_sub_folders_are_nobodys_business(tmp_path: Path) -> None:
    async with sensing(tmp_path) as sensor:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "x").write_bytes(b"1")
        await sensor.listed()
        assert await sensor.heard() == []
        assert sensor.source.why(str(tmp_path / "a/x")) == "it is in a sub-folder, and `recursive` is off"


async def test_links_pipes_and_sockets_are_left_alone(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"1")
    (folder / "before").symlink_to(outside / "secret")
    async with sensing(folder, recursive=True) as sensor:
        (folder / "link").symlink_to(outside / "secret")
        (folder / "tree").symlink_to(outside)
        os.mkfifo(folder / "pipe")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "socket"))
            await sensor.listed()
            assert await sensor.heard() == []
            whys = {name: sensor.source.why(str(folder / name)) for name in ("link", "pipe", "socket", "tree/secret")}
        (outside / "late").write_bytes(b"1")
        assert await sensor.heard() == []
    assert whys == {
        "link": "it is a symbolic link, and links are not followed",
        "pipe": "it is a pipe (FIFO)",
        "socket": "it is a socket",
        "tree/secret": "its folder tree is a symbolic link, and links are not followed",
    }


async def test_a_folder_swapped_for_a_link_leads_nowhere(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_bytes(b"1")
    async with sensing(folder, recursive=True) as sensor:
        sub = sensor.tree.children[b"sub"]
        (folder / "sub").rmdir()
        (folder / "sub").symlink_to(outside)
        sensor.source.noticed(sub, 8, b"secret")  # As if the kernel had said so just before the swap.
        await sensor.listed()
        assert await sensor.heard() == []


async def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "in").symlink_to(tmp_path / "real")
    async with sensing(tmp_path / "in") as sensor:
        (tmp_path / "real" / "a").write_bytes(b"1")
        await sensor.emitted(1)
        assert sensor.emit.sensed[0].subject == str(tmp_path / "in" / "a")
        assert sensor.source.why(str(tmp_path / "real" / "a.tmp")) == "its name is ignored by '*.tmp'"


@pytest.mark.parametrize("template", ["{name}.done", "{stem}.ok", "_SUCCESS"])
async def test_with_a_done_file_data_is_whole_when_that_exists(tmp_path: Path, template: str) -> None:
    hand = HandClock()
    done = template.format(name="a.csv", stem="a")
    async with sensing(tmp_path, clock=hand.clock, done_file=template, recursive=True) as sensor:
        (tmp_path / "d").mkdir()
        data = tmp_path / "d" / "a.csv"
        data.write_bytes(b"1")
        await until(lambda: sensor.source._files.pending._beside or None)
        await hand.pass_(3600.0)
        await sensor.listed()
        assert sensor.emit.names == []
        assert sensor.source.why(str(data)) == f"it waits for its done file {done}"
        (tmp_path / "d" / done).touch()
        await sensor.emitted(1)
        assert "is a done file" in str(sensor.source.why(str(tmp_path / "d" / done)))
        await sensor.listed()
    assert sensor.emit.names == ["d/a.csv"]


async def test_a_done_file_does_not_speak_for_data_that_is_still_written(tmp_path: Path) -> None:
    async with sensing(tmp_path, done_file="_SUCCESS", recursive=True) as sensor:
        (tmp_path / "_SUCCESS").touch()
        with (tmp_path / "a").open("wb") as file:
            file.write(b"1")
            file.flush()
            await sensor.listed()
            assert sensor.emit.names == []
        await sensor.emitted(1)


async def test_any_legal_name_is_taken_and_can_be_opened_by_what_is_said_of_it(tmp_path: Path) -> None:
    names = [
        b"caf\xe9.csv",
        b"new\nline",
        b"-rf",
        b"$(touch PWN)",
        b"{{ 7*7 }}",
        b"'\"`;",
        b"back\\slash",
        "\u202egnp.exe".encode(),
        "\U0001f600".encode(),
        b"\x01\x7f\xff",
        b"n" * 255,
        b" ",
        b"~",
    ]
    folder = os.fsencode(tmp_path)
    async with sensing(tmp_path, recursive=True) as sensor:
        for name in names:
            sub = folder + b"/dir " + name[:200]
            os.mkdir(sub)  # noqa: PTH102
            _write(os.fsdecode(sub + b"/" + name), name)
        await sensor.emitted(len(names))
        await sensor.listed()
        assert len(sensor.emit.sensed) == len(names)
        for sensed in sensor.emit.sensed:
            assert sensed.subject.isprintable()
            assert sensed.key.isprintable()
            context = json.loads(json.dumps(sensed.context))["file"]
            assert _read(context["path"]) == os.fsencode(context["name"])
            assert sensor.source.why(sensed.subject) is None
    assert len({sensed.subject for sensed in sensor.emit.sensed}) == len(names)


def _write(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


async def test_a_burst_is_emitted_in_batches_one_at_a_time(tmp_path: Path) -> None:
    import anyio

    emit = Recorder()
    async with sensing(tmp_path, emit) as sensor:
        emit.gate = anyio.Event()
        (tmp_path / "first").write_bytes(b"1")
        await until(lambda: emit.batches)
        for number in range(1_200):
            (tmp_path / f"{number}").write_bytes(b"1")
        emit.gate.set()
        await sensor.emitted(1_201)
    assert sorted(sensor.emit.names) == sorted(["first", *map(str, range(1_200))])
    assert emit.batches[0] == 1
    assert max(emit.batches) > 100
    assert max(emit.batches) <= 500
