"""The listing of folders, in small steps, so that a million files hold nobody up.

A walk runs in a worker thread, one step of a few milliseconds at a time; between two steps the event loop has the
interpreter to itself and applies what the step found. It reads the tree and changes only stamps.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct, field

from rules.printable import printable
from sensord.sources.directory_memory import Memory
from sensord.sources.directory_names import Names, marks_below
from sensord.sources.directory_tree import (
    DIRECTORY,
    Folder,
    FolderGoneError,
    RootLostError,
    Unwatch,
    is_no_longer,
    open_folder,
)

BUDGET = 0.003
_LOOK_UP = 32
_ENDED = object()
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
# A folder that changed this shortly before it was listed may change again within one tick of its clock.
_RACY = 2_000_000_000


class Watch(Protocol):
    """How a newly found folder, open as `fd`, comes to be watched. OSError, if the kernel has no watch left."""

    def __call__(self, fd: int, folder: Folder) -> Unwatch:
        """Watch it; what is returned ends that."""
        ...


class Step(Struct):
    """What one step of a walk saw, in order."""

    found: list[tuple[Folder, bytes]] = field(default_factory=list)
    entered: list[Folder] = field(default_factory=list)
    vanished: list[Folder] = field(default_factory=list)
    unreadable: dict[tuple[Folder, bytes], str] = field(default_factory=dict)
    deaf: str = ""
    ended: bool = False


class Walk(Struct):
    """All the listing of one watched folder.

    `urgent` is filled by others at any time and served first: a folder to list again, or a name that may be a new
    folder. A pass is one visit to every folder; a `full` one lists them all, another one only those that changed.
    Files are found if they are taken and `memory` does not know this version of them.
    """

    path: bytes
    root: Folder
    names: Names
    memory: Memory
    wall_ns: Callable[[], int]
    watch: Watch | None = None
    inodes: bool = True
    urgent: deque[tuple[Folder, bytes | None]] = field(default_factory=deque)
    full: bool = False
    passing: bool = False
    intact: bool = True
    _bulk: deque[Folder] = field(default_factory=deque)
    _bulk_visit: Iterator[None] | None = None
    _urgent_visit: Iterator[None] | None = None
    _step: Step = field(default_factory=Step)

    def begin(self, *, full: bool) -> None:
        """Start a pass; one that was under way is given up."""
        self._bulk_visit = None
        self._bulk.clear()
        self._bulk.append(self.root)
        self.full, self.passing, self.intact = full, True, True

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return self.passing or self.urgent_busy

    @property
    def urgent_busy(self) -> bool:
        """Whether something urgent is left to do."""
        return bool(self.urgent) or self._urgent_visit is not None

    def watch_root(self) -> str:
        """Watch the folder itself. Returns why the kernel would not, or nothing."""
        fd = open_folder(self.path, self.root, self.root, DIRECTORY)
        try:
            if self.watch is not None:
                self.root.unwatch = self.watch(fd, self.root)
        except OSError as error:
            return error.strerror or str(error)
        finally:
            os.close(fd)
        return ""

    def step(self) -> Step:
        """Go on for a few milliseconds. RootLostError, if the watched folder is not what it was."""
        self._step = step = Step()
        deadline = time.perf_counter() + BUDGET
        while self.busy and time.perf_counter() < deadline:
            visit = self._urgent()
            if visit is None and self._bulk_visit is None and self._unchanged(deadline):
                continue
            visit = visit or self._next_of_pass()
            if visit is None:
                self.passing, step.ended = False, True
            elif next(visit, _ENDED) is _ENDED:
                self._visited(visit)
        return step

    def _unchanged(self, deadline: float) -> bool:
        """Pass over folders that are as they were. False: there are no more, or the next one is to be listed.

        An idle pass is nothing but this, for every folder there is.
        """
        bulk = self._bulk
        while bulk:
            folder = bulk[0]
            if not folder.gone:
                if self.full or folder.stamp is None or self._stamp_now(folder) != folder.stamp:
                    return False
                bulk.extend(folder.children.values())
            elif folder is self.root:
                return False
            bulk.popleft()
            if self.urgent or time.perf_counter() >= deadline:
                return True
        return False

    def close(self) -> None:
        """Close what a visit under way holds open."""
        self._urgent_visit = self._bulk_visit = None

    def _visited(self, visit: Iterator[None]) -> None:
        if visit is self._urgent_visit:
            self._urgent_visit = None
        else:
            self._bulk_visit = None

    def _urgent(self) -> Iterator[None] | None:
        if self._urgent_visit is None and self.urgent:
            folder, name = self.urgent.popleft()
            self._urgent_visit = self._list(folder) if name is None else self._find(folder, name)
        return self._urgent_visit

    def _next_of_pass(self) -> Iterator[None] | None:
        if self._bulk_visit is None and self._bulk:
            self._bulk_visit = self._list(self._bulk.popleft(), self._bulk)
        return self._bulk_visit

    def _stamp_now(self, folder: Folder) -> tuple[int, int] | None:
        path = self.path + b"/" + folder.relative if folder.relative else self.path
        try:
            # The watched folder's own path may hold links; below it nothing is followed.
            status = os.stat(path) if folder is self.root else os.lstat(path)  # noqa: PTH116 (bytes, quick)
        except OSError:
            return None
        same = status.st_ino == folder.inode and status.st_dev == folder.device
        return (status.st_mtime_ns, status.st_ctime_ns) if same else None

    def _find(self, parent: Folder, name: bytes) -> Iterator[None]:
        """A name in `parent` that may be a new folder."""
        try:
            fd = open_folder(self.path, self.root, parent)
        except FolderGoneError:
            self._step.vanished.append(parent)
            return
        except OSError as error:
            self._cannot(parent, name, error)
            return
        try:
            child = self._enter(fd, parent, name)
        finally:
            os.close(fd)
        if child is not None:
            yield from self._list(child)

    def _list(self, folder: Folder, todo: deque[Folder] | None = None) -> Iterator[None]:
        """List one folder; sub-folders go to `todo`, by default to the urgent ones."""
        try:
            fd = open_folder(self.path, self.root, folder, DIRECTORY)
        except FolderGoneError:
            self._step.vanished.append(folder)
            return
        except OSError as error:
            self._unlistable(folder, error)
            return
        try:
            yield from self._entries(fd, folder, todo)
        except OSError as error:
            self._unlistable(folder, error)
        finally:
            os.close(fd)

    def _unlistable(self, folder: Folder, error: OSError) -> None:
        if folder.parent is None:
            shown = printable(self.path)
            raise RootLostError(
                f"the folder {shown} cannot be listed: {error.strerror}; give it read and search permission"
            ) from error
        self._cannot(folder.parent, folder.name, error)

    def _entries(self, fd: int, folder: Folder, todo: deque[Folder] | None) -> Iterator[None]:
        status, began = os.fstat(fd), self.wall_ns()
        former = dict(folder.children)
        prefix = folder.prefix
        takes, is_new = self.names.takes, self._is_new(folder)
        with os.scandir(fd) as entries:
            for count, entry in enumerate(entries):
                if count % _LOOK_UP == _LOOK_UP - 1:
                    yield
                if entry.is_file(follow_symlinks=False):
                    if takes(prefix, entry.name) and is_new(entry):
                        self._step.found.append((folder, os.fsencode(entry.name)))
                elif entry.is_dir(follow_symlinks=False) and self.names.enters(prefix, entry.name):
                    name = os.fsencode(entry.name)
                    former.pop(name, None)
                    child = folder.children.get(name)
                    if child is None or child.gone or child.inode != entry.inode():
                        child = self._enter(fd, folder, name)
                    if child is not None and todo is not None:
                        todo.append(child)
                    elif child is not None:
                        self.urgent.append((child, None))
        self._step.vanished += [child for name, child in former.items() if folder.children.get(name) is child]
        racy = began - max(status.st_mtime_ns, status.st_ctime_ns) < _RACY
        folder.stamp = None if racy else (status.st_mtime_ns, status.st_ctime_ns)

    def _is_new(self, folder: Folder) -> Callable[[os.DirEntry[str]], bool]:
        """Whether a file of this folder is there in a version that is not known. A million times at a start."""
        mark = marks_below(folder.below(b""), inodes=self.inodes)
        has = self.memory.has

        def is_new(entry: os.DirEntry[str]) -> bool:
            try:
                return not has(mark(entry.name.encode(_ENCODING, _ERRORS), entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                return False

        return is_new

    def _enter(self, fd: int, parent: Folder, name: bytes) -> Folder | None:
        """Open a sub-folder of the folder open as `fd`, watch it if it is new, and return it to be listed."""
        try:
            inner = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        except OSError as error:
            if not is_no_longer(error):
                self._cannot(parent, name, error)
            return None
        try:
            status = os.fstat(inner)
            former = parent.children.get(name)
            if former is not None and not former.gone and former.same(status):
                return former
            folder = Folder(parent.below(name), parent, status.st_dev, status.st_ino)
            if self.watch is not None:
                # Watched before it is listed: whatever comes in between is heard of, or listed, or both.
                try:
                    folder.unwatch = self.watch(inner, folder)
                except OSError as error:
                    self._step.deaf = error.strerror or str(error)
        finally:
            os.close(inner)
        self._step.entered.append(folder)
        return folder

    def _cannot(self, parent: Folder, name: bytes, error: OSError) -> None:
        self.intact = False
        self._step.unreadable[parent, name] = error.strerror or str(error)
