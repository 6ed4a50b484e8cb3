from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from sensord.ledger.database import DatabaseInUse, LedgerDatabase, open_database
from sensord.ledger.schema import SchemaError
from sensord.ledger.tables import sensors
from tests.conftest import rows


def add_sensors(conn: Connection, names: Sequence[str]) -> Sequence[str]:
    conn.execute(sensors.insert(), [{"name": name, "state": "active", "since": 0} for name in names])
    return [name.upper() for name in names]


async def test_writers_that_come_together_share_a_transaction(database: LedgerDatabase) -> None:
    results: dict[int, str] = {}

    async def one(number: int) -> None:
        results[number] = await database.write(add_sensors, f"s{number}")

    before = database.commits
    async with anyio.create_task_group() as group:
        for number in range(500):
            group.start_soon(one, number)
    assert results == {number: f"S{number}" for number in range(500)}
    assert database.commits - before < 50
    assert len(rows(database, "SELECT * FROM sensors")) == 500


async def test_one_item_that_fails_fails_alone(database: LedgerDatabase) -> None:
    await database.write(add_sensors, "taken")
    outcomes: dict[str, str] = {}

    async def one(name: str) -> None:
        try:
            outcomes[name] = await database.write(add_sensors, name)
        except Exception as error:  # noqa: BLE001 - whatever the driver calls it
            outcomes[name] = type(error).__name__

    async with anyio.create_task_group() as group:
        for name in ("a", "taken", "b"):
            group.start_soon(one, name)
    assert outcomes == {"a": "A", "taken": "IntegrityError", "b": "B"}
    assert {row["name"] for row in rows(database, "SELECT name FROM sensors")} == {"a", "b", "taken"}


async def test_items_of_one_call_stand_or_fall_together(database: LedgerDatabase) -> None:
    await database.write(add_sensors, "taken")
    with pytest.raises(Exception, match=r"(?i)unique"):
        await database.write_many(add_sensors, ["a", "taken"])
    assert [row["name"] for row in rows(database, "SELECT name FROM sensors")] == ["taken"]


async def test_a_read_sees_what_was_written(database: LedgerDatabase) -> None:
    await database.write(add_sensors, "a")
    assert await database.read(lambda conn: conn.scalar(text("SELECT count(*) FROM sensors"))) == 1


async def test_a_second_owner_is_refused(database_url: str) -> None:
    async with open_database(database_url):
        with pytest.raises(DatabaseInUse, match="another sensord"):
            async with open_database(database_url):
                pass
    async with open_database(database_url):
        pass


async def test_what_was_handed_over_is_committed_on_the_way_out(database_url: str) -> None:
    async with open_database(database_url) as database:
        database.submit(add_sensors, ["late"])
    async with open_database(database_url) as database:
        assert [row["name"] for row in rows(database, "SELECT name FROM sensors")] == ["late"]


async def test_the_migrated_schema_is_the_models_schema(database: LedgerDatabase) -> None:
    with database.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": False})
        assert compare_metadata(context, SQLModel.metadata) == []


async def test_a_newer_database_is_refused_with_what_to_do(database_url: str) -> None:
    def age(conn: Connection, revisions: Sequence[str]) -> Sequence[None]:
        conn.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": revisions[0]})
        return [None]

    async with open_database(database_url) as database:
        await database.write(age, "9999_future")
    with pytest.raises(SchemaError, match=r"newer sensord.*9999_future.*upgrade sensord"):
        async with open_database(database_url):
            pass


async def test_sqlite_commits_are_synced_to_the_disk(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        with database.engine.connect() as conn:
            assert conn.scalar(text("PRAGMA synchronous")) == 2
            assert conn.scalar(text("PRAGMA journal_mode")) == "wal"
