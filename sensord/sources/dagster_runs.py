"""Dagster's runs that ended, listed by when they were last written to.

Dagster lists runs by when they were created; a filter on their last change, which a run's end is, finds those that
began long ago. Tags that are added later change a run too: then it is listed again, under the same key.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from notifiers.clock import from_us
from rules.event import rfc3339
from rules.globs import Globs
from rules.request import Sensed
from sensord.sources.dagster import DagsterConfig
from sensord.sources.dagster_graphql import Graph, Untellable
from sensord.sources.dagster_history import Happened, Page, mark_of

log = logging.getLogger(__name__)

_LISTED = """query ($filter: RunsFilter!, $cursor: String, $limit: Int!) {
  runs: runsOrError(filter: $filter, cursor: $cursor, limit: $limit) {
    __typename
    ... on Runs { results {
      id status jobName updateTime endTime repositoryOrigin { repositoryName repositoryLocationName }
    } }
    ... on Error { message }
  }
}"""
_TOLD = """query ($filter: RunsFilter!, $limit: Int!, $config: Boolean!) {
  runs: runsOrError(filter: $filter, limit: $limit) {
    __typename
    ... on Runs { results {
      id status jobName creationTime startTime endTime updateTime parentRunId rootRunId
      runConfig @include(if: $config) tags { key value }
      repositoryOrigin { repositoryName repositoryLocationName }
    } }
    ... on Error { message }
  }
}"""
_COUNTED = """query ($filter: RunsFilter!) {
  runs: runsOrError(filter: $filter) { __typename ... on Runs { count } ... on Error { message } }
}"""
_EXISTS = "query ($id: ID!) { run: runOrError(runId: $id) { __typename } }"
_UUID = re.compile(r"(?:.*/runs/)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PARTITION = "dagster/partition"
_MANY = 40
"""Pages that are listed before anything is emitted: a run is 300 bytes there."""
_REMEMBERED = 1000


class Runs:
    """See `sensord.sources.dagster_history.History`."""

    def __init__(self, config: DagsterConfig, graph: Graph, limit: int) -> None:
        self.sure = 0
        self._config = config
        self._graph = graph
        self._limit = limit
        self._globs = Globs(config.jobs)
        self._unwanted: dict[str, str] = {}

    async def begin(self, after: int) -> bool:
        """Whether anything happened is only seen by listing."""
        del after
        return True

    async def page(self, after: int, before: int | None) -> Page:
        """All of that span; of more than `_MANY` pages the first one, which goes back in the order of creation."""
        things: list[Happened] = []
        upto: int | None = None
        async for page in self.pages(after, before):
            if upto is None and not page.whole and await self._count(after, before) > _MANY * self._limit:
                return page
            things += page.things
            upto = max(upto or 0, page.upto or 0)
        return Page(things, whole=True, upto=upto)

    async def pages(self, after: int, before: int | None) -> AsyncIterator[Page]:
        """Each page begins behind the last run of the one before it; where that was deleted, all is listed again."""
        last: str | None = None
        while True:
            rows = await self._listed(after, before, last)
            if not rows and last is not None and not await self._exists(last):
                last = None
                continue
            yield self._page(rows, whole=len(rows) < self._limit)
            if len(rows) < self._limit:
                return
            last = rows[-1]["id"]

    async def _listed(self, after: int, before: int | None, cursor: str | None) -> list[dict[str, Any]]:
        variables = {"filter": self._filter(after, before), "cursor": cursor, "limit": self._limit}
        data = await self._graph.ask(_LISTED, variables)
        if cursor is None:
            # What ends while later pages are asked for may be missing from those before.
            self.sure = self._graph.now
        rows: list[dict[str, Any]] = self._runs(data)["results"]
        return rows

    async def _count(self, after: int, before: int | None) -> int:
        data = await self._graph.ask(_COUNTED, {"filter": self._filter(after, before)})
        return int(self._runs(data)["count"])

    def _filter(self, after: int, before: int | None) -> dict[str, Any]:
        # The end of that millisecond: Dagster keeps microseconds, and leaves out the moment itself.
        wanted: dict[str, Any] = {"statuses": self._config.status, "updatedAfter": (after * 1000 + 999) / 1e6}
        if before is not None:
            wanted["updatedBefore"] = before / 1e3
        if len(self._config.jobs) == 1 and not set("*?[") & set(self._config.jobs[0]):
            wanted["pipelineName"] = self._config.jobs[0]
        return wanted

    def _runs(self, data: Any) -> Any:
        if data["runs"]["__typename"] != "Runs":
            raise self._graph.failed(str(data["runs"].get("message", data["runs"]["__typename"])))
        return data["runs"]

    async def _exists(self, run: str) -> bool:
        data = await self._graph.ask(_EXISTS, {"id": run})
        return bool(data["run"]["__typename"] == "Run")

    def _page(self, rows: Sequence[Mapping[str, Any]], *, whole: bool) -> Page:
        things = [_happened(row) for row in rows if self._wanted(row)]
        return Page(things, whole, max((_ms(row["updateTime"]) for row in rows), default=None))

    def _wanted(self, row: Mapping[str, Any]) -> bool:
        reason = self._unwanted_because(row)
        if reason is not None:
            self._unwanted[row["id"]] = reason
            if len(self._unwanted) > _REMEMBERED:
                del self._unwanted[next(iter(self._unwanted))]
        return reason is None

    def _unwanted_because(self, row: Mapping[str, Any]) -> str | None:
        if not self._globs.match("", row["jobName"]):
            return f"its job {row['jobName']} is none of {', '.join(self._config.jobs)}"
        origin = row["repositoryOrigin"] or {}
        for wanted, found in (
            (self._config.repository, origin.get("repositoryName")),
            (self._config.location, origin.get("repositoryLocationName")),
        ):
            if wanted is not None and found != wanted:
                return f"it is of {found or 'no repository that Dagster knows of'}, not of {wanted}"
        return None

    async def sensed(self, things: Sequence[Happened]) -> list[tuple[Happened, Sensed]]:
        """Runs that were deleted meanwhile, or changed, are left out: those are listed again."""
        told = {row["id"]: row for row in await self._told([thing.what for thing in things])}
        rows = ((thing, told.get(thing.what)) for thing in things)
        return [(thing, self._sensed(thing, row)) for thing, row in rows if row is not None and _key(row) == thing.key]

    async def _told(self, runs: Sequence[str]) -> list[dict[str, Any]]:
        """All about these runs; of one that Dagster cannot tell all of, all but its run_config."""
        try:
            return await self._details(runs)
        except Untellable:
            if len(runs) == 1:
                log.warning("dagster.told_in_part", extra={"run": runs[0]})
                return await self._details(runs, config=False)
        half = len(runs) // 2
        return await self._told(runs[:half]) + await self._told(runs[half:])

    async def _details(self, runs: Sequence[str], *, config: bool = True) -> list[dict[str, Any]]:
        wanted = {"runIds": list(runs), "statuses": self._config.status}
        data = await self._graph.ask(_TOLD, {"filter": wanted, "limit": len(runs), "config": config})
        rows: list[dict[str, Any]] = self._runs(data)["results"]
        return rows

    def _sensed(self, thing: Happened, row: Mapping[str, Any]) -> Sensed:
        tags = {tag["key"]: tag["value"] for tag in row["tags"]}
        origin = row["repositoryOrigin"] or {}
        run = {
            "id": row["id"],
            "job": row["jobName"],
            "status": row["status"],
            "tags": tags,
            "run_config": row.get("runConfig") or {},
            "partition": tags.get(_PARTITION),
            "created_at": _text(row["creationTime"]),
            "started_at": _text(row["startTime"]),
            "ended_at": _text(row["endTime"]),
            "parent_run_id": row["parentRunId"],
            "root_run_id": row["rootRunId"],
            "repository": origin.get("repositoryName"),
            "location": origin.get("repositoryLocationName"),
            "url": f"{self._config.url}/runs/{quote(row['id'], safe='')}",
        }
        return Sensed(
            subject=row["id"],
            key=thing.key,
            at=from_us(thing.began * 1000),
            context={"run": run},
            mark=thing.mark,
            partition_key=tags.get(_PARTITION),
        )

    def end(self) -> None:
        """Nothing is kept from one look to the next."""

    def why(self, subject: str) -> str | None:
        """Why a run was left out, if it is among the last that were; `subject` is its id, or its page."""
        if not _UUID.fullmatch(subject):
            return f"it is no run of Dagster at {self._config.url}"
        return self._unwanted.get(subject.rpartition("/")[2])


def _happened(row: Mapping[str, Any]) -> Happened:
    key, at = _key(row), _ms(row["updateTime"])
    began = at if row["endTime"] is None else _ms(row["endTime"])
    return Happened(at, began, key, mark_of(key), row["id"])


def _key(row: Mapping[str, Any]) -> str:
    return f"{row['id']}@{row['status']}"


def _ms(seconds: float) -> int:
    return round(seconds * 1e6) // 1000


def _text(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(from_us(round(seconds * 1e6)))
