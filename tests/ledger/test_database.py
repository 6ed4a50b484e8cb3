from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.engine import make_url

from notifiers.columns import metadata
from sensord.ledger import schema
from sensord.ledger.database import LedgerDatabase, open_database
from sensord.ledger.engine import DatabaseInUse
from sensord.ledger.schema import SchemaError
from sensord.ledger.tables import sensors
from tests.conftest import rows


def add_sensors(conn: Connection, names: Sequence[str]) -> Sequence[str]:
    conn.execute(sensors.insert(), [{"name": name, "state": "active", "since": 0} for name in names])
    return [name.upper() for name in names]


def drop_version(conn: Connection, items: Sequence[str]) -> Sequence[None]:
    conn.execute(text("DROP TABLE alembic_version"))
    return [None] * len(items)


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


def difference(database: LedgerDatabase) -> list[Any]:
    with database.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": False})
        found: list[Any] = compare_metadata(context, metadata)
        return found


def where(index: Any) -> str:
    """What a partial index holds, and whether it is unique."""
    return f"{index['unique']} " + " ".join(str(value) for value in index.get("dialect_options", {}).values())


def described(database: LedgerDatabase) -> dict[str, Any]:
    """Every table with its columns, indexes and keys, as the database itself tells them."""
    found = inspect(database.engine)
    return {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)],
            sorted((index["name"] or "", *index["column_names"], where(index)) for index in found.get_indexes(name)),
            found.get_pk_constraint(name)["constrained_columns"],
        )
        for name in sorted(found.get_table_names())
    }


def build_first_schema(url: str) -> None:
    """The database as the first release made it, with a run in it."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg" if "postgres" in url else "sqlite"))
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0001_first")
        conn.execute(text("INSERT INTO sensors (name, state, since) VALUES ('kept', 'active', 0)"))
    engine.dispose()


async def test_a_new_database_has_the_models_schema(database: LedgerDatabase) -> None:
    assert difference(database) == []


async def test_an_older_database_is_brought_up_to_what_a_new_one_is(
    database: LedgerDatabase, second_database_url: str
) -> None:
    build_first_schema(second_database_url)
    async with open_database(second_database_url) as migrated:
        assert difference(migrated) == []
        assert described(migrated) == described(database)
        assert [row["name"] for row in rows(migrated, "SELECT name FROM sensors")] == ["kept"]
    async with open_database(second_database_url) as again:
        assert described(again) == described(database)


async def test_a_database_with_tables_of_those_names_is_refused(database_url: str) -> None:
    async with open_database(database_url) as database:
        await database.write(drop_version, "")
    with pytest.raises(SchemaError, match=r"runs.*did not make: give it a database of its own"):
        async with open_database(database_url):
            pass


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


@pytest.mark.anyio
async def test_a_commit_under_load_waits_for_what_the_loop_has_and_no_longer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensord.ledger.database._GATHER_SECONDS", 60.0)
    busy, go_on = threading.Event(), threading.Event()

    def hold(_conn: Connection, items: Sequence[int]) -> list[int]:
        busy.set()
        assert go_on.wait(30)
        return list(items)

    def take(_conn: Connection, items: Sequence[int]) -> list[int]:
        return [len(items)] * len(items)

    async with open_database(database_url) as database, anyio.create_task_group() as group:
        group.start_soon(database.write, hold, 0)
        await anyio.to_thread.run_sync(busy.wait, 30)
        before = database.commits
        together = [database.submit(take, [number]) for number in range(20)]
        go_on.set()
        with anyio.fail_after(20):  # Far less than it might wait for more.
            assert [(await one)[0] for one in together] == [20] * 20
        assert database.commits == before + 2
