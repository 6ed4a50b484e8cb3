"""Names of files: which are taken, how any legal name is shown, and how one version is told from another.

A name is bytes on disk and need not be UTF-8. Inside, names are bytes. Patterns and templates see `os.fsdecode(name)`:
bytes that are no UTF-8 become lone surrogates (`surrogateescape`), which `os.fsencode`, `open` and `subprocess` turn
back. What people read (`subject`, `key`) is `printable`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from struct import Struct
from typing import Any

from notifiers.clock import EPOCH
from rules.event import rfc3339
from rules.globs import Globs

_PACK = Struct("<QQQ").pack
_64 = (1 << 64) - 1


def mark_of(relative: bytes, size: int, mtime_ns: int, inode: int) -> int:
    """A 63-bit fingerprint of one version of one file: equal for equal versions, over restarts too."""
    digest = blake2b(relative, digest_size=8)
    digest.update(_PACK(size, mtime_ns & _64, inode & _64))
    return int.from_bytes(digest.digest(), "big") >> 1


def marks_below(prefix: bytes, *, inodes: bool) -> Callable[[bytes, os.stat_result], int]:
    """`mark_of` for many names in one folder; `prefix` is its path below the watched folder, "" or ending in /."""
    start = blake2b(prefix, digest_size=8).copy

    def mark(name: bytes, status: os.stat_result) -> int:
        digest = start()
        digest.update(name + _PACK(status.st_size, status.st_mtime_ns & _64, status.st_ino if inodes else 0))
        return int.from_bytes(digest.digest(), "big") >> 1

    return mark


def file_context(path: bytes, relative: bytes, size: int, mtime_ns: int) -> dict[str, Any]:
    r"""What templates see as `file`.

    Every text opens the file as it stands: `os.fsencode(file.path)` is its path, whatever bytes its name has. A
    name that is no UTF-8 therefore holds lone surrogates. JSON can carry them as `\udcNN` (the standard library's
    `json` writes and reads them so by default), UTF-8 and orjson cannot.
    """
    full = os.fsdecode(path)
    directory, _, name = full.rpartition("/")
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (ten times as quick, and this is done for every file)
    return {
        "name": name,
        "path": full,
        "relative": os.fsdecode(relative),
        "stem": stem,
        "suffix": suffix,
        "directory": directory or "/",
        "size": size,
        "mtime": rfc3339(_moment(mtime_ns)),
    }


def _moment(ns: int) -> datetime:
    """A file may claim any time; what a calendar cannot hold becomes its first or last moment."""
    try:
        return EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if ns > 0 else datetime.min.replace(tzinfo=UTC)


class DoneFile:
    """The name of the file that says "this one is whole": fixed, or made of the data file's `{name}` or `{stem}`."""

    def __init__(self, template: str) -> None:
        self.template = template
        field = next((field for field in ("{name}", "{stem}") if field in template), None)
        self._head, _, self._tail = template.partition(field) if field else (template, "", "")
        self._field = field
        literal = self._head + self._tail
        if not literal or "{" in literal or "}" in literal or "/" in literal or literal in {".", ".."}:
            raise ValueError(
                f"{template!r} names no file beside the data file; write a fixed name such as '_SUCCESS', or text "
                "with one {name} or {stem} in it such as '{name}.done'"
            )

    def of(self, name: str) -> str:
        """The done file of a data file."""
        if self._field is None:
            return self.template
        middle = name if self._field == "{name}" else os.path.splitext(name)[0]  # noqa: PTH122 (text, not a path)
        return self._head + middle + self._tail

    def is_one(self, name: str) -> bool:
        """Whether a file of this name is a done file, and so no data."""
        if self._field is None:
            return name == self.template
        longer = len(name) > len(self._head) + len(self._tail)
        return longer and name.startswith(self._head) and name.endswith(self._tail)


class Names:
    """Which names a directory sensor takes."""

    def __init__(
        self, pattern: Sequence[str], ignore: Sequence[str], done: DoneFile | None, *, recursive: bool
    ) -> None:
        self.pattern = Globs(pattern)
        self.ignore = Globs(ignore)
        self.done = done
        self.recursive = recursive

    def takes(self, prefix: str, name: str) -> bool:
        """Whether a file of this name, in this folder, is data. Folders above it are asked about by `enters`."""
        if self.ignore.match(prefix, name) or not self.pattern.match(prefix, name):
            return False
        return self.done is None or not self.done.is_one(name)

    def enters(self, prefix: str, name: str) -> bool:
        """Whether files are looked for in this sub-folder."""
        return self.recursive and not self.ignore.match(prefix, name)
