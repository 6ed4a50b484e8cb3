"""`/api/overview`: whether everything is well, in one sentence, and what is not."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection, func, select

from notifiers.tables import deliveries, destinations
from rules.phrases import joined, phrase, plural
from sensord.app import App
from sensord.ledger.queries import count_open, count_runs, id_floor, loads, time
from sensord.ledger.tables import runs
from sensord.repeating import RETRY_OF
from sensord.web.endpoint import only
from sensord.web.problems import answer
from sensord.web.stream import newest

_BAD = ("failed", "lost")


class _Facts(Struct, frozen=True):
    runs: Counter[str]
    open: Counter[str]
    undelivered: dict[str, int]
    destinations: list[dict[str, Any]]
    event: int
    bad: int  # Runs of today that failed or were lost, and that no later run repeated with success.


class Overview:
    """What a person wants to know first."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, request: web.Request) -> web.Response:
        """Counts are of the runs requested since midnight UTC."""
        only(request)
        return answer(await self.look())

    def _where(self) -> str:
        name = self._app.config.environment
        return phrase("Environment {name}. ", name=name) if name else ""

    async def look(self) -> dict[str, Any]:
        """The same for whoever asks in another way."""
        now = self._app.clock.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        facts = await self._app.database.read(lambda conn: _read(conn, midnight))
        problems = self._problems(facts)
        return {
            "well": not problems,
            "sentence": joined("", [self._where(), _sentence(problems, facts.runs)]),
            "problems": problems,
            "today": dict(facts.runs),
            "open": dict(facts.open),
            "undelivered": facts.undelivered,
            "destinations": [one for one in facts.destinations if one["state"] == "paused"],
            "ready": self._app.ready,
            "place": facts.event,
        }

    def _problems(self, facts: _Facts) -> list[dict[str, str]]:
        """Each with a kind, a sentence, and where to look further; the gravest first."""
        found: list[dict[str, str]] = []
        if (trouble := self._app.database.trouble) is not None:
            text: str = phrase("Nothing can be recorded: {why}", why=trouble)
            found.append({"kind": "database", "text": text, "link": ""})
        for one in facts.destinations:
            if one["state"] == "paused":
                waiting = facts.undelivered.get(one["destination"], 0)
                name, why = one["destination"], one["reason"]
                text = phrase("{destination} gets no messages: {why}; nothing waiting", destination=name, why=why)
                if waiting:
                    text = plural(
                        "{destination} gets no messages: {why}; {count} message waiting",
                        "{destination} gets no messages: {why}; {count} messages waiting",
                        waiting,
                        destination=name,
                        why=why,
                    )
                found.append({"kind": "destination", "text": text, "link": "#destinations"})
        found += ({"kind": "chat", "text": text, "link": ""} for text in self._app.chats.troubles)
        for name, sensing in sorted(self._app.sensings.items()):
            if sensing.failing is not None:
                text = phrase("Sensor {sensor} fails: {why}", sensor=name, why=sensing.failing)
                found.append({"kind": "sensor", "text": text, "link": "#sensors"})
        if facts.bad:
            text = plural(
                "{count} run of {all} today did not succeed",
                "{count} runs of {all} today did not succeed",
                facts.bad,
                all=sum(facts.runs.values()),
            )
            found.append({"kind": "runs", "text": text, "link": "#runs"})
        return found


def _sentence(problems: list[dict[str, str]], runs: Counter[str]) -> str:
    if len(problems) > 1:
        return plural("{count} thing needs a look.", "{count} things need a look.", len(problems))
    if problems:
        return joined("", [problems[0]["text"], "."])
    if not runs:
        return phrase("All well: no runs yet today.")
    repeated = any(runs[status] for status in _BAD)
    failed = phrase("what failed was repeated with success") if repeated else phrase("none failed")
    return plural(
        "All well: {count} run today, {failed}.",
        "All well: {count} runs today, {failed}.",
        sum(runs.values()),
        failed=failed,
    )


def _read(conn: Connection, midnight: datetime) -> _Facts:
    today: Counter[str] = Counter()
    for counts in count_runs(conn, midnight).values():
        today.update(counts)
    open_: Counter[str] = Counter()
    for (_, status), number in count_open(conn).items():
        open_[status] += number
    waiting = deliveries.c.status.in_(["pending", "sending"])
    by_destination = select(deliveries.c.destination, func.count()).where(waiting).group_by(deliveries.c.destination)
    undelivered = {row[0]: row[1] for row in conn.execute(by_destination)}
    return _Facts(today, open_, undelivered, list_destinations(conn), newest(conn), _unmended(conn, midnight))


def _unmended(conn: Connection, since: datetime) -> int:
    """How many of the runs since then ended badly and stayed so: a repetition that succeeds mends what it repeats."""
    recent = runs.c.id >= id_floor(since)
    bad = set(conn.scalars(select(runs.c.id).where(recent, runs.c.status.in_(_BAD))))
    if not bad:
        return 0
    repeats = recent & runs.c.tags.like(f"%{RETRY_OF}%")
    # Newest first, so that a repetition is judged before what it repeats.
    for run, status, tags in conn.execute(
        select(runs.c.id, runs.c.status, runs.c.tags).where(repeats).order_by(runs.c.id.desc())
    ):
        if status == "succeeded" or (status in _BAD and run not in bad):
            bad.discard(loads(tags).get(RETRY_OF))
    return len(bad)


def list_destinations(conn: Connection) -> list[dict[str, Any]]:
    """What is known of destinations that are, or were, not plainly well."""
    rows = conn.execute(select(destinations).order_by(destinations.c.destination)).mappings()
    return [{**row, "since": time(row["since"])} for row in rows]
