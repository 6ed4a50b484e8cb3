"""Reading what a run wrote. The middle of a long log may be cut out; what is read says so in its place."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

from notifiers.clock import SYSTEM, Clock

_PIECE = 64 * 1024
_LAST = 2048  # Bytes at a log's end in which its last line is looked for.
_LINE = 500  # Characters of that line that are kept.


def read_log(path: Path, *, tail_bytes: int | None = None) -> Iterator[bytes]:
    """The log as it is now, or its last bytes, in pieces of at most 64 KiB. FileNotFoundError if there is none.

    Where the middle was cut out to keep the log within its limit, a line `… N bytes cut …` stands in its place.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        start = 0 if tail_bytes is None else max(size - tail_bytes, 0)
        yield from _pieces(file.fileno(), start, size)


async def follow_log(
    path: Path,
    ended: Callable[[], bool],
    *,
    clock: Clock = SYSTEM,
    interval: float = 0.2,
    tail_bytes: int | None = None,
) -> AsyncIterator[bytes]:
    """The log as it grows, until `ended()` says that the run is over and all of it was read.

    A log that does not exist yet is waited for. `interval` is the seconds between looks.
    """
    at: int | None = None
    while True:
        over = ended()  # Asked before looking, so that what was written last is not missed.
        with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if at is None:
                at = 0 if tail_bytes is None else max(size - tail_bytes, 0)
            for piece in _pieces(file.fileno(), at, size):
                yield piece
            at = size
        if over:
            return
        await clock.sleep(interval)


def last_line(path: Path) -> str:
    """The last line with something in it, printable and at most 500 characters; empty if there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        data = os.pread(file, _LAST, max(os.fstat(file).st_size - _LAST, 0))
    finally:
        os.close(file)
    for line in reversed(data.decode(errors="replace").splitlines()):
        text = "".join(char if char.isprintable() else " " for char in line).strip()
        if text:
            return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"
    return ""


def _pieces(file: int, at: int, end: int) -> Iterator[bytes]:
    while at < end:
        data = _seek(file, at, os.SEEK_DATA, end)
        if data > at:
            yield f"\n… {data - at} bytes cut …\n".encode()
            at = data
            continue
        piece = os.pread(file, min(_PIECE, end - at), at)
        # Asked after reading: the log may be cut at any moment, and what is cut by then has been read as zeros.
        piece = piece[: _seek(file, at, os.SEEK_HOLE, end) - at]
        at += len(piece)
        if piece:
            yield piece


def _seek(file: int, at: int, what: int, end: int) -> int:
    """Where the next data, or the next hole, begins; `end` if not before that."""
    try:
        return min(os.lseek(file, at, what), end)
    except OSError:  # ENXIO: the file has nothing more, or ends before `at` by now.
        return end
