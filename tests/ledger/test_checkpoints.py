"""When SQLite's log is copied into the database: behind a commit's back, often enough, and again where it failed."""

from __future__ import annotations

import logging
import resource
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Connection

from sensord.ledger.checkpoints import LATEST_PAGES, Checkpoints
from sensord.ledger.database import open_database
from sensord.ledger.tables import sensors
from tests.conftest import rows

_PAGE = 4096


def add(conn: Connection, names: Sequence[tuple[str, int]]) -> Sequence[None]:
    """A row of so many bytes for each."""
    made = [{"name": name, "state": "active", "since": 0, "reason": "x" * size} for name, size in names]
    conn.execute(sensors.insert(), made)
    return [None] * len(made)


def log_of(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process grows beyond that: what a full disk does, without filling one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("commits", "many"), [(600, 1), (25, 500)], ids=["one by one", "many at once"])
async def test_the_log_stays_as_small_as_sqlite_keeps_it_by_itself(tmp_path: Path, commits: int, many: int) -> None:
    path = tmp_path / "a.db"
    async with open_database(f"sqlite:///{path}") as database:
        for number in range(commits):
            await database.write_many(add, [(f"{number}-{one}", 500) for one in range(many)])
        assert log_of(path) < 1500 * _PAGE
        assert path.stat().st_size > commits * many * 500 / 2  # Most of it was copied.


async def test_what_one_commit_writes_may_be_far_more_than_its_rows_tell(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with open_database(f"sqlite:///{path}") as database:
        for number in range(40):
            await database.write_many(add, [(f"{number}-{one}", 40 * _PAGE) for one in range(10)])
        assert log_of(path) < (LATEST_PAGES + 1000) * _PAGE
    assert path.stat().st_size > 400 * 40 * _PAGE


async def test_who_waits_for_a_commit_does_not_wait_for_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    committed = Checkpoints.committed

    def held(self: Checkpoints, conn: Connection) -> None:
        begun.set()
        assert go_on.wait(30)
        committed(self, conn)

    monkeypatch.setattr(Checkpoints, "committed", held)
    async with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        with anyio.fail_after(20):
            await database.write(add, ("told", 1))
            await anyio.to_thread.run_sync(begun.wait, 10)
        assert not go_on.is_set()
        go_on.set()


async def test_a_checkpoint_that_fails_loses_nothing_and_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.db"
    async with open_database(f"sqlite:///{path}") as database:
        await database.write_many(add, [(f"before-{one}", _PAGE) for one in range(1000)])
        for number in range(60):
            await database.write(add, (f"between-{number}", 1))
        assert path.stat().st_size > 1000 * _PAGE
        with files_of_at_most(path.stat().st_size), caplog.at_level(logging.WARNING):
            for number in range(60):
                await database.write(add, (f"during-{number}", _PAGE))
        told = [record for record in caplog.records if record.getMessage() == "database.checkpoint"]
        assert told
        assert "disk I/O error" in told[0].__dict__["reason"]
        for number in range(120):
            await database.write(add, (f"after-{number}", _PAGE))
        assert rows(database, "SELECT count(*) AS n FROM sensors") == [{"n": 1240}]
        assert log_of(path) < 1500 * _PAGE
    assert path.stat().st_size >= 1180 * _PAGE
