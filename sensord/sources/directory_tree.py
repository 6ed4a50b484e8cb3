"""The folders that are watched, and how one is opened without ever following a link out of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rules.printable import printable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
SEARCH = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LONGER = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}

Unwatch = Callable[[], None]


class RootLostError(Exception):
    """The watched folder cannot be looked at, or is another one than it was. Its text says what to do."""


class FolderGoneError(Exception):
    """A folder below the watched one is gone, or another took its place."""


@dataclass(slots=True, eq=False)
class Folder:
    """One folder. `relative` is its path below the watched one, which itself is the empty path.

    `prefix` is the same as text, ending in a slash if there is any. `stamp` is the folder's (mtime_ns, ctime_ns)
    when it was last listed, or None if it must be listed again.
    """

    relative: bytes
    parent: Folder | None
    device: int
    inode: int
    children: dict[bytes, Folder] = field(default_factory=dict)
    stamp: tuple[int, int] | None = None
    unwatch: Unwatch | None = None
    gone: bool = False
    prefix: str = field(init=False)

    def __post_init__(self) -> None:
        self.prefix = os.fsdecode(self.relative) + "/" if self.relative else ""

    @property
    def name(self) -> bytes:
        """Its own name; that of the watched folder is empty."""
        return self.relative.rpartition(b"/")[2]

    def below(self, name: bytes) -> bytes:
        """The path, below the watched folder, of something in this folder."""
        return self.relative + b"/" + name if self.relative else name

    def same(self, status: os.stat_result) -> bool:
        """Whether this status is this very folder's."""
        return self.inode == status.st_ino and self.device == status.st_dev

    def adopt(self, child: Folder) -> None:
        """Take a folder in; another one of that name is let go, for it cannot be there any more."""
        former = self.children.get(child.name)
        if former is not child and former is not None:
            former.let_go()
        if self.gone or child.gone:
            child.let_go()
        else:
            self.children[child.name] = child

    def let_go(self) -> None:
        """Forget this folder and all below, and stop watching them."""
        for folder in list(self.walk()):
            folder.gone = True
            if folder.unwatch is not None:
                folder.unwatch()
                folder.unwatch = None
        if self.parent is not None and self.parent.children.get(self.name) is self:
            del self.parent.children[self.name]

    def walk(self) -> Iterator[Folder]:
        """This folder and every one below."""
        todo = [self]
        while todo:
            folder = todo.pop()
            yield folder
            todo.extend(folder.children.values())


def open_root(path: bytes, flags: int = DIRECTORY) -> int:
    """The watched folder itself, whose own path may hold links: the operator wrote it."""
    try:
        return os.open(path, flags)
    except OSError as error:
        raise RootLostError(_advice(path, error)) from error


def open_folder(path: bytes, root: Folder, folder: Folder, flags: int = SEARCH) -> int:
    """Open `folder` component by component, following no link below the watched folder at `path`.

    RootLostError, if the watched folder is another one now; FolderGoneError, if this one is; OSError as it comes.
    """
    components = folder.relative.split(b"/") if folder.relative else []
    fd = open_root(path, SEARCH if components else flags)
    same = root.same(os.fstat(fd))
    while same and components:
        component = components.pop(0)
        try:
            inner = os.open(component, (SEARCH if components else flags) | os.O_NOFOLLOW, dir_fd=fd)
        except OSError as error:
            if is_no_longer(error):
                raise FolderGoneError from error
            raise
        finally:
            os.close(fd)
        fd = inner
    if not same:
        os.close(fd)
        raise RootLostError(f"the folder {printable(path)} was replaced by another one")
    if not folder.same(os.fstat(fd)):
        os.close(fd)
        raise FolderGoneError
    return fd


def is_no_longer(error: OSError) -> bool:
    """Whether the error says that the thing is not there, or no folder, or a link."""
    return error.errno in _NO_LONGER


def _advice(path: bytes, error: OSError) -> str:
    shown = printable(path)
    if error.errno == errno.ENOENT:
        return f"the folder {shown} does not exist; create it, mount it, or correct `path`"
    if error.errno == errno.ENOTDIR:
        return f"{shown} is no folder; correct `path`"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"the folder {shown} may not be read by user id {os.geteuid()}; give it read and search permission"
    return f"the folder {shown} cannot be opened: {error.strerror}; check its disk or mount"
