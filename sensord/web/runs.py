"""Runs over HTTP: launched, cancelled, repeated, and their output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from rules.request import RunRequest
from sensord.app import App
from sensord.ledger.queries import get_run
from sensord.ledger.requests import request_runs
from sensord.ledger.wishes import NewRun
from sensord.repeating import get_row, repeat_of
from sensord.sensing import new_run
from sensord.web.body import integer_of, kind, object_of, read_object, text_of
from sensord.web.problems import Problem, answer, shown

_LAUNCH_KEYS = ("run_config", "tags", "run_key", "partition_key", "priority")


class Runs:
    """The verbs of runs."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def launch(self, request: web.Request) -> web.Response:
        """201: the run. 200 where another run holds the run_key: that one, with `duplicate`."""
        name = request.match_info["name"]
        if name not in self._app.config.jobs:
            raise no_job(self._app, name)
        body = await read_object(request, _LAUNCH_KEYS)
        config = self._app.config.jobs[name]
        priority = integer_of(body, "priority", -(2**31), 2**31 - 1)
        asked = RunRequest(
            job_name=name,
            run_key=text_of(body, "run_key"),
            run_config=object_of(body, "run_config"),
            tags={**config.tags, **_tags(body)},
            partition_key=text_of(body, "partition_key"),
            priority=config.priority if priority is None else priority,
        )
        if refused := await self._app.schemas[name].refusal(asked.run_config):
            raise Problem(422, f"run_config: {refused}")
        wish = new_run(self._app.clock, asked, self._app.hooks[name])
        held = await self._request(wish)
        run = await self._app.database.read(lambda conn: get_run(conn, held))
        if held != wish.id:
            if run is None:
                return answer({"id": held, "duplicate": True})
            return answer({**run, "duplicate": True})
        return answer(run, 201)

    async def _request(self, wish: NewRun) -> str:
        held = await self._app.database.write(request_runs, wish)
        if held == wish.id:
            self._app.running.claimed([wish])
        return held

    async def cancel(self, request: web.Request) -> web.Response:
        """202: it will end. 409 where it has ended."""
        run = request.match_info["id"]
        await read_object(request, ())
        cancelled = await self._app.running.cancel(run)
        found = await self._app.database.read(lambda conn: get_run(conn, run))
        if found is None:
            raise no_run(run)
        # Where no daemon works on it (a command has the database), the wish is in its row and is met at the start.
        if not cancelled and not found["cancel_requested"]:
            raise Problem(409, f"the run has ended already: it {found['status']}")
        return answer(found, 202)

    async def retry(self, request: web.Request) -> web.Response:
        """201: a new run that repeats one that has ended. It bears the same run_key without taking it."""
        await read_object(request, ())
        row = await self._app.database.read(lambda conn: get_row(conn, request.match_info["id"]))
        if row is None:
            raise no_run(request.match_info["id"])
        wish = repeat_of(self._app.clock, row, self._app.hooks)
        if isinstance(wish, str):
            raise Problem(409, wish)
        await self._request(wish)
        return answer(await self._app.database.read(lambda conn: get_run(conn, wish.id)), 201)


def _tags(body: Mapping[str, Any]) -> dict[str, str]:
    tags = object_of(body, "tags")
    for name, value in tags.items():
        if not isinstance(value, str):
            raise Problem(400, f"the tag {shown(name)} is {kind(value)}; tags are text")
    return tags


def no_run(run: str) -> Problem:
    """There is no such run."""
    return Problem(404, f"there is no run {shown(run)}; GET /api/runs lists those there are")


def no_job(app: App, name: str) -> Problem:
    """There is no such job."""
    return Problem(404, f"there is no job {shown(name)}; the configuration has {', '.join(app.config.jobs) or 'none'}")
