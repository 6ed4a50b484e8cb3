"""Reading a log: whole, its end, while it grows, and with its middle cut out."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from notifiers.clock import Clock
from sensord.launchers.command_log import follow_log, last_line, read_log
from sensord.launchers.command_process import cut

MIB = 1 << 20


def numbered(start: int, end: int) -> bytes:
    """The bytes from `start` to `end` of a log of numbered lines."""
    return b"".join(b"%015d\n" % number for number in range(start // 16, end // 16))


def make_log(folder: Path) -> Path:
    """Three MiB of numbered lines."""
    path = folder / "1.log"
    path.write_bytes(numbered(0, 3 * MIB))
    return path


def cut_to_one_mib(path: Path, more: int = 0) -> None:
    opened = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        cut(opened, path.name, MIB + more)
    except OSError as error:
        pytest.skip(f"this file system cannot punch holes: {error.strerror}")
    finally:
        os.close(opened)


def cut_log(folder: Path) -> Path:
    path = make_log(folder)
    cut_to_one_mib(path)
    return path


def test_a_cut_log_gives_its_blocks_back_and_reads_as_head_note_and_end(tmp_path: Path) -> None:
    path = cut_log(tmp_path)
    assert path.stat().st_blocks * 512 <= MIB + 2 * 4096
    head, note, tail = b"".join(read_log(path)).partition("\n… ".encode())
    assert head == b"".join(b"%015d\n" % number for number in range(len(head) // 16))
    assert len(head) == MIB // 4
    cut_bytes, _, tail = tail.partition(" bytes cut …\n".encode())
    assert note
    assert len(head) + int(cut_bytes) + len(tail) == 3 * MIB
    assert tail.endswith(b"%015d\n" % (3 * MIB // 16 - 1))
    assert len(tail) >= MIB * 3 // 4


def test_a_writer_goes_on_at_the_end_of_a_cut_log(tmp_path: Path) -> None:
    path = cut_log(tmp_path)
    with path.open("ab") as file:
        file.write(b"more\n")
    assert b"".join(read_log(path, tail_bytes=5)) == b"more\n"
    assert path.stat().st_size == 3 * MIB + 5


@pytest.mark.parametrize("before", [1, 3, 8, 30, 40])
def test_what_is_cut_while_somebody_reads_is_said_as_well_and_never_shown_as_zeros(tmp_path: Path, before: int) -> None:
    path = make_log(tmp_path)
    reading = read_log(path)
    read = b"".join(next(reading) for _ in range(before))
    cut_to_one_mib(path, 4 * 4096)  # So that what is left of the head ends amid a piece.
    read += b"".join(reading)
    head, _, rest = read.partition("\n… ".encode())
    number, said, tail = rest.partition(" bytes cut …\n".encode())
    assert b"\0" not in read
    assert head == numbered(0, len(head))
    if said:
        assert tail == numbered(len(head) + int(number), 3 * MIB)
    else:
        assert read == numbered(0, 3 * MIB), "it was past the middle"
    assert bool(said) == (before < 40)


def test_a_log_that_its_job_empties_while_somebody_reads_comes_to_an_end(tmp_path: Path) -> None:
    path = make_log(tmp_path)
    reading = read_log(path)
    assert next(reading) == numbered(0, 1 << 16)
    path.write_bytes(b"")
    assert b"".join(reading) == f"\n… {3 * MIB - (1 << 16)} bytes cut …\n".encode()


async def test_following_says_what_was_cut_before_it_came_to_be_read(tmp_path: Path) -> None:
    path = make_log(tmp_path)
    followed = b""
    pieces = follow_log(path, lambda: path.stat().st_size > 6 * MIB, clock=Clock(sleep=grow_and_cut(path)))
    async for piece in pieces:
        followed += piece
    shown, _, rest = followed.partition("\n… ".encode())
    number, _, tail = rest.partition(" bytes cut …\n".encode())
    assert shown == numbered(0, 3 * MIB), "what was there at the first look"
    assert tail == numbered(3 * MIB + int(number), 9 * MIB)
    assert int(number) >= 5 * MIB


def grow_and_cut(path: Path) -> Callable[[float], Awaitable[None]]:
    async def step(_seconds: float) -> None:
        with path.open("ab") as file:
            file.write(numbered(3 * MIB, 9 * MIB))
        cut_to_one_mib(path)

    return step


def test_the_end_of_a_log_is_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_bytes(b"0123456789")
    assert b"".join(read_log(path, tail_bytes=3)) == b"789"
    assert b"".join(read_log(path, tail_bytes=300)) == b"0123456789"
    with pytest.raises(FileNotFoundError):
        list(read_log(tmp_path / "none"))


async def test_following_waits_for_the_file_shows_each_byte_once_and_ends_with_the_run(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    steps = iter([None, b"one\n", None, b"two", b"\nthree\n"])
    over = False

    async def step(_seconds: float) -> None:
        nonlocal over
        piece = next(steps, b"last\n")
        over = piece == b"last\n"
        if piece is not None:
            with path.open("ab") as file:
                file.write(piece)

    pieces = [piece async for piece in follow_log(path, lambda: over, clock=Clock(sleep=step))]
    assert b"".join(pieces) == b"one\ntwo\nthree\nlast\n"


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"one\ntwo\n\n", "two"),
        (b"x\n\x1b[31mred\x00\xff\n", "[31mred �"),
        (b"a" * 9000, "a" * 499 + "…"),
    ],
)
def test_the_last_line_is_printable_and_short(tmp_path: Path, written: bytes, wanted: str) -> None:
    path = tmp_path / "1.log"
    path.write_bytes(written)
    assert last_line(path) == wanted
    assert last_line(path).isprintable()


def test_no_log_has_no_last_line(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none") == ""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    assert last_line(tmp_path / "link") == ""
