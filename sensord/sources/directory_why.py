"""Why a file was not taken, in a sentence for the person who misses it."""

from __future__ import annotations

import os
import stat

from notifiers.clock import Clock
from rules.printable import printable, unprintable
from sensord.sources.directory import DirectoryConfig
from sensord.sources.directory_files import Files
from sensord.sources.directory_names import Names
from sensord.sources.directory_pending import Waiting
from sensord.sources.directory_ready import Finding, kind_of
from sensord.sources.directory_root import open_watched
from sensord.sources.directory_tree import Folder, FolderGoneError, RootLostError, open_folder


def why(subject: str, files: Files, config: DirectoryConfig, clock: Clock) -> str | None:
    """See `sensord.sources.Source.why`."""
    folder = files.path.rstrip(b"/") + b"/"
    path = os.path.normpath(os.path.join(folder, _path(subject, folder)))  # noqa: PTH118 (bytes)
    if path + b"/" == folder:
        return "it is the watched folder itself"
    real = os.path.realpath(files.path).rstrip(b"/") + b"/"
    if not path.startswith(folder) and path.startswith(real):
        path = folder + path[len(real) :]
    if not path.startswith(folder):
        return f"it is outside the folder {printable(files.path)}"
    relative = path[len(folder) :]
    return _names_say(relative, files.names) or _system_says(path, relative, files, config, clock)


def _path(subject: str, folder: bytes) -> bytes:
    typed = os.fsencode(subject)
    try:
        path = unprintable(subject)
    except ValueError:
        return typed
    # A person may type a backslash that is part of the name.
    meant, shown = (os.path.lexists(os.path.join(folder, one)) for one in (typed, path))  # noqa: PTH118 (bytes)
    return typed if meant and not shown else path


def _names_say(relative: bytes, names: Names) -> str | None:
    *folders, name = os.fsdecode(relative).split("/")
    prefix = ""
    for folder in folders:
        if not names.recursive:
            return "it is in a sub-folder, and `recursive` is off"
        if glob := names.ignore.which(prefix, folder):
            return f"its folder {printable(os.fsencode(folder))} is ignored by {glob!r}"
        prefix += f"{folder}/"
    if glob := names.ignore.which(prefix, name):
        return f"its name is ignored by {glob!r}"
    if not names.pattern.match(prefix, name):
        return f"its name does not match {' or '.join(map(repr, names.pattern.globs))}"
    if names.done is not None and names.done.is_one(name):
        return f"it is a done file ({names.done.template!r}), which only says that another file is whole"
    return None


def _system_says(path: bytes, relative: bytes, files: Files, config: DirectoryConfig, clock: Clock) -> str | None:
    try:
        root = files.root or open_watched(files.path, None, below=False)
        at = root.folder
        for component in relative.split(b"/")[:-1]:
            status = os.lstat(files.path + b"/" + at.below(component))
            if stat.S_ISLNK(status.st_mode):
                return f"its folder {printable(component)} is {kind_of(status.st_mode)}"
            at = Folder(at.below(component), at, status.st_dev, status.st_ino)
        os.close(open_folder(files.path, root.folder, at))
        status = os.lstat(path)
        [finding] = files.look(root, [(at, path.rpartition(b"/")[2])])
    except RootLostError as lost:
        return str(lost)
    except (OSError, FolderGoneError) as error:
        gone = isinstance(error, FolderGoneError | FileNotFoundError | NotADirectoryError)
        return "it does not exist" if gone else f"it cannot be looked at: {error}"
    if not stat.S_ISREG(status.st_mode):
        return f"it is {kind_of(status.st_mode)}"
    return _not_whole(finding, files) or _settling(files.pending.get(relative), config, clock)


def _not_whole(finding: Finding, files: Files) -> str | None:
    if finding.done is False and files.names.done is not None:
        done = files.names.done.of(os.fsdecode(finding.name))
        return f"it waits for its done file {printable(os.fsencode(done))}"
    return "it is still open for writing" if finding.hold == "held" else None


def _settling(waiting: Waiting | None, config: DirectoryConfig, clock: Clock) -> str | None:
    if waiting is None:
        return None
    left = max(waiting.since + config.settle - clock.monotonic(), 0.0)
    return f"it has changed lately and is taken if it stays as it is for {left:.1f} s more"
