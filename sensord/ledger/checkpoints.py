"""SQLite's write-ahead log is copied into the database after those who wait for a commit were told, not before."""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from sqlalchemy import Connection

log = logging.getLogger(__name__)

# SQLite's own measure for when a checkpoint is due (sqlite.org/c3ref/wal_autocheckpoint.html).
_DUE_PAGES: Final = 1000
# What a commit writes, in pages, is nowhere to be asked for: a few rows touch a page of each index of their tables, of
# many rows some eight share a page. Measured over runs that came one by one, and a thousand at once.
_PAGES_A_COMMIT, _ROWS_A_PAGE = 20, 8

LATEST_PAGES: Final = 4 * _DUE_PAGES
"""From here on SQLite does it by itself within the commit, should the estimate be far out."""


class Checkpoints:
    """For one writing thread: a checkpoint costs two syncs of the disk, and whoever waits has no part in it.

    It is made on the connection that writes: beside it, on one of its own, it would meet the defect of SQLite before
    3.51.3 that a checkpoint and a write at the same moment may damage the database (sqlite.org/wal.html#walresetbug).
    """

    def __init__(self) -> None:
        self._pages = 0
        self._changes = 0

    def committed(self, conn: Connection) -> None:
        """A commit is durable and told of: make the checkpoint if it is time. Nothing is lost where it fails."""
        if conn.dialect.name != "sqlite":
            return
        driver: sqlite3.Connection = conn.connection.driver_connection  # type: ignore[assignment]
        changes = driver.total_changes
        self._pages += _PAGES_A_COMMIT + max(0, changes - self._changes) // _ROWS_A_PAGE
        self._changes = changes
        if self._pages < _DUE_PAGES:
            return
        self._pages = 0
        try:
            # Directly, as SQLAlchemy would begin a transaction first, within which there can be none.
            driver.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
        except sqlite3.DatabaseError as error:
            # A full disk, say: the log keeps what was committed, and the next one copies it as well.
            log.warning("database.checkpoint", extra={"reason": str(error)})
