"""Bounded history: what is over and old goes, a little at a time. Runs and the run_keys that dedupe stay."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from anyio import to_thread
from msgspec import Struct
from sqlalchemy import Connection, delete, select

from notifiers.chat.retention import prune_acts, prune_answers, prune_buttons, prune_heard
from notifiers.chat.turns import KEPT_US
from notifiers.clock import Clock, to_us
from notifiers.retention import (
    Chunk,
    prune_checks,
    prune_deliveries,
    prune_digests,
    prune_events,
    prune_inbox,
    prune_living,
)
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.tables import ticks

log = logging.getLogger(__name__)

_EVERY = 3600.0


class Kept(Struct, frozen=True, kw_only=True):
    """For how many seconds each kind of history is kept."""

    ticks: float
    events: float
    deliveries: float
    logs: float


def prune_ticks(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Delete old ticks; how many, for each."""
    gone: list[int] = []
    for chunk in batch:
        old = select(ticks.c.seq).where(ticks.c.at < chunk.before).order_by(ticks.c.at).limit(chunk.limit)
        gone.append(conn.execute(delete(ticks).where(ticks.c.seq.in_(old))).rowcount)
    return gone


def prune_logs(runs_folder: Path, before: date) -> list[str]:
    """Remove the folders of days before that one; their names. Folders of other names are not ours and stay."""
    gone: list[str] = []
    for folder in sorted(runs_folder.glob("????-??-??")) if runs_folder.is_dir() else []:
        try:
            day = date.fromisoformat(folder.name)
        except ValueError:
            continue
        if day < before and not folder.is_symlink():
            shutil.rmtree(folder)
            gone.append(folder.name)
    return gone


async def prune_once(database: LedgerDatabase, kept: Kept, state: Path, now: datetime) -> dict[str, int]:
    """Delete everything that is too old, in chunks that hold up no tick; how much of each kind went."""

    def before(seconds: float) -> int:
        return to_us(now - timedelta(seconds=seconds))

    # Deliveries first: an event stays for as long as a delivery of it does.
    gone = {
        "deliveries": await _drain(database, prune_deliveries, before(kept.deliveries)),
        "events": await _drain(database, prune_events, before(kept.events)),
        "answers": await _drain(database, prune_answers, before(kept.deliveries)),
        "digests": await _drain(database, prune_digests, before(kept.deliveries)),
        "heard": await _drain(database, prune_heard, before(KEPT_US / 1_000_000)),
        "living": await _drain(database, prune_living, before(kept.deliveries)),
        "buttons": await _drain(database, prune_buttons, before(kept.events)),
        "acts": await _drain(database, prune_acts, before(kept.events)),
        "checks": await _drain(database, prune_checks, before(kept.events)),
        "inbox": await _drain(database, prune_inbox, before(kept.events)),
        "ticks": await _drain(database, prune_ticks, before(kept.ticks)),
    }
    # A day's folder goes when its last moment is too old.
    last = (now - timedelta(seconds=kept.logs)).date()
    days = await to_thread.run_sync(prune_logs, state / "runs", last)
    return gone | {"log_days": len(days)}


async def _drain(
    database: LedgerDatabase,
    prune: Callable[[Connection, Sequence[Chunk]], Sequence[int]],
    before: int,
) -> int:
    total = 0
    while (went := await database.write(prune, Chunk(before))) > 0:
        total += went
    return total


async def keep_bounded(database: LedgerDatabase, kept: Kept, state: Path, clock: Clock) -> None:
    """Prune at start and every hour, for ever."""
    while True:
        gone = await prune_once(database, kept, state, clock.now())
        if any(gone.values()):
            log.info("retention.pruned", extra={**gone})
        await clock.sleep(_EVERY)
