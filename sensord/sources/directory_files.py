"""From hints to things sensed: names that may be new are looked at, and whole ones are emitted.

Whatever says that a file may be new (an event, a listing, an alarm) leaves a hint: a folder and a name. Only a look at
the file itself decides.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice

import anyio
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync

from notifiers.clock import Clock
from rules.printable import printable
from rules.request import Sensed
from sensord.sources import Emit
from sensord.sources.directory import DirectoryConfig
from sensord.sources.directory_memory import Memory
from sensord.sources.directory_names import Names, file_context, mark_of
from sensord.sources.directory_pending import Alarms, Pending
from sensord.sources.directory_ready import Finding, Version, look_at, verdict
from sensord.sources.directory_root import Root
from sensord.sources.directory_tree import Folder, RootLostError

log = logging.getLogger(__name__)

BATCH = 500
# So many looks fit between two turns of the event loop.
_LOOKS = 16
_MANY, _FEW = 4_096, 1_024
_FLOOD = 200_000
_RETRY = 5.0
# The kernel tells of a close shortly before the file counts as closed.
_CLOSING = 0.001


class Files:
    """Looks at hinted names and emits the versions that are whole and not known, oldest hint first."""

    def __init__(
        self, path: bytes, config: DirectoryConfig, names: Names, clock: Clock, limiter: anyio.CapacityLimiter
    ) -> None:
        self.path = path
        self.names = names
        self.memory = Memory()
        self.root: Root | None = None
        self.lost: Callable[[str], None] = lambda _: None
        self.flooded: Callable[[], None] = lambda: None
        self._config = config
        self._clock = clock
        self._limiter = limiter
        self._shown = printable(path)
        self.alarms = Alarms(clock)
        self.pending = Pending(clock, self.alarms, self.look_again, config.settle)
        self._identity = ""
        # With the pause before one that is still held open is asked about again, and since when it is known.
        self._hints: dict[tuple[Folder, bytes], tuple[float, float]] = {}
        self._hinted, self._calmed = anyio.Event(), anyio.Event()
        self._begun = self._ended = 0  # Batches.

    def hint(self, folder: Folder, name: bytes, *, closed: bool = False) -> None:
        """This name may stand for something new; `closed`: a writer has just closed it."""
        text = os.fsdecode(name)
        if self.names.done is not None and self.names.done.is_one(text):
            for waiting in self.pending.came(folder, name):
                self.look_again(folder, waiting)
        elif self.names.takes(folder.prefix, text):
            self.look_again(folder, name, _CLOSING if closed else 0.0)

    def begun(self, folder: Folder, name: bytes) -> bool:
        """Whether this name is a file that was just made and is still empty; if so, there is time to look at it.

        Most files begin so, and their close is heard of; a look at each would only hold up the others.
        """
        try:
            status = os.lstat(self.path + b"/" + folder.below(name))
        except OSError:
            return False
        empty = stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_size == 0
        if not empty or not self.names.takes(folder.prefix, os.fsdecode(name)) or self.names.done is not None:
            return False
        version = Version.of(status)
        self.pending.wait(Finding(folder, name, version), version, "settling")
        return True

    def look_again(self, folder: Folder, name: bytes, closing: float = 0.0) -> None:
        """The same for a name that is known to be taken; still held open, it is asked about again in `closing`."""
        former = self._hints.get((folder, name))
        if former is None:
            self._hints[folder, name] = (closing, self._clock.monotonic())
        elif closing > former[0]:
            self._hints[folder, name] = (closing, former[1])
        self._hinted.set()
        if len(self._hints) > _FLOOD:
            # More than is worth remembering one by one: a listing finds them all, at its own pace.
            self._hints.clear()
            self.flooded()

    async def calm(self) -> None:
        """Return when there is room for more hints from a listing."""
        while len(self._hints) > _MANY:
            self._calmed = anyio.Event()
            await self._calmed.wait()

    async def clear_up(self) -> None:
        """Return when every hint there was has been looked at, and what was whole is committed."""
        while self._hints:
            self._calmed = anyio.Event()
            await self._calmed.wait()
        batch = self._begun
        while self._ended < batch:
            self._calmed = anyio.Event()
            await self._calmed.wait()

    def let_go(self) -> None:
        """The watched folder is lost; what is still to be looked at is found again when it is back."""
        self.root = None
        self._hints.clear()
        self._calmed.set()
        self.pending.clear()
        self.alarms.clear()

    async def serve(self, emit: Emit) -> None:
        """Look and emit, until cancelled. One `emit` at a time; what comes meanwhile makes the next batch."""
        self._ended = self._begun
        while True:
            if not self._hints:
                emit.behind(None)
                self._hinted = anyio.Event()
                await self._hinted.wait()
            self._begun += 1
            emit.behind(self._since())
            ready: list[Sensed] = []
            while self._hints and len(ready) <= BATCH - _LOOKS:
                await self._look(ready)
                if len(self._hints) < _FEW:
                    self._calmed.set()
                if self._hints:
                    await checkpoint()
            if ready:
                await emit(ready, self.memory.cursor_at(self._identity))
                emit.looked()
            self._ended = self._begun
            self._calmed.set()

    def _since(self) -> datetime | None:
        """When the oldest hint came."""
        hint = next(iter(self._hints.values()), None)
        return None if hint is None else self._clock.now() - timedelta(seconds=self._clock.monotonic() - hint[1])

    async def _look(self, ready: list[Sensed]) -> None:
        hints = list(islice(self._hints, _LOOKS))
        closing = [self._hints.pop(hint)[0] for hint in hints]
        if (root := self.root) is None:
            return
        self._identity = root.identity
        try:
            if root.shared is None:
                findings = self.look(root, hints)
            else:
                findings = await run_sync(self.look, root, hints, limiter=self._limiter, abandon_on_cancel=True)
        except RootLostError as lost:
            self.lost(str(lost))
            return
        for finding, soon in zip(findings, closing, strict=True):
            if (sensed := self.judge(root, finding)) is not None:
                ready.append(sensed)
            elif soon and finding.hold == "held" and soon < self._config.settle:
                self._ask_again(finding, soon)

    def _ask_again(self, finding: Finding, soon: float) -> None:
        self.alarms.after(soon, lambda: self.look_again(finding.folder, finding.name, 2 * soon))

    def look(self, root: Root, hints: list[tuple[Folder, bytes]]) -> list[Finding]:
        """What these names stand for now. Blocks for as long as the file system does."""

        def known(relative: bytes, status: os.stat_result) -> bool:
            inode = status.st_ino if root.inodes else 0
            return self.memory.has(mark_of(relative, status.st_size, status.st_mtime_ns, inode))

        return look_at(self.path, root.folder, hints, self._done, known)

    def judge(self, root: Root, finding: Finding) -> Sensed | None:
        """What to emit for this finding; if it is not whole yet, it is looked at again when it may be."""
        folder, name, version = finding.folder, finding.name, finding.version
        relative, done = folder.below(name), self._done(name)
        if finding.trouble:
            log.warning(
                "a file cannot be looked at",
                extra={"folder": self._shown, "file": printable(relative), "reason": finding.trouble},
            )
            self.alarms.after(_RETRY, lambda: self.look_again(folder, name))
            return None
        if version is None:
            self.pending.drop(folder, name, done)
            return None
        if finding.done is False and done is not None:
            self.pending.wait_beside(folder, done, name)
            return None
        what = verdict(
            finding,
            unchanged=self.pending.unchanged(relative, version),
            age=self._clock.now().timestamp() - version.ctime_ns / 1e9,
            settle=self._config.settle,
            wait=self._config.ready == "settle",
            shared=root.shared is not None,
        )
        if what != "whole":
            self.pending.wait(finding, version, what)
            return None
        self.pending.drop(folder, name, done)
        mark = mark_of(relative, version.size, version.mtime_ns, version.inode if root.inodes else 0)
        if self.memory.has(mark):
            return None
        self.memory.add(mark)
        return self._sensed(relative, version, mark)

    def _sensed(self, relative: bytes, version: Version, mark: int) -> Sensed:
        path = self.path.rstrip(b"/") + b"/" + relative
        return Sensed(
            subject=printable(path),
            key=f"{printable(relative)}@{version.size}-{version.mtime_ns}",
            at=self._clock.now(),
            context={"file": file_context(path, relative, version.size, version.mtime_ns)},
            mark=mark,
        )

    def _done(self, name: bytes) -> bytes | None:
        return None if self.names.done is None else os.fsencode(self.names.done.of(os.fsdecode(name)))
