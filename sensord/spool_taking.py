"""What programs of the daemon's own user could not send: taken from their spool at its start, and now and then.

It is done as the next program would: a file whose process is gone is held by its lock while it is sent, whole and in
its order, over HTTP to ourselves, where what is there already is dropped by source and id. So it matters to nobody
who sends it, and a crash half-way sends the file again. Only what waits for this daemon's own address is taken, and
only from folders and files that belong to our own user, which nobody else may write.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

from anyio import to_thread

from notifiers.clock import Clock
from sensord.spool import left_behind, spool_folders, tag_of
from sensord.submit import Connection

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two looks."""
_OF_THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")


async def keep_taking(url: str, token: str | None, clock: Clock) -> None:
    """Look at once and then every minute, until cancelled. `url` is our own, and `token` what it asks for."""
    while True:
        try:
            # A thread that is left alone sends on for a moment, to nobody, and ends with the process.
            taken = await to_thread.run_sync(take, url, token, abandon_on_cancel=True)
        except (OSError, ValueError) as error:
            log.warning("spool.not_taken", extra={"reason": str(error)})
        else:
            if taken:
                log.info("spool.taken", extra={"files": taken})
        await clock.sleep(EVERY)


def take(url: str, token: str | None) -> int:
    """Send what waits for this address in the spool of our user; how many files it was. Blocks."""
    taken = 0
    for folder in filter(_is_ours_alone, spool_folders()):
        for path, descriptor in left_behind(folder, *{tag_of(one) for one in addresses(url)}):
            if os.fstat(descriptor).st_uid == os.geteuid():
                with Connection(url, token) as connection:
                    connection.send_file(path, descriptor)
                taken += 1
    return taken


def addresses(url: str) -> set[str]:
    """How programs of this machine may name a daemon that listens there."""
    found = {url}
    parts = urlsplit(url)
    if parts.hostname in ("127.0.0.1", "::1"):
        found.update(f"http://{name}:{parts.port}" for name in _OF_THIS_MACHINE)
    return found


def _is_ours_alone(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
