"""One directory sensor: its parts, wired together."""

from __future__ import annotations

import os
from collections.abc import Sequence

import anyio
from anyio.to_thread import run_sync

from notifiers.clock import Clock
from rules.request import Sensed
from sensord.sources import Emit
from sensord.sources.directory import DirectoryConfig
from sensord.sources.directory_files import Files
from sensord.sources.directory_folders import Folders
from sensord.sources.directory_memory import Memory
from sensord.sources.directory_root import open_watched
from sensord.sources.directory_scan import Walk
from sensord.sources.directory_tree import Folder, Unwatch
from sensord.sources.directory_watch import CLOSED, CREATED, IS_DIR, LEFT, SELF, UNMOUNT, Kernel
from sensord.sources.directory_why import why


class DirectorySource:
    """See `sensord.sources.Source` for what `run`, `look` and `why` promise.

    Three tasks share one state, all in the event loop: `files` looks at names and emits, `folders` lists (in a worker
    thread, step by step), and alarms bring back what must be looked at again.
    """

    def __init__(self, config: DirectoryConfig, clock: Clock, kernel: Kernel | None) -> None:
        self._config = config
        self._clock = clock
        self._kernel = kernel
        self._limiter = kernel.limiter if kernel else anyio.CapacityLimiter(1)
        self._files = self._new_files()
        self._folders = Folders(config, self._files, clock, self._limiter, self._watch if kernel else None)
        self._files.lost = self._folders.lose
        self._files.flooded = self._folders.list_all

    def _new_files(self) -> Files:
        path = os.fsencode(os.path.abspath(self._config.path))  # noqa: PTH100 (bytes; links stay links)
        return Files(path, self._config, self._config.names(), self._clock, self._limiter)

    async def run(self, emit: Emit, cursor: str | None) -> None:
        """Emit each version of each file once, when it is whole, until cancelled."""
        marks = await emit.marks()
        self._files.memory = await run_sync(Memory, marks, cursor, limiter=self._limiter)
        del marks
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._folders.follow, emit, name="list folders")
                tasks.start_soon(self._files.serve, emit, name="look at files")
                tasks.start_soon(self._files.alarms.run, name="look again")
        finally:
            self._folders.let_go()

    async def look_now(self) -> None:
        """See `sensord.sources.Waking`: everything is listed."""
        await self._folders.look_now()

    async def look(self, known: set[int]) -> Sequence[Sensed]:
        """What is whole now and not known. RootLostError, with what to do, if the folder cannot be looked at."""
        return await run_sync(self._look, known, limiter=self._limiter, abandon_on_cancel=True)

    def _look(self, known: set[int]) -> Sequence[Sensed]:
        files = self._new_files()
        files.memory = Memory(known)
        root = open_watched(files.path, None, below=self._config.recursive)
        walk = Walk(
            path=files.path,
            root=root.folder,
            names=files.names,
            memory=files.memory,
            wall_ns=lambda: 0,
            inodes=root.inodes,
        )
        walk.begin(full=True)
        sensed: list[Sensed] = []
        while walk.busy:
            findings = files.look(root, walk.step().found)
            sensed += [one for finding in findings if (one := files.judge(root, finding)) is not None]
        return sensed

    def why(self, subject: str) -> str | None:
        """Why this file would not be emitted; `subject` is what was emitted as such, or any path."""
        return why(subject, self._files, self._config, self._clock)

    # What the kernel says. Called by it, in the event loop.

    def noticed(self, folder: Folder, mask: int, name: bytes) -> None:
        """See `directory_watch.Listener`."""
        if not name:
            if mask & SELF and self._folders.is_root(folder):
                self._folders.lose("it was moved, deleted or unmounted")
            elif mask & UNMOUNT and folder.parent is not None:
                self._folders.came(folder.parent, folder.name)
        elif not mask & IS_DIR:
            if mask & LEFT and self._files.pending.get(folder.below(name)) is None:
                return
            if not (mask & CREATED and self._files.begun(folder, name)):
                self._files.hint(folder, name, closed=bool(mask & CLOSED))
        elif mask & LEFT:
            self._folders.left(folder, name)
        else:
            self._folders.came(folder, name)

    def overflowed(self) -> None:
        """See `directory_watch.Listener`."""
        self._folders.list_all()

    def _watch(self, fd: int, folder: Folder) -> Unwatch:
        if self._kernel is None:
            raise OSError("there is no inotify")
        return self._kernel.watch(fd, folder, self)
