"""Sensors and jobs over HTTP: how they do, and one evaluation now, with or without effect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from rules.event import rfc3339
from rules.request import RunRequest, Sensed, SkipReason
from rules.triggers import Rule, RuleError, decide
from sensord.app import App
from sensord.ledger.queries import count_runs, get_sensors, last_runs, last_ticks, list_keys, loads
from sensord.ledger.requests import dump, storable
from sensord.web.body import read_object
from sensord.web.endpoint import Page, flag, only
from sensord.web.problems import Problem, answer, shown
from sensord.web.runs import no_job

_SHOWN = 1000
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
        """Look once, now. With `dry_run` nothing is changed; the answer says what was, or would be, asked for."""
        only(request, "dry_run")
        await read_object(request, ())
        name, dry_run = request.match_info["name"], flag(request, "dry_run")
        source, sensing = self._app.sources.get(name), self._app.sensings.get(name)
        if source is None or sensing is None:
            raise no_sensor(self._app, name)
        try:
            if not dry_run:
                await sensing.open()
            sensed = await source.look(await sensing.marks())
        except OSError as error:
            raise Problem(503, f"the sensor cannot look: {error}") from None
        items = [_decided(sensing.rule, one) for one in sensed[:_SHOWN]]
        held = await self._app.database.read(lambda conn: _holders(conn, name, items))
        for item in items:
            for request_ in item["requests"]:
                request_["held_by"] = held.get((request_["job"], request_["run_key"]))
        for start in range(0, 0 if dry_run else len(sensed), _SHOWN):
            await sensing(sensed[start : start + _SHOWN])
        return answer({"sensor": name, "dry_run": dry_run, "sensed": len(sensed), "items": items})


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
            "config_schema": config.config_schema,
            "tags": config.tags,
            "hooks": config.hooks.model_dump(),
            "concurrency": config.concurrency,
            "priority": config.priority,
            "timeout": config.timeout,
            "retry": config.retry.model_dump(),
            "sensors": sorted(sensor for sensor, one in self._app.config.sensors.items() if name in one.jobs),
        }

    async def show(self, request: web.Request) -> web.Response:
        """One job."""
        only(request)
        name = request.match_info["name"]
        found = next((item for item in await self.items() if item["name"] == name), None)
        if found is None:
            raise no_job(self._app, name)
        return answer(found)


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
