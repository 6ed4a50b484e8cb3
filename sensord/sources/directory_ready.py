"""Is a file whole? The kernel's word where it gives one, else that nothing changed for a while.

The kernel grants a read lease (fcntl(2), F_SETLEASE) on a file only while nobody has it open for writing, under any of
its names. Asking for one and giving it back at once is therefore an exact answer at that instant. It needs a local
file system and either the file's owner or CAP_LEASE; elsewhere only stability is left, and that is a heuristic: a
writer that pauses longer than `settle` looks finished.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Literal

from msgspec import Struct

from sensord.sources.directory_tree import Folder, FolderGoneError, open_folder

Hold = Literal["free", "held", "unknown"]
Verdict = Literal["whole", "held", "settling"]
# Clocks of other machines are not believed to the minute.
FOREIGN_AGE = 3600.0
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Version(Struct, frozen=True):
    """What tells one state of a file from another."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Version:
        """The version that has this status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class Finding(Struct, frozen=True):
    """What one look at one name showed.

    No `version`: there is no regular file of that name, or it is known, or (`trouble`) the system would not say.
    `done` is whether its done file stands beside it, where it needs one.
    """

    folder: Folder
    name: bytes
    version: Version | None = None
    hold: Hold = "unknown"
    done: bool | None = None
    trouble: str = ""


def look_at(
    path: bytes,
    root: Folder,
    names: Iterable[tuple[Folder, bytes]],
    done_file: Callable[[bytes], bytes | None],
    known: Callable[[bytes, os.stat_result], bool],
) -> list[Finding]:
    """Look at these names, each relative to its folder, following no link.

    `done_file` gives the name that must stand beside it, or None; of versions that `known` affirms no more than
    their being there is found out. RootLostError, if the watched folder itself is another one.
    """
    findings: list[Finding] = []
    for folder, group in groupby(names, key=itemgetter(0)):
        try:
            fd = open_folder(path, root, folder)
        except FolderGoneError:
            findings += [Finding(folder, name) for _, name in group]
            continue
        except OSError as error:
            findings += [Finding(folder, name, trouble=error.strerror or str(error)) for _, name in group]
            continue
        try:
            findings += [_look(fd, folder, name, done_file(name), known) for _, name in group]
        finally:
            os.close(fd)
    return findings


def _look(
    fd: int, folder: Folder, name: bytes, done: bytes | None, known: Callable[[bytes, os.stat_result], bool]
) -> Finding:
    try:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or known(folder.below(name), status):
            return Finding(folder, name)
        beside = None if done is None else _exists(fd, done)
        if beside is False:
            return Finding(folder, name, Version.of(status), done=False)
        hold, status = _hold(fd, name, status)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
            return Finding(folder, name)
        return Finding(folder, name, trouble=error.strerror or str(error))
    return Finding(folder, name, Version.of(status), hold, beside)


def _exists(fd: int, name: bytes) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _hold(folder_fd: int, name: bytes, status: os.stat_result) -> tuple[Hold, os.stat_result]:
    """Whether somebody has the file open for writing, and its status taken while nobody could."""
    try:
        fd = os.open(name, _OPEN, dir_fd=folder_fd)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise
        # EWOULDBLOCK: another process holds a lease of its own on it, as file servers do for writers.
        return "held" if error.errno == errno.EWOULDBLOCK else "unknown", status
    try:
        hold, opened = _lease(fd)
    finally:
        os.close(fd)
    if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino):
        return "held", status  # Replaced between the two looks: another event tells, or the next look does.
    return hold, opened


def _lease(fd: int) -> tuple[Hold, os.stat_result]:
    try:
        # A writer that opens the file in this very instant makes the kernel signal us. SIGIO, the default, would
        # kill the process; SIGURG is ignored unless somebody asks for it.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return ("held" if error.errno == errno.EAGAIN else "unknown"), os.fstat(fd)
    try:
        # Under the lease: no writer can have got in between "nobody writes" and "this is its size".
        return "free", os.fstat(fd)
    finally:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def can_lease(fd: int) -> bool:
    """Whether the file system of a file that is open for writing here knows leases: it refuses one for that reason."""
    return _lease(fd)[0] == "held"


def verdict(finding: Finding, *, unchanged: float, age: float, settle: float, wait: bool, shared: bool) -> Verdict:
    """Whole or not, for a file that is there.

    `unchanged` is how many seconds this version was seen to stay as it is, `age` how old it claims to be, `wait`
    whether a closed file must settle all the same, `shared` whether its clock is another machine's.
    """
    if finding.hold == "held":
        return "held"
    if finding.done:
        return "whole"
    size = finding.version.size if finding.version else 0
    # An empty file is often one that its writer made first and opens again to fill.
    if finding.hold == "free" and size > 0 and not wait:
        return "whole"
    stable = unchanged >= settle or age >= (max(settle, FOREIGN_AGE) if shared else settle)
    return "whole" if stable else "settling"


def kind_of(mode: int) -> str:
    """What a thing that is no regular file is, for a sentence."""
    kinds: Sequence[tuple[Callable[[int], bool], str]] = (
        (stat.S_ISLNK, "a symbolic link, and links are not followed"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe (FIFO)"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((text for test, text in kinds if test(mode)), "a device")
