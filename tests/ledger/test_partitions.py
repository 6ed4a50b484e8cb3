"""The states of a job's partitions, as the ledger has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from notifiers.clock import SYSTEM
from notifiers.database import insert_rows
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.partitions import states
from sensord.ledger.tables import runs
from tests.conftest import rows


def add(conn: Connection, items: Sequence[dict[str, Any]]) -> list[None]:
    insert_rows(conn, runs, items)
    return [None] * len(items)


def run(key: str | None, status: str, job: str = "load", **fields: Any) -> dict[str, Any]:
    began = None if status == "queued" else 1
    row = {"id": SYSTEM.new_id(), "job": job, "status": status, "attempt": 1, "started_at": began, **fields}
    return {**row, "priority": 0, "tags": "{}", "run_config": "{}", "partition_key": key, "requested_at": 0} | {
        "cancel_requested": False,
        "metadata": "{}",
    }


async def test_a_state_is_that_of_the_latest_run_and_no_other_jobs(database: LedgerDatabase) -> None:
    items = [
        run("a", "failed"),
        run("a", "succeeded"),
        run("b", "succeeded"),
        run("b", "failed"),
        run("c", "running"),
        run("c", "lost"),
        run("d", "queued"),
        run(None, "failed"),
        run("e", "failed", job="other"),
    ]
    await database.write_many(add, items)
    found = await database.read(lambda conn: states(conn, "load"))
    assert {key: state for key, (state, _) in found.items()} == {
        "a": "succeeded",
        "b": "failed",
        "c": "running",
        "d": "queued",
    }
    assert found["b"][1] == items[3]["id"]
    assert found["c"][1] == items[4]["id"]


@pytest.mark.parametrize(
    ("attempt", "began", "state"), [(1, None, "succeeded"), (1, 1, "cancelled"), (2, None, "cancelled")]
)
async def test_a_run_that_was_cancelled_before_it_began_says_nothing(
    database: LedgerDatabase, attempt: int, began: int | None, state: str
) -> None:
    cancelled = [run("a", "cancelled", attempt=attempt, started_at=began), run("b", "cancelled", started_at=None)]
    await database.write_many(add, [run("a", "succeeded", id="0"), *cancelled])
    found = await database.read(lambda conn: states(conn, "load"))
    assert {key: one for key, (one, _) in found.items()} == {"a": state}


async def test_no_run_without_a_partition_is_in_the_index_of_partitions(database: LedgerDatabase) -> None:
    if database.engine.dialect.name == "sqlite":
        (row,) = rows(database, "SELECT sql FROM sqlite_master WHERE name = 'runs_by_partition'")
        assert "partition_key IS NOT NULL" in row["sql"]
        plan = rows(
            database,
            "EXPLAIN QUERY PLAN SELECT partition_key, status, id FROM runs "
            "WHERE job = 'load' AND partition_key IS NOT NULL ORDER BY partition_key, id",
        )
        assert [one["detail"] for one in plan] == [
            "SEARCH runs USING INDEX runs_by_partition (job=? AND partition_key>?)"
        ]
    else:
        (row,) = rows(database, "SELECT indexdef FROM pg_indexes WHERE indexname = 'runs_by_partition'")
        assert "partition_key IS NOT NULL" in row["indexdef"]
