"""`/api/overview`: whether everything is well, in one sentence, and what is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, func, select

from notifiers.tables import deliveries, destinations
from sensord.app import App
from sensord.ledger.queries import count_open, count_runs, time
from sensord.web.endpoint import only
from sensord.web.problems import answer
from sensord.web.stream import newest

_BAD = ("failed", "lost")


@dataclass(frozen=True, slots=True)
class _Facts:
    runs: Counter[str]
    open: Counter[str]
    undelivered: dict[str, int]
    destinations: list[dict[str, Any]]
    event: int


class Overview:
    """What a person wants to know first."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, request: web.Request) -> web.Response:
        """Counts are of the runs requested since midnight UTC."""
        only(request)
        now = self._app.clock.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        facts = await self._app.database.read(lambda conn: _read(conn, midnight))
        problems = self._problems(facts)
        runs = sum(facts.runs.values())
        return answer(
            {
                "well": not problems,
                "sentence": _sentence(problems, runs),
                "problems": problems,
                "today": dict(facts.runs),
                "open": dict(facts.open),
                "undelivered": facts.undelivered,
                "destinations": [one for one in facts.destinations if one["state"] == "paused"],
                "ready": self._app.ready,
                "place": facts.event,
            }
        )

    def _problems(self, facts: _Facts) -> list[dict[str, str]]:
        """Each with a kind, a sentence, and where to look further; the gravest first."""
        found: list[dict[str, str]] = []
        if (trouble := self._app.database.trouble) is not None:
            found.append({"kind": "database", "text": f"Nothing can be recorded: {trouble}", "link": ""})
        for one in facts.destinations:
            if one["state"] == "paused":
                waiting = facts.undelivered.get(one["destination"], 0)
                text = f"{one['destination']} gets no messages: {one['reason']}; {_count(waiting, 'message') if waiting else 'nothing'} waiting"
                found.append({"kind": "destination", "text": text, "link": "#destinations"})
        for name, sensing in sorted(self._app.sensings.items()):
            if sensing.failing is not None:
                found.append({"kind": "sensor", "text": f"Sensor {name} fails: {sensing.failing}", "link": "#sensors"})
        bad = sum(facts.runs[status] for status in _BAD)
        if bad:
            words = f"{_count(bad, 'run')} of {sum(facts.runs.values())} today did not succeed"
            found.append({"kind": "runs", "text": words, "link": "#runs"})
        return found


def _sentence(problems: list[dict[str, str]], runs: int) -> str:
    if not problems:
        return f"All well: {_count(runs, 'run')} today, none failed." if runs else "All well: no runs yet today."
    if len(problems) == 1:
        return f"{problems[0]['text']}."
    return f"{len(problems)} things need a look."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"


def _read(conn: Connection, midnight: datetime) -> _Facts:
    runs: Counter[str] = Counter()
    for counts in count_runs(conn, midnight).values():
        runs.update(counts)
    open_: Counter[str] = Counter()
    for (_, status), number in count_open(conn).items():
        open_[status] += number
    waiting = deliveries.c.status.in_(["pending", "sending"])
    by_destination = select(deliveries.c.destination, func.count()).where(waiting).group_by(deliveries.c.destination)
    undelivered = {row[0]: row[1] for row in conn.execute(by_destination)}
    return _Facts(runs, open_, undelivered, list_destinations(conn), newest(conn))


def list_destinations(conn: Connection) -> list[dict[str, Any]]:
    """What is known of destinations that are, or were, not plainly well."""
    rows = conn.execute(select(destinations).order_by(destinations.c.destination)).mappings()
    return [{**row, "since": time(row["since"])} for row in rows]
