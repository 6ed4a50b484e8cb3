"""The kernel's events: one inotify instance for the whole process, read by the event loop itself.

No thread stands between the kernel and the loop: an event costs no hand-over, and a scan that holds the interpreter
cannot put one between an event and its sensor.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Protocol

import anyio
from msgspec import Struct

# What releases 6 and 7 have in common: Dagster wants a 6, and may be installed beside us.
from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init, inotify_rm_watch

from sensord.sources.directory_tree import Folder, Unwatch

log = logging.getLogger(__name__)

IS_DIR = InotifyConstants.IN_ISDIR
LEFT = InotifyConstants.IN_DELETE | InotifyConstants.IN_MOVED_FROM
CREATED = InotifyConstants.IN_CREATE
CLOSED = InotifyConstants.IN_CLOSE_WRITE
UNMOUNT = InotifyConstants.IN_UNMOUNT
SELF = InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF | UNMOUNT
# Neither reads nor single writes: a file that grows for an hour costs nothing until it is closed.
MASK = (
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
# One event as the kernel writes it: watch, mask, cookie, length of the name that follows, padded with zeros.
_EVENT = struct.Struct("iIII")
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


class _Ear(Struct, eq=False):
    """One folder of one listener."""

    listener: Listener
    folder: Folder

    def deaf(self) -> None:
        """The kernel has let go of the folder."""
        self.folder.gone = True
        self.folder.unwatch = None


class Kernel:
    """The process's inotify instance. Opened by the first who needs it, closed after the last."""

    _open: ClassVar[dict[asyncio.AbstractEventLoop, Kernel]] = {}

    def __init__(self) -> None:
        """Use `shared`. `limiter` bounds the threads in which its users list folders."""
        self._fd = inotify_init()
        if self._fd == -1:
            raise _refused()
        # Jobs that we start must not keep it open.
        os.set_inheritable(self._fd, False)
        os.set_blocking(self._fd, False)
        self._ears: dict[int, list[_Ear]] = {}
        self._lock = threading.Lock()
        self._users = 0
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
            loop.add_reader(kernel._fd, kernel._read)
        kernel._users += 1
        try:
            yield kernel
        finally:
            kernel._users -= 1
            if not kernel._users:
                del cls._open[loop]
                loop.remove_reader(kernel._fd)
                kernel._close()

    def watch(self, fd: int, folder: Folder, listener: Listener) -> Unwatch:
        """Hear of everything in the folder open as `fd`, from now on; returns what ends it. Any thread may ask.

        OSError, if the kernel gives no more watches.
        """
        ear = _Ear(listener, folder)
        with self._lock:  # The watch is known before its first event is looked at.
            if self._fd == -1:
                raise OSError(errno.EBADF, "inotify is closed")
            # Through the open descriptor: no path is walked again, so no link can come in between.
            wd = inotify_add_watch(self._fd, b"/proc/self/fd/%d/." % fd, MASK)
            if wd == -1:
                raise _refused()
            # The same folder, of two sensors, has one watch.
            self._ears.setdefault(wd, []).append(ear)

        def unwatch() -> None:
            with self._lock:
                ears = self._ears.get(wd, [])
                if ear in ears:
                    ears.remove(ear)
                    if not ears:
                        del self._ears[wd]
                        # It fails where the folder went in this moment, and the watch with it.
                        inotify_rm_watch(self._fd, wd)

        return unwatch

    def _close(self) -> None:
        with self._lock:
            left = [ear for ears in self._ears.values() for ear in ears]
            self._ears.clear()
            os.close(self._fd)  # Its watches go with it.
            self._fd = -1
        for ear in left:
            ear.deaf()

    def _read(self) -> None:
        try:
            heard = os.read(self._fd, _READ)
        except BlockingIOError:
            return
        place = 0
        while place + _EVENT.size <= len(heard):
            wd, mask, _, length = _EVENT.unpack_from(heard, place)
            place += _EVENT.size + length
            self._tell(wd, mask, heard[place - length : place].rstrip(b"\0"))

    def _tell(self, wd: int, mask: int, name: bytes) -> None:
        if mask & InotifyConstants.IN_Q_OVERFLOW:
            log.warning("the kernel's queue ran over, and events were lost; folders are listed")
            with self._lock:
                listeners = {id(ear.listener): ear.listener for ears in self._ears.values() for ear in ears}
            for listener in listeners.values():
                listener.overflowed()
            return
        with self._lock:
            gone = bool(mask & InotifyConstants.IN_IGNORED)
            ears = self._ears.pop(wd, []) if gone else list(self._ears.get(wd, ()))
        # Without the lock: whoever is told may begin and end watches.
        for ear in ears:
            if gone:
                ear.deaf()
            else:
                ear.listener.noticed(ear.folder, mask, name)


def _refused() -> OSError:
    number = ctypes.get_errno()
    limits = {errno.ENOSPC: "inotify watch limit reached", errno.EMFILE: "inotify instance limit reached"}
    return OSError(number, limits.get(number) or os.strerror(number))
