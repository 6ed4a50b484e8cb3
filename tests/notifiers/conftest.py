from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from sensord.ledger.database import LedgerDatabase
from tests.conftest import new_postgres_database
from tests.notifiers.service import HeldTime, Patient, Watched


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_url: str) -> str:
    return new_postgres_database(postgres_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: as everywhere, but on PostgreSQL one is emptied for each test.

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


@pytest.fixture
def database(database: LedgerDatabase) -> Watched:
    return Watched(database)


@pytest.fixture
def time() -> HeldTime:
    return HeldTime()


@pytest.fixture
def wait(database: Watched, time: HeldTime) -> Patient:
    return Patient(database, time)
