"""The supervisor's memory: one slot of a file for each attempt, written before it starts and when it ended.

This file belongs to the supervisor process: only the standard library is imported, and nothing of this package.

A slot has four parts, each written in place: START (which attempt, durable before its process exists), PID (which
process), EXIT (how it ended, durable before anyone is told) and a mark of one byte (`S` just before the process is
made, `F` when the attempt may be forgotten). The whole slot is written at START, so that a disk which fills up later
cannot swallow an exit code. Each part carries its checksum: a part torn by a loss of power reads as absent.
"""

# Paths are below an open folder, which pathlib cannot be given; and pathlib is slow to import.
# ruff: noqa: PTH123, PTH208

from __future__ import annotations

import errno
import json
import os
import time
import zlib
from typing import Any

NAME = "supervisor.journal"
SLOT = 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # A quota that is used up is a full disk to us.
_START, _PID, _EXIT = slice(0, 384), slice(384, 512), slice(512, 1023)
_MARK = 1023
_HEADER = b"sensord supervisor journal 1\n".ljust(SLOT, b"\0")
_TEXT = 400  # Bytes of a reason, as JSON: what fits EXIT beside the rest.
_AHEAD = 64  # Slots made at once, so that most starts only overwrite and their fdatasync has no size to record.
_TIDY = 2048  # Slots below which a mostly forgotten journal is not worth rewriting.


class Record:
    """One attempt: what was promised (START), its process (PID), what became of it (EXIT)."""

    __slots__ = (
        "batch", "boot", "code", "day", "due", "ended", "grace", "limit",
        "mark", "pid", "since", "slot", "started", "text", "token", "why",
    )  # fmt: skip

    def __init__(self, start: dict[str, Any]) -> None:
        self.token: str = start["token"]
        self.day: str = start["day"]  # The folder of its files: YYYY-MM-DD.
        self.boot: str = start["boot"]
        self.batch: int = start["batch"]
        self.due: float | None = start["due"]  # CLOCK_MONOTONIC; only compared within the same boot.
        self.grace: float = start["grace"]
        self.limit: int = start["limit"]
        self.slot = 0
        self.mark = b"\0"
        self.pid: int | None = None
        self.since: list[int] = []  # First and last tick since boot it may have started in: tells a reused pid.
        self.started: int | None = None  # Microseconds since 1970, as is `ended`.
        self.ended: int | None = None
        self.code: int | None = None  # Exit code, or minus the signal; None when it is unknown.
        self.why = ""  # "" it ended by itself; timeout, cancelled: it was ended; refused: never ran; lost: unknown.
        self.text = ""

    @property
    def path(self) -> str:
        """What the paths of its files begin with, below the state folder: no folder each, as that costs an inode."""
        return f"runs/{self.day}/{self.token}"

    def end(self, why: str, code: int | None, text: str) -> None:
        """Note how it ended, now. The text is bounded by what fits its part."""
        while len(json.dumps(text)) > _TEXT:
            text = text[: len(text) * 3 // 4]
        self.ended, self.why, self.code, self.text = time.time_ns() // 1000, why, code, text

    def start_part(self) -> bytes:
        """START as bytes."""
        fields = ("token", "day", "boot", "batch", "due", "grace", "limit")
        return _part({name: getattr(self, name) for name in fields}, _START)

    def pid_part(self) -> bytes:
        """PID as bytes."""
        return _part({"pid": self.pid, "since": self.since, "started": self.started}, _PID)

    def exit_part(self) -> bytes:
        """EXIT as bytes."""
        return _part({"ended": self.ended, "code": self.code, "why": self.why, "text": self.text}, _EXIT)

    def whole(self) -> bytes:
        """The slot as it should be on the disk."""
        pid = self.pid_part() if self.pid is not None else b"".ljust(128, b"\0")
        end = self.exit_part() if self.ended is not None else b"".ljust(511, b"\0")
        return self.start_part() + pid + end + self.mark


class Journal:
    """The open journal. Methods raise OSError when the disk refuses; `sync` makes what was written durable.

    `records` holds every attempt not yet forgotten. `damaged` is when (microseconds since 1970) a damaged journal
    was last set aside as `supervisor.journal.damaged-…`, for as long as such a file is there: what it held is partly
    unknown, so an attempt of that time that is not in `records` may have been started all the same.
    """

    def __init__(self, folder: int, boot: str) -> None:
        self._folder = folder
        self._boot = boot
        self.records: dict[str, Record] = {}
        self._file = -1
        self._used = self._made = 0
        self._batch = 0
        self._dirty = False
        raw = self._read()
        found, damaged = _parse(raw)
        if damaged:
            os.link(NAME, f"{NAME}.damaged-{time.time_ns() // 1000}", src_dir_fd=folder, dst_dir_fd=folder)
        self.damaged = self._newest_damage()
        self._batch = max((record.batch for record in found), default=0)
        self.records = {record.token: record for record in found if not self._never_ran(record)}
        try:
            self._rewrite()
        except OSError as error:
            if error.errno not in FULL or damaged or not raw:
                raise
            self._keep(raw, found)

    def begin(self, records: list[Record]) -> None:
        """Write START of these, in new slots. ENOSPC: there is no room, or no quota, and none of them is known."""
        self._batch += 1
        for number, record in enumerate(records, self._used):
            record.slot, record.batch = number, self._batch
        try:
            self._make_room(len(records))
            self._write(b"".join(record.whole() for record in records), self._used * SLOT)
        except OSError as error:
            raise OSError(errno.ENOSPC if error.errno in FULL else error.errno, error.strerror) from error
        self._used += len(records)
        self.records.update((record.token, record) for record in records)

    def starting(self, record: Record) -> None:
        """Say that the process is about to be made. Needs no sync: it tells only after a crash within this boot."""
        self._mark(record, b"S")

    def started(self, record: Record) -> None:
        """Write PID. Needs no sync, as a pid means nothing after a restart of the machine."""
        _write_all(self._file, record.pid_part(), record.slot * SLOT + _PID.start)

    def ended(self, record: Record) -> None:
        """Write EXIT; it must be synced before anyone is told."""
        self._write(record.exit_part(), record.slot * SLOT + _EXIT.start)

    def forget(self, record: Record) -> None:
        """Let the record go. Without a sync, or room: at worst it is remembered and forgotten again."""
        del self.records[record.token]
        try:
            self._mark(record, b"F")
        except OSError as error:
            if error.errno not in FULL:  # Where overwriting takes room, as with copy on write.
                raise

    def sync(self) -> None:
        """Make everything written so far durable. A failure is final: what the file holds is then unknown."""
        if self._dirty:
            self.hand_over()
            self.make_durable()

    def hand_over(self) -> None:
        """Another thread will call `make_durable`: what is written from here on is for the sync after that."""
        self._dirty = False

    def make_durable(self) -> None:
        """Wait for the disk. Nothing else of the journal may be called that replaces the file meanwhile: `tidy`."""
        os.fdatasync(self._file)

    def tidy(self) -> None:
        """Rewrite the file when most of it is forgotten. On a full disk it stays as it is."""
        if self._used < _TIDY or len(self.records) * 4 > self._used:
            return
        try:
            self._rewrite()
        except OSError as error:
            if error.errno not in FULL:
                raise

    def _never_ran(self, record: Record) -> bool:
        """Within this boot a missing mark proves that no process was made: the attempt is still to be started."""
        return record.mark == b"\0" and record.boot == self._boot and record.ended is None

    def _read(self) -> bytes:
        try:
            with open(os.open(NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def _newest_damage(self) -> int | None:
        prefix = f"{NAME}.damaged-"
        times = [name.removeprefix(prefix) for name in os.listdir(self._folder) if name.startswith(prefix)]
        return max((int(text) for text in times if text.isdecimal()), default=None)

    def _rewrite(self) -> None:
        """Replace the file by one that holds the living records alone, atomically and durably."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        new = os.open(f"{NAME}.new", flags, 0o600, dir_fd=self._folder)
        records = list(self.records.values())
        data = _HEADER + b"".join(record.whole() for record in records)
        try:
            _write_all(new, data, 0)
            os.fsync(new)
            os.rename(f"{NAME}.new", NAME, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
        except OSError:
            os.close(new)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._dirty = new, False
        self._used = self._made = 1 + len(records)
        for number, record in enumerate(records, 1):
            record.slot = number

    def _keep(self, raw: bytes, found: list[Record]) -> None:
        """Go on in the file as it is."""
        self._file = os.open(NAME, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        self._made = len(raw) // SLOT
        self._used = 1 + max((record.slot for record in found), default=0)

    def _make_room(self, count: int) -> None:
        need = self._used + count - self._made
        if need <= 0:
            return
        for size in (max(need, _AHEAD), need):
            try:
                os.posix_fallocate(self._file, self._made * SLOT, size * SLOT)
            except OSError as error:
                if error.errno in FULL and size > need:
                    continue
                raise
            # Written once, so that a start is a plain overwrite and costs the file system no journal commit.
            self._write(bytes(size * SLOT), self._made * SLOT)
            self._made += size
            return

    def _mark(self, record: Record, mark: bytes) -> None:
        record.mark = mark
        os.pwrite(self._file, mark, record.slot * SLOT + _MARK)

    def _write(self, data: bytes, at: int) -> None:
        _write_all(self._file, data, at)
        self._dirty = True


def _write_all(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done


def _part(value: dict[str, Any], where: slice) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode()
    size = where.stop - where.start
    line = b"%08x %s\n" % (zlib.crc32(text), text)
    if len(line) > size:
        raise ValueError(f"{len(line)} bytes do not fit a part of {size}")
    return line.ljust(size, b"\0")


def _value(part: bytes) -> dict[str, Any] | None:
    check, _, text = part.rstrip(b"\0").rstrip(b"\n").partition(b" ")
    if check != b"%08x" % zlib.crc32(text):
        return None
    value = json.loads(text)
    return value if isinstance(value, dict) else None


def _parse(raw: bytes) -> tuple[list[Record], bool]:
    """The records of a journal's bytes that are not forgotten, and whether the file is damaged.

    What a loss of power tears is the last batch of starts, none of which had been acted upon. A START that cannot
    be read is damage if it had been acted upon, or has a readable one of an earlier batch behind it.
    """
    valid: list[Record] = []
    unreadable: list[int] = []
    damaged = bool(raw) and raw[:SLOT] != _HEADER
    for number in range(1, -(-len(raw) // SLOT)):
        slot = raw[number * SLOT : (number + 1) * SLOT].ljust(SLOT, b"\0")
        start = _value(slot[_START])
        if start is not None:
            valid.append(_record(number, start, slot))
        elif slot[_MARK:] != b"F":
            unreadable.append(number)
            damaged = damaged or any(slot[_PID.start :])
    last = max((record.batch for record in valid), default=0)
    covered = max((record.slot for record in valid if record.batch < last), default=0)
    damaged = damaged or any(number < covered for number in unreadable)
    return [record for record in valid if record.mark != b"F"], damaged


def _record(number: int, start: dict[str, Any], slot: bytes) -> Record:
    record = Record(start)
    record.slot, record.mark = number, slot[_MARK:]
    for values in (_value(slot[_PID]), _value(slot[_EXIT])):
        for name, value in (values or {}).items():
            setattr(record, name, value)
    return record
