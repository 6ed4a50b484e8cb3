"""Materialisations of Dagster's assets, listed by when they happened.

Dagster lists them for one asset at a time. Which assets have new ones is seen by the number of each one's latest event,
which changes with every materialisation, also with one that Dagster shows late.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from notifiers.clock import from_us
from rules.event import rfc3339
from rules.globs import Globs
from rules.printable import printable
from rules.request import Sensed
from sensord.sources.dagster import DagsterConfig
from sensord.sources.dagster_graphql import BODY, Graph, Untellable
from sensord.sources.dagster_history import Happened, Page, mark_of
from sensord.sources.dagster_metadata import ENTRIES, metadata_of

log = logging.getLogger(__name__)

_ASSETS = """query ($known: [AssetKeyInput!]!, $times: Boolean!) {
  all: assetsOrError { __typename ... on AssetConnection { nodes { id } } ... on Error { message } }
  known: assetsOrError(assetKeys: $known) {
    __typename
    ... on AssetConnection { nodes {
      id latestEventSortKey latest: assetMaterializations(limit: 1) @include(if: $times) { timestamp }
    } }
    ... on Error { message }
  }
}"""
_EVENTS = """... on Asset {
  assetMaterializations(afterTimestampMillis: $after, beforeTimestampMillis: $before, limit: $limit) {
    runId timestamp partition stepKey %s
  }
}"""
_REST = f"description tags {{ key value }} {ENTRIES}"
_AT_ONCE = 25
"""Assets that one request asks for."""
_MANY = 4
"""Pages that are listed before anything is emitted."""


class Assets:
    """See `sensord.sources.dagster_history.History`."""

    def __init__(self, config: DagsterConfig, graph: Graph, limit: int) -> None:
        self.sure = 0
        self._config = config
        self._graph = graph
        self._limit = limit
        self._late = round(config.overlap * 1000)
        # With a slash in front, a glob that has none is matched against the whole key too.
        self._globs = Globs([f"/{glob}" for glob in config.assets or ()])
        self._wanted: dict[str, bool] = {}
        self._first = True
        # Of each wanted asset the number of its latest event: as it was at the last look, and as it is at this one.
        self._seen: dict[str, str | None] = {}
        self._now: dict[str, str | None] = {}
        self._changed: dict[str, int | None] = {}

    async def begin(self, after: int) -> bool:
        """Find the assets with new materialisations; at the first look, those with any after that moment."""
        data = await self._ask([one for one, wanted in self._wanted.items() if wanted])
        self.sure = self._graph.now
        new = self._match([node["id"] for node in data["all"]["nodes"]])
        if self._first:
            data = await self._ask([one for one, wanted in self._wanted.items() if wanted], times=True)
            self._changed = _with_any(data["known"]["nodes"], after - self._late)
        self._now = {node["id"]: node["latestEventSortKey"] for node in data["known"]["nodes"]}
        if not self._first:
            changed = [one for one, number in self._now.items() if number != self._seen.get(one)]
            self._changed = dict.fromkeys([*changed, *new])
        return bool(self._changed)

    async def _ask(self, known: Sequence[str], *, times: bool = False) -> Any:
        keys = [{"path": _path(one)} for one in known]
        data = await self._graph.ask(_ASSETS, {"known": keys, "times": times})
        for answer in data.values():
            if answer["__typename"] != "AssetConnection":
                raise self._graph.failed(str(answer.get("message", answer["__typename"])))
        return data

    def _match(self, all_: Sequence[str]) -> list[str]:
        """Take in which assets there are; those that are wanted and were not there before."""
        before = self._wanted
        self._wanted = {one: before[one] if one in before else self._matches(one) for one in all_}
        return [one for one, wanted in self._wanted.items() if wanted and one not in before]

    def _matches(self, asset: str) -> bool:
        return self._globs.match("/", "/".join(_path(asset)))

    async def page(self, after: int, before: int | None) -> Page:
        """Of all assets together; not whole as soon as it is more than `_MANY` pages, or a page of one asset."""
        things: list[Happened] = []
        whole, due, length = True, self._due(after), 0
        for start in range(0, len(due), _AT_ONCE):
            try:
                rows = await self._read(due[start : start + _AT_ONCE], after, before, limit=self._limit)
            except Untellable:
                whole = False
                break
            things += [thing for asset, found in rows for thing in _happened(asset, found, after)]
            length += self._graph.length
            small = len(things) < _MANY * self._limit and length < BODY
            whole = small and all(len(found) < self._limit for _, found in rows)
            if not whole:
                break
        return Page(things, whole, max((thing.at for thing in things), default=None))

    async def pages(self, after: int, before: int) -> AsyncIterator[Page]:
        """One asset after another, without a limit; without metadata where Dagster cannot tell that."""
        for asset in self._due(after):
            try:
                [(_, rows)] = await self._read([asset], after, before, limit=None)
            except Untellable:
                [(_, rows)] = await self._read([asset], after, before, limit=None, rest=False)
                log.warning("dagster.told_in_part", extra={"asset": asset})
            things = list(_happened(asset, rows, after))
            yield Page(things, whole=True, upto=max((thing.at for thing in things), default=None))

    def _due(self, after: int) -> list[str]:
        # The latest is the one that Dagster showed last; others may have happened as much after it as it was late.
        return [one for one, latest in self._changed.items() if latest is None or latest > after - self._late]

    async def _read(
        self, assets: Sequence[str], after: int, before: int | None, *, limit: int | None, rest: bool = True
    ) -> list[tuple[str, list[dict[str, Any]]]]:
        events = _EVENTS % (_REST if rest else "")
        names = ", ".join(f"$k{at}: AssetKeyInput!" for at in range(len(assets)))
        fields = "\n".join(f"a{at}: assetOrError(assetKey: $k{at}) {{ {events} }}" for at in range(len(assets)))
        variables: dict[str, Any] = {f"k{at}": {"path": _path(asset)} for at, asset in enumerate(assets)}
        # In milliseconds as text; what happened later within the millisecond `after` comes too.
        variables |= {"after": str(after), "before": None if before is None else str(before), "limit": limit}
        data = await self._graph.ask(
            f"query ($after: String, $before: String, $limit: Int, {names}) {{ {fields} }}", variables
        )
        return [(asset, data[f"a{at}"].get("assetMaterializations", [])) for at, asset in enumerate(assets)]

    async def sensed(self, things: Sequence[Happened]) -> list[tuple[Happened, Sensed]]:
        """All was told as it was listed."""
        return [(thing, self._sensed(thing, *thing.what)) for thing in things]

    def _sensed(self, thing: Happened, path: Sequence[str], row: Mapping[str, Any]) -> Sensed:
        asset, run = "/".join(path), row["runId"] or None
        page = "/".join(quote(part, safe="") for part in path)
        materialization = {
            "asset": asset,
            "path": list(path),
            "partition": row["partition"],
            "run_id": run,
            "step": row["stepKey"],
            "at": rfc3339(from_us(thing.at * 1000)),
            "metadata": metadata_of(row.get("metadataEntries", [])),
            "tags": {tag["key"]: tag["value"] for tag in row.get("tags", ())},
            "description": row.get("description"),
            "url": f"{self._config.url}/assets/{page}",
            "run_url": None if run is None else f"{self._config.url}/runs/{quote(run, safe='')}",
        }
        return Sensed(
            subject=printable(thing.key.encode("utf-8", "surrogateescape")),
            key=thing.key,
            at=from_us(thing.at * 1000),
            context={"materialization": materialization},
            mark=thing.mark,
            partition_key=row["partition"],
        )

    def end(self) -> None:
        """What was new is known."""
        self._first = False
        self._seen = self._now

    def why(self, subject: str) -> str | None:
        """Why a materialisation, or an asset, is left out."""
        asset = subject.partition("@")[0].partition("[")[0]
        if self._globs.match("/", asset):
            return None
        return f"{asset} is none of the assets {', '.join(self._config.assets or ())}"


def _with_any(nodes: Sequence[Mapping[str, Any]], after: int) -> dict[str, int | None]:
    """The assets that were materialised after that moment, and when they last were."""
    times = {node["id"]: int(node["latest"][0]["timestamp"]) for node in nodes if node["latest"]}
    return {asset: at for asset, at in times.items() if at > after}


def _path(asset: str) -> list[str]:
    """Dagster's id of an asset is the JSON text of its key."""
    path: list[str] = orjson.loads(asset)
    return path


def _happened(asset: str, rows: Sequence[Mapping[str, Any]], after: int) -> list[Happened]:
    """Oldest first, and numbered where one run tells the same twice within a millisecond."""
    path, told = _path(asset), Counter[str]()
    things = []
    for row in reversed(rows):
        at = int(row["timestamp"])
        partition = "" if row["partition"] is None else f"[{row['partition']}]"
        key = f"{'/'.join(path)}{partition}@{row['runId'] or '-'}@{at}"
        told[key] += 1
        if told[key] > 1:
            key = f"{key}#{told[key]}"
        if at > after:
            things.append(Happened(at, at, key, mark_of(key), (path, row)))
    return things
