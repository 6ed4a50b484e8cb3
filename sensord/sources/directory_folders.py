"""The watched folder and all below: opened, watched, listed, lost and found again."""

from __future__ import annotations

import logging
import os
from typing import Literal

import anyio
from anyio.to_thread import run_sync

from notifiers.clock import Clock
from rules.printable import printable
from sensord.looks import Looks
from sensord.sources import Emit
from sensord.sources.directory import DirectoryConfig
from sensord.sources.directory_files import Files
from sensord.sources.directory_root import Root, open_watched
from sensord.sources.directory_scan import Step, Walk, Watch
from sensord.sources.directory_tree import Folder, RootLostError

log = logging.getLogger(__name__)

POLL = 2.0
_RETRY = 5.0
_FIRST_RETRY = 0.1


class Folders:
    """Keeps the tree of folders true and hands what listings find to `files`.

    `watch` makes the kernel tell of a folder; without it folders are polled.
    """

    def __init__(
        self, config: DirectoryConfig, files: Files, clock: Clock, limiter: anyio.CapacityLimiter, watch: Watch | None
    ) -> None:
        self._config = config
        self._files = files
        self._clock = clock
        self._limiter = limiter
        self._watch = watch
        self._shown = printable(files.path)
        self._looks = Looks(clock)
        self._stirred = anyio.Event()
        self._walk: Walk | None = None
        self._polled = False
        self._wanted: Literal["", "changed", "full"] = ""
        self._lost = ""
        self._moves = 0
        self._moves_before = 0
        self._device: int | None = None
        self._unreadable: dict[tuple[Folder, bytes], str] = {}
        self._retry_at: Literal["", "later", "now"] = ""

    def came(self, parent: Folder, name: bytes) -> None:
        """There may be a new folder of this name."""
        if self._walk is not None and self._files.names.enters(parent.prefix, os.fsdecode(name)):
            self._walk.urgent.append((parent, name))
            self._stirred.set()

    def left(self, parent: Folder, name: bytes) -> None:
        """The folder of this name was moved away or deleted."""
        self._moves += 1
        if (child := parent.children.get(name)) is not None:
            child.let_go()

    def is_root(self, folder: Folder) -> bool:
        """Whether this is the watched folder itself."""
        return self._files.root is not None and self._files.root.folder is folder

    def lose(self, reason: str) -> None:
        """The watched folder itself is not what it was."""
        self._lost = reason
        self._stirred.set()

    def list_all(self) -> None:
        """Anything may have happened."""
        if self._wanted != "full":
            log.warning("more happened than could be followed; all is listed again", extra={"folder": self._shown})
        self._want("full")

    async def look_now(self) -> None:
        """List everything, and return when it is listed and what was found is committed, or it cannot be listed."""
        self._want("full")
        await self._looks.now()

    def let_go(self) -> None:
        """Stop watching and forget the tree."""
        self._looks.give_up()
        if self._walk is not None:
            self._walk.close()
            self._walk.root.let_go()
            self._walk = None
        self._unreadable.clear()
        self._retry_at = ""
        self._files.let_go()

    async def follow(self, emit: Emit) -> None:
        """List what must be listed, until cancelled."""
        while True:
            root = await self._open(emit)
            try:
                await self._list(root, await self._start(root), emit)
            except RootLostError as lost:
                log.warning("the folder is lost for now", extra={"folder": self._shown, "reason": str(lost)})
            self.let_go()

    async def _open(self, emit: Emit) -> Root:
        """Open the watched folder, however long that takes."""
        delay = 0.0
        while True:
            self._looks.begin()
            try:
                return await run_sync(self._look_at_root, limiter=self._limiter, abandon_on_cancel=True)
            except RootLostError as lost:
                await emit.failed(str(lost))
                self._looks.end()
            delay = min(max(2 * delay, _FIRST_RETRY), _RETRY)
            await self._looks.pause(delay)

    def _look_at_root(self) -> Root:
        return open_watched(self._files.path, self._device, below=self._config.recursive)

    async def _start(self, root: Root) -> Walk:
        """Watch the folder itself, then want everything listed."""
        self._device = root.folder.device
        self._lost, self._wanted = "", "full"
        walk = self._walk = Walk(
            path=self._files.path,
            root=root.folder,
            names=self._files.names,
            memory=self._files.memory,
            wall_ns=lambda: int(self._clock.now().timestamp() * 1e9),
            watch=None if root.shared else self._watch,
            inodes=root.inodes,
        )
        self._files.root = root
        self._polled = False
        if walk.watch is None:
            self._poll_from_now(f"its file system is {root.shared}" if root.shared and self._watch else "")
        elif reason := await run_sync(walk.watch_root, limiter=self._limiter):
            self._poll_from_now(reason)
        self._files.alarms.after(self._config.rescan, self._rescan)
        return walk

    async def _list(self, root: Root, walk: Walk, emit: Emit) -> None:
        await emit.recovered()
        while True:
            while not (walk.busy or self._wanted or self._lost):
                self._stirred = anyio.Event()
                await self._stirred.wait()
            if self._lost:
                raise RootLostError(self._lost)
            if self._wanted and (not walk.passing or (self._wanted == "full" and not walk.full)):
                await self._begin(walk)
            step = await run_sync(walk.step, limiter=self._limiter, abandon_on_cancel=root.shared is not None)
            await self._apply(step, walk, emit)
            if step.ended:
                await self._end(root, walk, emit)
            await self._files.calm()

    async def _begin(self, walk: Walk) -> None:
        full, self._wanted = self._wanted == "full", ""
        self._moves_before = self._moves
        walk.begin(full=full)
        if full:
            self._looks.begin()
            await run_sync(walk.memory.expect, limiter=self._limiter)

    async def _apply(self, step: Step, walk: Walk, emit: Emit) -> None:
        for folder in step.entered:
            if folder.parent is not None:
                folder.parent.adopt(folder)
        for folder in step.vanished:
            folder.let_go()
        for folder, name in step.found:
            self._files.hint(folder, name)
        if step.deaf and not self._polled:
            self._poll_from_now(step.deaf)
        if step.unreadable:
            self._unreadable |= step.unreadable
            await emit.failed(self._unreadable_now())
        if self._retry_at == "now" and not walk.urgent_busy:
            self._retry_at = ""
            if not self._unreadable:
                await emit.recovered()
        if self._unreadable and not self._retry_at:
            self._retry_at = "later"
            self._files.alarms.after(_RETRY, self._retry)

    async def _end(self, root: Root, walk: Walk, emit: Emit) -> None:
        if walk.full:
            # What was met by a look instead of by the listing is known only when all hints were followed.
            await self._files.clear_up()
            sure = walk.intact and self._moves == self._moves_before and not self._lost and self._wanted != "full"
            gone = await run_sync(walk.memory.take_gone, root.identity if sure else None, limiter=self._limiter)
            if gone:
                await emit.forget(gone)
            self._files.pending.prune()
        emit.looked()
        if walk.full:
            self._looks.end()

    def _want(self, what: Literal["changed", "full"]) -> None:
        if self._wanted != "full":
            self._wanted = what
        self._stirred.set()

    def _rescan(self) -> None:
        # Without events, only a look at every file finds those that changed in their place.
        self._want("full" if self._polled or self._files.memory.overgrown else "changed")
        self._files.alarms.after(self._config.rescan, self._rescan)

    def _poll(self) -> None:
        self._want("changed")
        self._files.alarms.after(self._config.poll or POLL, self._poll)

    def _poll_from_now(self, reason: str) -> None:
        if reason:
            log.warning(
                "the folder is polled",
                extra={"folder": self._shown, "reason": reason, "seconds": self._config.poll or POLL},
            )
        self._polled = True
        self._files.alarms.after(self._config.poll or POLL, self._poll)

    def _retry(self) -> None:
        self._retry_at = "now"
        if self._walk is not None:
            self._walk.urgent.extend(self._unreadable)
        self._unreadable.clear()
        self._stirred.set()

    def _unreadable_now(self) -> str:
        (parent, name), reason = next(iter(self._unreadable.items()))
        more = f" (and {len(self._unreadable) - 1} more)" if len(self._unreadable) > 1 else ""
        path = printable(self._files.path + b"/" + parent.below(name))
        return f"the sub-folder {path}{more} cannot be read: {reason}; give it read and search permission"
