"""The watched folder itself: whether it is there, readable, and still the one it was."""

from __future__ import annotations

import os

from msgspec import Struct

from rules.printable import printable
from sensord.sources.directory_mounts import shared_here
from sensord.sources.directory_tree import Folder, RootLostError, open_root


class Root(Struct, frozen=True):
    """The watched folder as it was opened.

    `identity` names it over restarts. `shared` is the type of a file system that others change too, else None.
    """

    folder: Folder
    identity: str
    shared: str | None

    @property
    def inodes(self) -> bool:
        """Whether inode numbers last: on shared file systems a new mount may give others to the same files."""
        return self.shared is None


def open_watched(path: bytes, former: int | None, *, below: bool) -> Root:
    """Look at the watched folder; `former` is the device it was on, if this process saw it before.

    RootLostError says what is wrong and what to do.
    """
    fd = open_root(path)
    try:
        status, system = os.fstat(fd), os.fstatvfs(fd)
        with os.scandir(fd) as entries:
            empty = former is not None and former != status.st_dev and next(entries, None) is None
    except OSError as error:
        raise RootLostError(f"the folder {printable(path)} cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)
    if empty:
        raise RootLostError(
            f"the folder {printable(path)} looks unmounted: it is empty and on another file system than before; "
            "mount it again (if this is meant to be so, its first file ends the trouble)"
        )
    identity = f"{system.f_fsid or status.st_dev:x}:{status.st_ino:x}"
    return Root(Folder(b"", None, status.st_dev, status.st_ino), identity, shared_here(path, below=below))
