"""Mounts: where the kernel cannot tell of every change, because others change the files too."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
# File systems whose files may change on another machine or in another kernel: inotify sees only what is done here.
_POINT = 4
_SHARED = re.compile(
    r"9p|acfs|afs|autofs|beegfs|ceph|cifs|coda|davfs|drvfs|fuse(blk)?|fuse\..*|gfs2?|gpfs|hostfs|lustre|mmfs|ncpfs|nfs4?"
    r"|ocfs2|orangefs|panfs|prl_fs(_sf)?|pvfs2|smb[23]|smbfs|vboxsf|virtiofs|vmhgfs"
)


def shared_mount(path: str, mountinfo: str, *, below: bool) -> str | None:
    """The type of the shared file system that `path` lies on, or (`below`) that is mounted under it; else None.

    `path` is absolute and free of links; `mountinfo` is the text of /proc/self/mountinfo (proc(5)).
    """
    # Of two mounts on one point the later hides the earlier.
    kinds: dict[str, str] = {}
    for line in mountinfo.splitlines():
        fields, dash, rest = line.partition(" - ")
        columns = fields.split(" ")
        if dash and len(columns) > _POINT:
            kinds[_unescape(columns[_POINT]).rstrip("/") + "/"] = rest.split(" ", 1)[0]
    path = path.rstrip("/") + "/"
    on = kinds.get(max((point for point in kinds if path.startswith(point)), key=len, default=""), "")
    if _shared(on):
        return on
    under = (kind for point, kind in kinds.items() if point.startswith(path) and _shared(kind))
    return next(under, None) if below else None


def shared_here(path: bytes, *, below: bool) -> str | None:
    """`shared_mount` for this process, now. A system that does not say is taken to be local."""
    try:
        text = MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return shared_mount(os.fsdecode(os.path.realpath(path)), text, below=below)


def _shared(kind: str) -> bool:
    return _SHARED.fullmatch(kind) is not None


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)
