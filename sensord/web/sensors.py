"""Sensors and jobs over HTTP: how they do, and one evaluation now, with or without effect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import anyio
from aiohttp import web
from sqlalchemy import Connection

from rules.event import rfc3339
from rules.request import RunRequest, Sensed, SkipReason
from rules.triggers import Rule, RuleError, decide
from sensord.app import App
from sensord.config import SensorConfig
from sensord.ledger.queries import (
    count_runs,
    get_sensors,
    last_runs,
    last_ticks,
    list_keys,
    loads,
    newest_tick,
    ticks_after,
)
from sensord.ledger.requests import dump, storable
from sensord.sensing import Sensing
from sensord.sources import Source, Waking
from sensord.web.body import read_object
from sensord.web.endpoint import Page, flag, one, only
from sensord.web.problems import Problem, answer, shown
from sensord.web.runs import no_job

_SHOWN = 1000
_PATIENCE = 45.0  # Seconds that a caller waits for a look to end; commands wait a minute for an answer.
SENSOR_FILTERS = ("state", "job", "kind")
JOB_FILTERS = ("kind",)


class Sensors:
    """What the API knows of sensors."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def items(self) -> list[dict[str, Any]]:
        """Every sensor of the configuration, by name."""
        names = sorted(self._app.config.sensors)
        rows, ticks = await self._app.database.read(lambda conn: (get_sensors(conn), last_ticks(conn, names)))
        return [self._item(name, rows.get(name, {}), ticks.get(name)) for name in names]

    def _item(self, name: str, row: dict[str, Any], tick: dict[str, Any] | None) -> dict[str, Any]:
        config, sensing = self._app.config.sensors[name], self._app.sensings.get(name)
        age = None if sensing is None else self._app.clock.monotonic() - sensing.looked_at
        looked = sensing is not None and sensing.looks > 0 and age is not None
        return {
            "name": name,
            "kind": config.kind,
            "jobs": list(config.jobs),
            "state": row.get("state", "new"),
            "reason": row.get("reason"),
            "since": row.get("since"),
            "cursor": row.get("cursor"),
            "looks": 0 if sensing is None else sensing.looks,
            "last_look": rfc3339(self._app.clock.now() - timedelta(seconds=age or 0)) if looked else None,
            "lag_seconds": round(sensing.lag, 3) if sensing is not None and self._app.serving else None,
            "last_tick": tick,
            "config": config.model_dump(mode="json", include={"source", "run_key", "when", "priority"}),
        }

    async def show(self, request: web.Request) -> web.Response:
        """One sensor."""
        only(request)
        name = request.match_info["name"]
        found = next((item for item in await self.items() if item["name"] == name), None)
        if found is None:
            raise no_sensor(self._app, name)
        return answer(found)

    async def tick(self, request: web.Request) -> web.Response:
        """Look now. With `dry_run` nothing is changed; the answer says what was, or would be, asked for."""
        only(request, "dry_run")
        await read_object(request, ())
        name, dry_run = request.match_info["name"], flag(request, "dry_run")
        source, sensing = self._app.sources.get(name), self._app.sensings.get(name)
        if source is None or sensing is None:
            raise no_sensor(self._app, name)
        found = await self._would(source, sensing) if dry_run else await self._look_now(source, sensing)
        return answer({"sensor": name, "dry_run": dry_run, **found})

    async def _would(self, source: Source, sensing: Sensing) -> dict[str, Any]:
        """What one evaluation would find."""
        try:
            sensed = await source.look(await sensing.marks())
        except OSError as error:
            raise _cannot(str(error)) from None
        items = [_decided(sensing.rule, one) for one in sensed[:_SHOWN]]
        held = await self._app.database.read(lambda conn: _holders(conn, sensing.name, items))
        for item in items:
            for request_ in item["requests"]:
                request_["held_by"] = held.get((request_["job"], request_["run_key"]))
        return {"ended": True, "sensed": len(sensed), "items": items}

    async def _look_now(self, source: Source, sensing: Sensing) -> dict[str, Any]:
        """What the source itself finds and commits when it is asked to look; where none runs, one runs for that."""
        if not isinstance(source, Waking):
            raise _nothing_early(self._app.config.sensors[sensing.name], sensing.name)
        before = await self._app.database.read(newest_tick)
        async with anyio.create_task_group() as group:
            if not self._app.serving:
                group.start_soon(source.run, sensing, await sensing.open())
            with anyio.move_on_after(_PATIENCE) as waiting:
                await source.look_now()
            group.cancel_scope.cancel()
        if sensing.failing is not None:
            raise _cannot(sensing.failing)
        count, ticks = await self._app.database.read(lambda conn: ticks_after(conn, sensing.name, before, _SHOWN))
        return {"ended": not waiting.cancelled_caught, "sensed": count, "items": _found(ticks)}


def _found(ticks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same of what was found: one item for each thing, from its ticks."""
    items: list[dict[str, Any]] = []
    former: tuple[str, str] | None = None
    for tick in ticks:
        thing = (tick["subject"], tick["at"])
        if thing != former:
            items.append({"subject": tick["subject"], "requests": [], "skipped": None, "error": None})
            former = thing
        if tick["outcome"] in ("skipped", "error"):
            items[-1][tick["outcome"]] = tick["reason"]
        else:
            held = tick["run"] if tick["outcome"] == "duplicate" else None
            request = {"job": tick["job"], "run_key": tick["run_key"], "run": tick["run"], "held_by": held}
            items[-1]["requests"].append(request)
    return items


def _cannot(reason: str) -> Problem:
    return Problem(503, f"the sensor cannot look: {reason}")


def _nothing_early(config: SensorConfig, name: str) -> Problem:
    jobs = " or ".join(f"`sensord launch {job}`" for job in config.jobs)
    return Problem(
        409,
        f"sensor {shown(name)} is a {config.kind}: there is nothing to look at before it is due; to run its job now: "
        f"{jobs}; to see what is next: `sensord tick {name} --dry-run`",
    )


def _decided(rule: Rule, sensed: Sensed) -> dict[str, Any]:
    """What the rule makes of one thing: its requests, or why there is none."""
    item: dict[str, Any] = {"subject": sensed.subject, "requests": [], "skipped": None, "error": None}
    try:
        decision = decide(rule, sensed)
    except RuleError as error:
        return item | {"error": str(error)}
    if isinstance(decision, SkipReason):
        return item | {"skipped": decision.skip_message}
    return item | {"requests": [_request(one) for one in decision]}


def _request(request: RunRequest) -> dict[str, Any]:
    return {
        "job": request.job_name,
        "run_key": None if request.run_key is None else storable(request.run_key),
        "run_config": loads(dump(request.run_config)),
        "tags": dict(request.tags),
        "partition_key": request.partition_key,
        "priority": request.priority,
    }


def _holders(conn: Connection, sensor: str, items: Sequence[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Which run has each of these keys already: such a request is a duplicate and no second run."""
    wanted = sorted({request["run_key"] for item in items for request in item["requests"] if request["run_key"]})
    held: dict[tuple[str, str], str] = {}
    for start in range(0, len(wanted), 100):
        chunk = wanted[start : start + 100]
        found = list_keys(conn, {"sensor": [sensor], "run_key": chunk}, limit=10_000, after=None)
        held.update({(key["job"], key["run_key"]): key["run"] for key in found["items"]})
    return held


class Jobs:
    """What the API knows of jobs."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def items(self) -> list[dict[str, Any]]:
        """Every job of the configuration, by name."""
        names = sorted(self._app.config.jobs)
        since = self._app.clock.now() - timedelta(days=1)
        last, counts = await self._app.database.read(lambda conn: (last_runs(conn, names), count_runs(conn, since)))
        return [self._item(name) | {"last_run": last.get(name), "last_24h": counts.get(name, {})} for name in names]

    def _item(self, name: str) -> dict[str, Any]:
        config = self._app.config.jobs[name]
        return {
            "name": name,
            "kind": config.kind,
            "config_schema": self._app.schemas[name].known,
            "tags": config.tags,
            "hooks": config.hooks.model_dump(),
            "concurrency": config.concurrency,
            "priority": config.priority,
            "timeout": config.timeout,
            "retry": config.retry.model_dump(),
            "partitions": self._app.backfills.jobs[name].written(),
            "sensors": sorted(sensor for sensor, one in self._app.config.sensors.items() if name in one.jobs),
        }

    async def show(self, request: web.Request) -> web.Response:
        """One job."""
        only(request)
        name = request.match_info["name"]
        if name in self._app.schemas:
            await self._app.schemas[name].now()
        found = next((item for item in await self.items() if item["name"] == name), None)
        if found is None:
            raise no_job(self._app, name)
        return answer(found)


async def chart(app: App, request: web.Request) -> web.Response:
    """A picture of how long a job's last runs took, drawn by another process."""
    only(request, "run", "lang", "zone")
    name = request.match_info["name"]
    if name not in app.config.jobs:
        raise no_job(app, name)
    from notifiers.reading import Reader
    from sensord.pictures import PictureError
    from sensord.web.telling import reading_asked

    try:
        asked = reading_asked(one(request, "lang"), one(request, "zone"))
    except ValueError as error:
        raise Problem(400, str(error)) from None
    reader = Reader(app.config.language, app.config.zone).but(asked["lang"], asked["zone"])
    try:
        picture = await app.pictures().draw(name, one(request, "run"), reader)
    except PictureError as error:
        raise Problem(503, str(error)) from None
    return web.Response(body=picture, content_type="image/png")


def page_of(items: Sequence[dict[str, Any]], page: Page) -> dict[str, Any]:
    """A page of what the configuration names, in order of names."""
    fits = [
        item
        for item in items
        if (page.after is None or item["name"] > page.after)
        and all(_has(item, name, values) for name, values in page.filters.items())
    ]
    shown_items = fits[: page.limit]
    return {"items": shown_items, "next": shown_items[-1]["name"] if len(fits) > page.limit else None}


def _has(item: dict[str, Any], name: str, values: Sequence[str]) -> bool:
    if name == "job":
        return any(job in values for job in item["jobs"])
    return item[name] in values


def no_sensor(app: App, name: str) -> Problem:
    """There is no such sensor."""
    there_are = ", ".join(app.config.sensors) or "none"
    return Problem(404, f"there is no sensor {shown(name)}; the configuration has {there_are}")
