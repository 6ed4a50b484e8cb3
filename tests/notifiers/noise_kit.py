"""What tests of held deliveries have in common: wishes for silence, and what became of every delivery."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from notifiers.clock import new_uuid7, to_us
from notifiers.mutes import NewMute, Unmuted, add_mutes, end_mutes
from notifiers.quiet_hours import QuietWish, set_quiet
from notifiers.subscriptions import Wanted, add_subscriptions
from rules.pacing import Window
from tests.notifiers.service import START, HeldTime, Patient, Watched, select


def us(time: HeldTime, more: float = 0.0) -> int:
    return to_us(START + timedelta(seconds=time.seconds + more))


def group(target: str) -> list[Window]:
    """What Telegram takes of a group."""
    return [Window(target, 1, 1.0), Window(f"{target} minute", 20, 60.0)]


async def mute(database: Watched, time: HeldTime, seconds: float, pattern: str = ">", **more: Any) -> str:
    wish: dict[str, Any] = {"destination": "chat:a", "person": "telegram:1", "name": "Anna", **more}
    new = NewMute(id=new_uuid7(), until=us(time, seconds), pattern=pattern, now=us(time), **wish)
    await database.write(add_mutes, new)
    return new.id


async def unmute(database: Watched, time: HeldTime, **which: Any) -> int:
    return len(await database.write(end_mutes, Unmuted(now=us(time), by="Anna", **which)))


async def quiet(database: Watched, time: HeldTime, hours: str | None, to: str = "chat:a") -> None:
    await database.write(set_quiet, QuietWish(destination=to, hours=hours, person="telegram:1", now=us(time)))


async def subscribe(database: Watched, topic: str, to: str = "chat:a", **options: Any) -> str:
    wanted = Wanted(id=new_uuid7(), topic=topic, destination=to, at=0, where={}, options=options)
    return (await database.write(add_subscriptions, wanted))[0]


async def deliveries(database: Watched) -> list[dict[str, Any]]:
    """Every delivery of an event, in the order of the events."""
    query = "SELECT d.*, e.message FROM deliveries d JOIN events e ON e.id = d.event ORDER BY d.event_seq, d.id"
    return await select(database, query)


async def until_held(wait: Patient, count: int) -> list[dict[str, Any]]:
    query = "SELECT * FROM deliveries WHERE status = 'held' ORDER BY event_seq"
    return await wait.until_rows(query, lambda rows: len(rows) == count)


async def until_over(wait: Patient) -> None:
    """Every event is routed, and no delivery is on its way."""
    query = (
        "SELECT (SELECT count(*) FROM deliveries WHERE status IN ('pending', 'sending', 'held')) AS open, "
        "(SELECT max(seq) FROM events) AS newest, (SELECT seq FROM bus_cursors WHERE name = 'deliveries') AS routed"
    )
    await wait.until_rows(query, lambda rows: rows[0]["open"] == 0 and rows[0]["newest"] == rows[0]["routed"])
