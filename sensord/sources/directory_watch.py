"""The kernel's events: one inotify instance for the whole process, read by the event loop itself.

No thread stands between the kernel and the loop: an event costs no hand-over, and a scan that holds the interpreter
cannot put one between an event and its sensor.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol

import anyio
from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

from sensord.sources.directory_tree import Folder, Unwatch

IS_DIR = InotifyConstants.IN_ISDIR
LEFT = InotifyConstants.IN_DELETE | InotifyConstants.IN_MOVED_FROM
CREATED = InotifyConstants.IN_CREATE
CLOSED = InotifyConstants.IN_CLOSE_WRITE
UNMOUNT = InotifyConstants.IN_UNMOUNT
SELF = InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF | UNMOUNT
# Neither reads nor single writes: a file that grows for an hour costs nothing until it is closed.
MASK = Mask(
    InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_CREATE
    | LEFT
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_EXCL_UNLINK
)
# Some hundred events at a time, so that a burst leaves the loop to others in between.
_READ = 16 * 1024
# Listings of local folders share so many threads, however many sensors there are.
_THREADS = 4


class Listener(Protocol):
    """Who is told what the kernel says; always in the event loop's thread."""

    def noticed(self, folder: Folder, mask: int, name: bytes) -> None:
        """Something happened to `name` in `folder`, or without a name to the folder itself."""
        ...

    def overflowed(self) -> None:
        """The kernel dropped events: anything may have happened."""
        ...


@dataclass(slots=True, eq=False)
class _Ear:
    """watchdog's callback for one folder of one listener."""

    listener: Listener
    folder: Folder

    def on_event(self, event: InotifyEvent) -> None:
        self.listener.noticed(self.folder, event.mask, event.name)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:  # noqa: ARG002 (watchdog's signature)
        self.folder.gone = True
        self.folder.unwatch = None

    def on_queue_overflow(self) -> None:
        self.listener.overflowed()


class _Inotify(InotifyFD):
    """watchdog's wrapper of inotify(7), whose thread is never started: whoever owns it reads when it is readable."""

    def fileno(self) -> int:
        return self._inotify_fd

    def close(self) -> None:
        # No thread waits in a read that would have to be woken to close the descriptors.
        self._is_reading = False
        super().close()


class Kernel:
    """The process's inotify instance. Opened by the first who needs it, closed after the last."""

    _open: ClassVar[dict[asyncio.AbstractEventLoop, Kernel]] = {}

    def __init__(self) -> None:
        """Use `shared`. `limiter` bounds the threads in which its users list folders."""
        self._inotify = _Inotify()
        # Jobs that we start must not keep it open.
        os.set_inheritable(self._inotify.fileno(), False)
        self._users = 0
        self._numbers = itertools.count(1)
        self.limiter = anyio.CapacityLimiter(_THREADS)

    @classmethod
    @contextmanager
    def shared(cls) -> Iterator[Kernel]:
        """The instance of the running event loop. OSError, if the system gives none (its limit is reached)."""
        loop = asyncio.get_running_loop()
        kernel = cls._open.get(loop)
        if kernel is None:
            kernel = cls()
            cls._open[loop] = kernel
            loop.add_reader(kernel._inotify.fileno(), kernel._read)
        kernel._users += 1
        try:
            yield kernel
        finally:
            kernel._users -= 1
            if not kernel._users:
                del cls._open[loop]
                loop.remove_reader(kernel._inotify.fileno())
                kernel._inotify.close()

    def watch(self, fd: int, folder: Folder, listener: Listener) -> Unwatch:
        """Hear of everything in the folder open as `fd`, from now on; returns what ends it. Any thread may ask.

        OSError, if the kernel gives no more watches.
        """
        number = CallbackId(next(self._numbers))
        # Through the open descriptor: no path is walked again, so no link can come in between.
        wd = self._inotify.add_callback(b"/proc/self/fd/%d/." % fd, MASK, _Ear(listener, folder), number)
        if wd < 0:
            raise PermissionError(f"the kernel does not let user watch {folder.relative!r}")

        def unwatch() -> None:
            self._inotify.remove_callbacks([(wd, number)])

        return unwatch

    def _read(self) -> None:
        for event in self._inotify.read_events(event_buffer_size=_READ):
            self._inotify.handle_event(event)
