"""Where a program's events wait until they are sent: a file a process, held by a lock while the process lives.

Standard library only. What a dead process left is sent by the next program that submits to the same address, or by
the daemon (`sensord.spool_taking`).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

log = logging.getLogger("sensord.submit")

SPOOL_BYTES = 16 * 1024 * 1024
BLOCK_BYTES = 256 * 1024
BLOCK_LINES = 200
_TEMPORARY = "sensord-spool-"


def tag_of(url: str) -> str:
    """What a spool's file is named after: events wait for one address, and nobody sends them to another."""
    return f"{zlib.crc32(url.rstrip('/').encode('utf-8', 'replace')):08x}"


def spool_folders() -> Iterator[Path]:
    """Where a spool may be, the best place first: as it is said, else the user's, else the system's for the while."""
    if said := os.environ.get("SENSORD_SPOOL"):
        yield Path(said)
        return
    with contextlib.suppress(RuntimeError):  # A user without a home, as containers have.
        state = os.environ.get("XDG_STATE_HOME")
        yield (Path(state) if state else Path.home() / ".local" / "state") / "sensord" / "spool"
    yield Path(os.environ.get("TMPDIR") or "/tmp") / f"{_TEMPORARY}{os.geteuid()}"  # noqa: S108 - guarded


def open_spool(tag: str) -> Spool:
    """A spool in the best place that can be written; in memory, with a warning, where there is none."""
    reasons = []
    for folder in spool_folders():
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _refuse_strangers(folder)
            return Spool(folder, tag)
        except OSError as error:
            reasons.append(str(error))
    log.warning("sensord: no spool can be written, so events wait in memory alone: %s", "; ".join(reasons))
    return Spool(None, tag)


def _refuse_strangers(folder: Path) -> None:
    """In a folder for everybody, somebody else may have put it there, to read the events or to lead the file away."""
    found = folder.lstat()
    if folder.name.startswith(_TEMPORARY) and (found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode)):
        raise PermissionError(f"{folder} was made by somebody else")


class Spool:
    """Lines, appended by the program and taken in order by its sending thread.

    Where the disk takes no more, what is unsent goes on in memory until it is sent.
    """

    def __init__(self, folder: Path | None, tag: str) -> None:
        self.folder, self.tag = folder, tag
        self.path: Path | None = None
        self._file = -1
        self._memory: bytearray | None = bytearray() if folder is None else None
        if folder is not None:
            self.path = folder / f"{time.time_ns():020}-{os.getpid()}-{uuid.uuid4().hex[:8]}.{tag}.jsonl"
            made = self.path.with_suffix(".made")
            self._file = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            # Locked before it has its name: others would take a file without a lock for a dead process's.
            fcntl.flock(self._file, fcntl.LOCK_EX)
            made.rename(self.path)
        self._closed = False
        self._lock = threading.Lock()
        self._written = 0
        self._sent = 0

    def append(self, line: bytes) -> bool:
        """Keep a line; False where the spool is full, OSError where it is closed."""
        with self._lock:
            if self._closed:
                raise OSError("the spool is closed")
            if self._written - self._sent + len(line) > SPOOL_BYTES:
                return False
            if self._memory is None:
                try:
                    self._write(line)
                except OSError as error:
                    log.warning("sensord: the spool %s takes no more, so events wait in memory: %s", self.path, error)
                    self._go_to_memory()
            if self._memory is not None:
                self._memory += line
            self._written += len(line)
            return True

    def unsent(self) -> list[bytes]:
        """The first lines that are not sent yet, each with its newline; none where all are."""
        with self._lock:
            return lines_at(self._read, self._sent, self._written)

    def sent(self, lines: list[bytes]) -> None:
        """Go past lines; when all are sent the file is emptied."""
        with self._lock:
            self._sent += sum(map(len, lines))
            if self._sent < self._written or self._closed:
                return
            if self._file != -1:
                os.ftruncate(self._file, 0)
            self._memory = bytearray() if self._file == -1 else None
            self._sent = self._written = 0

    def close(self) -> None:
        """Leave the spool: the file goes if nothing in it is unsent, else the rest waits in it."""
        with self._lock:
            if self._closed:
                return
            rest = self._sent < self._written
            if rest and self._memory is not None:
                log.warning("sensord: events that could not be written to a disk are lost as the program ends")
            elif self.path is not None and not rest:
                self.path.unlink(missing_ok=True)
            elif self.path is not None and self._sent:
                self._leave_the_rest(self.path)
            self.forget()

    def forget(self) -> None:
        """Close the file as it is. A forked child does: it is the parent's, and its lock must not outlive that."""
        self._closed = True
        if self._file != -1:
            os.close(self._file)
            self._file = -1

    def _read(self, size: int, place: int) -> bytes:
        if self._memory is not None:
            return bytes(self._memory[place : place + size])
        return os.pread(self._file, size, place)

    def _write(self, line: bytes) -> None:
        done = 0
        try:
            while done < len(line):
                done += os.pwrite(self._file, line[done:], self._written + done)
        except OSError:
            if done:  # Half a line would spoil the next one.
                os.ftruncate(self._file, self._written)
            raise

    def _go_to_memory(self) -> None:
        # What is on the disk stays there, under its lock, for whoever comes if this process is killed.
        self._memory = bytearray(os.pread(self._file, self._written - self._sent, self._sent))
        self._written, self._sent = len(self._memory), 0

    def _leave_the_rest(self, path: Path) -> None:
        """Only what is unsent. Where that cannot be written all of it stays, and is dropped as known by its ids."""
        spare = path.with_suffix(".new")
        try:
            spare.write_bytes(self._read(self._written - self._sent, self._sent))
            spare.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                spare.unlink(missing_ok=True)


def lines_at(read: Callable[[int, int], bytes], place: int, end: int) -> list[bytes]:
    """Whole lines from there on, of what `read(size, place)` gives: some hundred at most, or a single long one.

    None where no line is whole, as the last one of a process that was killed.
    """
    block, size = b"", BLOCK_BYTES
    while b"\n" not in block:
        if place + len(block) >= end:
            return []
        chunk = read(min(size, end - place - len(block)), place + len(block))
        if not chunk:
            return []
        block, size = block + chunk, size * 2
    return [line + b"\n" for line in block.split(b"\n")[:-1][:BLOCK_LINES]]


def left_behind(folder: Path, *tags: str) -> Iterator[tuple[Path, int]]:
    """Files whose process is gone, oldest first, each held by our lock while it is being sent."""
    for path in sorted(path for tag in tags for path in folder.glob(f"*.{tag}.jsonl")):
        with contextlib.suppress(FileNotFoundError, PermissionError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield path, file.fileno()
