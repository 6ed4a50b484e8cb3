from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from notifiers.bus.embedded import EmbeddedBus
from notifiers.clock import to_us
from rules.event import Event
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.requests import commit_ticks
from sensord.ledger.wishes import Tick
from sensord.retention import Kept, prune_logs, prune_once
from sensord.sensing import open_sensor
from tests.conftest import rows
from tests.ledger.test_requests import wish

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = 86400.0
KEPT = Kept(ticks=30 * DAY, events=90 * DAY, deliveries=90 * DAY, logs=30 * DAY)


def event(name: str, days_ago: float) -> Event:
    return Event(id=name, type="message", topic="a.b", time=NOW - timedelta(days=days_ago))


async def test_what_is_old_goes_and_the_keys_that_dedupe_stay(database: LedgerDatabase, tmp_path: Path) -> None:
    await database.write(open_sensor, ("drop", 0))
    old = to_us(NOW - timedelta(days=40))
    young = to_us(NOW - timedelta(days=20))
    skipped = [Tick(sensor="drop", subject=str(at), at=at, outcome="skipped", reason="x") for at in (old, young)]
    asked = wish()
    await database.write_many(commit_ticks, [*skipped, Tick(sensor="drop", subject="a", at=old, runs=(asked,))])
    gone = await prune_once(database, KEPT, tmp_path, NOW)
    assert gone["ticks"] == 2
    assert [row["at"] for row in rows(database, "SELECT at FROM ticks")] == [young]
    assert [row["run"] for row in rows(database, "SELECT run FROM run_keys")] == [asked.id]
    assert len(rows(database, "SELECT id FROM runs")) == 1


async def test_more_than_a_chunk_goes_in_one_pass(database: LedgerDatabase, tmp_path: Path) -> None:
    await database.write(open_sensor, ("drop", 0))
    old = to_us(NOW - timedelta(days=40))
    many = [Tick(sensor="drop", subject="x", at=old, outcome="skipped", reason="x") for _ in range(2500)]
    await database.write_many(commit_ticks, many)
    assert (await prune_once(database, KEPT, tmp_path, NOW))["ticks"] == 2500


async def test_an_event_that_nobody_was_told_of_yet_stays(database: LedgerDatabase, tmp_path: Path) -> None:
    await EmbeddedBus(database).publish([event("old", 100), event("young", 1)])
    assert (await prune_once(database, KEPT, tmp_path, NOW))["events"] == 0


def test_logs_go_by_the_day_and_nothing_else_goes(tmp_path: Path) -> None:
    for name in ("2026-10-01", "2026-11-20", "not-a-date", "2026-13-77"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.log").write_text("x")
    elsewhere = tmp_path.parent / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "2026-09-01").symlink_to(elsewhere)
    assert prune_logs(tmp_path, (NOW - timedelta(days=30)).date()) == ["2026-10-01"]
    assert elsewhere.exists()
    assert (tmp_path / "not-a-date" / "x.log").exists()
    assert prune_logs(tmp_path / "missing", NOW.date()) == []
