"""How a database is opened, and how it has one owner at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from sensord.ledger.checkpoints import LATEST_PAGES

# The advisory lock's number is any constant that nothing else of ours uses.
_PG_LOCK = 0x5E4504D
_LOCK_SECONDS, _LOCK_PAUSE = 2.0, 0.05


class DatabaseInUse(Exception):
    """Another sensord owns this database: talk to it over HTTP instead."""


class DatabaseUnusable(Exception):
    """The database cannot be reached or opened; the text says why, and what to do."""


def advice(url: URL, error: DBAPIError) -> str:
    """The driver's reason in a line, and what may help. No driver's text holds the password."""
    reason = " ".join(str(error.orig).split())
    if url.get_backend_name() == "sqlite":
        hint = "name another file, or restore a copy" if "not a database" in reason else "check its folder's owner"
        return f"the database {url.database} cannot be used: {reason}; {hint}"
    place = f"{url.host or 'this machine'}:{url.port or 5432}/{url.database or ''}"
    return f"the database at {place} cannot be used: {reason}; check that the server runs, and the URL's user and name"


def open_engine(url: URL) -> Engine:
    """SQLAlchemy's engine for that database: SQLite in WAL mode, each commit synced; or PostgreSQL by psycopg."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)


def _begin_sqlite(conn: Connection) -> None:
    if conn.get_execution_options().get("writes"):
        conn.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # We say BEGIN ourselves: the driver's own begins too late for DDL and reads.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.execute("PRAGMA cache_size=-16000")
    cursor.execute(f"PRAGMA wal_autocheckpoint={LATEST_PAGES}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


@contextmanager
def _owned_file(path: str) -> Iterator[None]:
    """Hold the lock beside a SQLite file: SQLite's WAL-reset bug (fixed in 3.51.3) needs a second writer."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseInUse(f"{path} is in use by another sensord; commands reach it over HTTP") from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _owned_server(engine: Engine) -> Iterator[None]:
    """Hold an advisory lock on a PostgreSQL database for as long as this connection lives.

    The server takes a moment to notice that an owner before us is gone, so a held lock is asked for again.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    with engine.connect() as conn:
        while not conn.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _PG_LOCK}):
            if time.monotonic() > deadline:
                raise DatabaseInUse("the database is in use by another sensord; commands reach it over HTTP")
            time.sleep(_LOCK_PAUSE)
        conn.rollback()
        try:
            yield
        finally:
            conn.scalar(text("SELECT pg_advisory_unlock(:key)"), {"key": _PG_LOCK})
            conn.rollback()


def owned(engine: Engine) -> AbstractContextManager[None]:
    """Own the database until the block ends. DatabaseInUse where another process does."""
    return _owned_file(str(engine.url.database)) if engine.dialect.name == "sqlite" else _owned_server(engine)
