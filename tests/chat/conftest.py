"""Whole daemons are started here by the hundred: on databases that have their tables already."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.conftest import made_database, make_tables, new_postgres_database


@pytest.fixture(scope="session")
def made_postgres_url(postgres_url: str) -> str:
    """A database with all its tables, whose rows go before each test."""
    url = new_postgres_database(postgres_url)
    make_tables(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with tables and no rows: the same test runs on SQLite and on PostgreSQL.

    To make the tables takes PostgreSQL a quarter of a second, and to delete what a test left a hundredth of that. A
    test that left a transaction open is told of here, by the next one, and not waited for.
    """
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        path.write_bytes(made_database())
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("made_postgres_url")
    with psycopg.connect(url, options="-c lock_timeout=10s") as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in found:
            if table != "alembic_version":
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    return url
