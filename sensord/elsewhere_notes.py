"""What is known of attempts that run elsewhere, one small file each: durable before anything is acted upon.

`elsewhere/TOKEN.json` in the state folder. It is there from before the first request until the outcome is committed;
so an attempt without one was never asked for.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio import to_thread
from msgspec import Struct
from msgspec.structs import asdict

from sensord.secrets import one_line, redact

LOG_BYTES = 1 << 20


class Note(Struct, frozen=True, kw_only=True):
    """What is known of one attempt. Times are microseconds since 1970.

    `sent`: a request may have arrived, and no answer did. `said`: what the other side answered, as its launcher
    understands it; None before that. `ended`: how it ended, as the other side told us by itself.
    """

    asked_at: int
    sent: bool = False
    started_at: int | None = None
    said: Any = None
    link: str = ""
    ended: dict[str, Any] | None = None


class DamagedNoteError(Exception):
    """A note that cannot be read: whether its attempt was started is unknown."""


class Notes:
    """The notes of one state folder. Files are written in threads, each synced with its folder."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "elsewhere"
        self._state = state

    async def write(self, token: str, note: Note) -> None:
        """Returns once it is durable. OSError: it is not."""
        data = json.dumps(asdict(note)).encode()  # ASCII: a name that is not UTF-8 is written as \udcXX.
        await to_thread.run_sync(self._write, token, data)

    async def read(self, token: str) -> Note | None:
        """The note; None where there is none. DamagedNoteError where it cannot be read."""
        try:
            return Note(**json.loads(self._path(token).read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise DamagedNoteError(str(error)) from error

    def forget(self, token: str) -> None:
        """Its outcome is committed."""
        self._path(token).unlink(missing_ok=True)

    def forget_all_but(self, tokens: Collection[str]) -> None:
        """Let go of what a crash left between the commit of an outcome and its forgetting."""
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if path.name.removesuffix(".json") not in tokens:
                    path.unlink(missing_ok=True)

    def log_path(self, token: str, requested_at: datetime) -> Path:
        """Where the attempt's log is, or will be: among those of commands, for as long."""
        return self._state / "runs" / requested_at.astimezone(UTC).date().isoformat() / f"{token}.log"

    def log(self, token: str, requested_at: datetime, at: datetime, text: str) -> None:
        """Add a line to the attempt's log, if that can be done; no secret of ours is in it."""
        path = self.log_path(token, requested_at)
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(opened, "a", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
                if file.tell() < LOG_BYTES:
                    file.write(f"{at:%Y-%m-%dT%H:%M:%SZ} {one_line(redact(text))[:2000]}\n")

    def _path(self, token: str) -> Path:
        return self._folder / f"{token}.json"

    def _write(self, token: str, data: bytes) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync(self._state)
        path = self._path(token)
        spare = path.with_suffix(".new")
        file = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.write(file, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file)
        finally:
            os.close(file)
        spare.replace(path)
        _sync(self._folder)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
