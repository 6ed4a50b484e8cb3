"""What is known again by an id of its own: settled once, and forgotten when nobody tells it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notifiers.chat import Heard
from notifiers.chat.turns import Reply, Turn, heard_before, settle
from notifiers.clock import new_uuid7, to_us
from sensord.ledger.database import LedgerDatabase
from sensord.retention import Kept, prune_once
from tests.conftest import rows

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = 86_400.0


def turn(id_: str, of: str = "slack", *, days_ago: float = 0) -> Turn:
    at = to_us(NOW - timedelta(days=days_ago))
    return Turn(heard=Heard(of, id=id_), to="inbox:", act=lambda _: Reply(), now=at, new_id=new_uuid7)


async def test_a_thing_is_settled_once_in_a_batch_and_after(database: LedgerDatabase) -> None:
    batch = [turn("a"), turn("b"), turn("a"), turn("a", "other")]
    settled = await database.write_many(settle, batch)
    assert [one.again for one in settled] == [False, False, True, False]
    assert (await database.write(settle, turn("b"))).again
    assert await database.read(lambda conn: heard_before(conn, Heard("slack", id="a")))
    assert not await database.read(lambda conn: heard_before(conn, Heard("slack", id="c")))


async def test_a_turn_that_fails_is_not_known_after(database: LedgerDatabase) -> None:
    def broken(_conn: object) -> Reply:
        raise RuntimeError("out of order")

    failing = Turn(heard=Heard("slack", id="a"), to="inbox:", act=broken, now=1, new_id=new_uuid7)
    with pytest.raises(RuntimeError, match="out of order"):
        await database.write(settle, failing)
    assert not (await database.write(settle, turn("a"))).again


async def test_ids_are_forgotten_after_two_days_many_at_a_time(database: LedgerDatabase, tmp_path: Path) -> None:
    await database.write_many(settle, [turn(f"old {number}", days_ago=2.1) for number in range(2_100)])
    await database.write_many(settle, [turn("young", days_ago=1.9), turn("young", "other", days_ago=1.9)])
    kept = Kept(ticks=DAY, events=DAY, deliveries=DAY, logs=DAY)
    assert (await prune_once(database, kept, tmp_path, NOW))["heard"] == 2_100
    assert [row["id"] for row in rows(database, "SELECT id FROM chat_heard")] == ["young", "young"]
