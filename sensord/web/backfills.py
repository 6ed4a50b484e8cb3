"""Backfills over HTTP: asked for, looked at and cancelled; and what became of a job's partitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from aiohttp import web
from sqlalchemy import Connection

from sensord.app import App
from sensord.backfill_plans import Asked, Plan
from sensord.ledger.backfill_pages import PARTITION_FILTERS, get_backfill, list_partitions
from sensord.ledger.partitions import State, states
from sensord.slicing import Sliced, Unsliceable
from sensord.sources.schedule import second
from sensord.web.body import integer_of, object_of, read_object, text_of
from sensord.web.endpoint import Page, only, read_page
from sensord.web.problems import Problem, answer, shown
from sensord.web.runs import no_job

if TYPE_CHECKING:
    from rules.backfill import Only, Order, Slice
    from rules.partitions import Partitions

_KEYS = ("from", "to", "only", "order", "concurrency", "run_config", "dry_run")
MOST_OPEN = 1_000
POSITION = "[0-9]{1,6}"
KEY = r"[^\x00]{1,200}"
STATES = ("succeeded", "failed", "lost", "cancelled", "running", "queued", "missing")


class BackfillVerbs:
    """What can be done with backfills."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def create(self, request: web.Request) -> web.Response:
        """201: the backfill. 200 with `dry_run`, or where there is nothing to run: what it would be."""
        from rules.partitions import PartitionError

        name = request.match_info["name"]
        if name not in self._app.backfills.jobs:
            raise no_job(self._app, name)
        body = await read_object(request, _KEYS)
        dry_run = body.get("dry_run", False)
        if not isinstance(dry_run, bool):
            raise Problem(400, "dry_run must be true or false")
        asked = _asked(name, body)
        try:
            if dry_run:
                plan, backfill = await self._app.backfills.plan(asked), None
            else:
                plan, backfill = await self._app.backfills.create(asked)
        except (PartitionError, Unsliceable) as error:
            raise Problem(422, str(error)) from None
        if backfill is None:
            return answer(_planned(plan))
        return answer(await self._read(backfill), 201)

    async def show(self, request: web.Request) -> web.Response:
        """One backfill."""
        only(request)
        return answer(await self._read(request.match_info["id"]))

    async def partitions(self, request: web.Request) -> web.Response:
        """A page of a backfill's partitions, in its order."""
        page = read_page(request, PARTITION_FILTERS, cursor=POSITION)
        backfill = request.match_info["id"]
        await self._read(backfill)
        after = None if page.after is None else int(page.after)
        found = await self._app.database.read(
            lambda conn: list_partitions(conn, backfill, page.filters, limit=page.limit, after=after)
        )
        return answer(found)

    async def cancel(self, request: web.Request) -> web.Response:
        """202: no further partition is run, and its runs are cancelled. 409 where it has ended."""
        backfill = request.match_info["id"]
        await read_object(request, ())
        cancelled = await self._app.backfilling.cancel(backfill)
        found = await self._read(backfill)
        if not cancelled:
            raise Problem(409, f"the backfill has ended already: it is {found['status']}")
        return answer(found, 202)

    async def _read(self, backfill: str) -> dict[str, Any]:
        standing = self._app.backfilling.standing()
        found = await self._app.database.read(lambda conn: get_backfill(conn, backfill, standing))
        if found is None:
            raise Problem(404, f"there is no backfill {shown(backfill)}; GET /api/backfills lists those there are")
        return found


def _asked(job: str, body: Mapping[str, Any]) -> Asked:
    from rules.backfill import ONLY, ORDERS

    chosen: Only = _one_of(body, "only", ONLY)
    order: Order = _one_of(body, "order", ORDERS)
    return Asked(
        job=job,
        first=text_of(body, "from"),
        last=text_of(body, "to"),
        only=chosen,
        order=order,
        concurrency=integer_of(body, "concurrency", 1, MOST_OPEN),
        run_config=object_of(body, "run_config"),
    )


def _one_of(body: Mapping[str, Any], name: str, words: tuple[Any, ...]) -> Any:
    """A word of the body, the first of those there are by default."""
    word = text_of(body, name)
    if word is not None and word not in words:
        raise Problem(400, f"{name} is {shown(word)}; send {' or '.join(words)}")
    return word or words[0]


def _planned(plan: Plan) -> dict[str, Any]:
    return {
        "job": plan.asked.job,
        "covered": plan.covered,
        "total": len(plan.slices),
        "only": plan.asked.only,
        "order": plan.asked.order,
        "concurrency": plan.concurrency,
        "partitions": [one.key for one in plan.slices],
    }


class JobPartitions:
    """What became of a job's partitions."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def show(self, request: web.Request) -> web.Response:
        """A page of them, of time the newest first, and how many of all are in which state."""
        name = request.match_info["name"]
        page = read_page(request, ("state",), cursor=KEY)
        sliced = self._app.backfills.jobs.get(name)
        if sliced is None:
            raise no_job(self._app, name)
        try:
            definition = sliced.partitions()
        except Unsliceable as error:
            raise Problem(404, str(error)) from None
        now = self._app.clock.now()
        return answer(await self._app.database.read(lambda conn: _view(conn, sliced, definition, page, now)))


def _view(conn: Connection, sliced: Sliced, definition: Partitions, page: Page, now: datetime) -> dict[str, Any]:
    from rules.backfill import MISSING, history

    known = states(conn, sliced.job)
    slices = history(definition, known, now)
    never: State = (MISSING, None)
    counts = Counter(known.get(one.key, never)[0] for one in slices)
    wanted = page.filters.get("state")
    fits = (one for one in _behind(slices, page.after) if not wanted or known.get(one.key, never)[0] in wanted)
    found = list(islice(fits, page.limit + 1))
    items = [_item(one, known.get(one.key, never)) for one in found[: page.limit]]
    return {
        **_described(definition),
        "total": len(slices),
        "counts": {state: counts[state] for state in STATES},
        "items": items,
        "next": items[-1]["key"] if len(found) > page.limit else None,
    }


def _behind(slices: Sequence[Slice], key: str | None) -> Sequence[Slice]:
    """Those that come after the one of that key."""
    if key is None:
        return slices
    for place, one in enumerate(slices):
        if one.key == key:
            return slices[place + 1 :]
    raise Problem(400, f"after is {shown(key)}, which is no partition; give the `next` of the page before")


def _described(definition: Partitions) -> dict[str, Any]:
    from rules.partitions import StaticPartitions

    if isinstance(definition, StaticPartitions):
        return {"every": None, "timezone": None}
    return {"every": definition.every, "timezone": str(definition.zone)}


def _item(one: Slice, known: State) -> dict[str, Any]:
    state, run = known
    return {
        "key": one.key,
        "start": None if one.start is None else second(one.start),
        "end": None if one.end is None else second(one.end),
        "state": state,
        "run": run,
    }
