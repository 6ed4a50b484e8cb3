"""A Dagster instance elsewhere: its runs that ended, or its assets' materialisations, asked for over GraphQL.

What is promised: every run that ends in a wanted way, and every materialisation of a wanted asset, is emitted once,
however much happened while either side was away: it is read window by window of Dagster's own time, in bounded pages,
and the cursor moves in the transaction that covers what was read. Dagster says of each thing when it happened by the
clock of the host that did it, and may show it only later: what it shows up to `overlap` late, by the clock of its web
server, is found; so `overlap` has to cover the longest that a write into its database takes and how far the clocks of
its hosts are behind that one. What cannot be promised: what is deleted or wiped before it was read is never seen; of a
run that changes its state again after its end only the state in which it is found; and all that is told of a thing
where Dagster itself cannot send it (text that is no UTF-8): then its run_config or its metadata is empty.

A new sensor begins now, by the clock of Dagster's web server, unless `since` says otherwise.

Templates see a run as `run`: `id job status tags run_config partition created_at started_at ended_at parent_run_id
root_run_id repository location url`; and a materialisation as `materialization`: `asset path partition run_id step at
metadata tags description url run_url`. Times are RFC 3339 in UTC. `metadata` maps labels to values; text longer than
10,000 characters is cut, longer JSON left out, and so are tables. `tags` are those that Dagster's page shows. A run
that Dagster did not launch from a code location (executed from its command line) has no `repository` and `location`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from notifiers.clock import EPOCH, SYSTEM, Clock
from notifiers.settings import Duration, Interval
from sensord.dagster_access import DagsterAccess
from sensord.sources import Source

if TYPE_CHECKING:
    from notifiers.database import Database

PAGE = 500
"""So many runs or materialisations are asked for at once."""

_OF_RUNS = ("jobs", "status", "repository", "location")

Status = Literal["SUCCESS", "FAILURE", "CANCELED"]


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _statuses(value: object) -> object:
    several = _several(value)
    return [one.upper() if isinstance(one, str) else one for one in several] if isinstance(several, list) else several


def _moment(value: object) -> object:
    """`now`, `beginning`, or a time; YAML makes times of texts by itself."""
    if value in ("now", "beginning"):
        return value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime):
        raise ValueError("write now, beginning, or a time such as 2026-01-31T06:00:00Z")  # noqa: TRY004 (for pydantic)
    if value.tzinfo is None:
        raise ValueError("the time needs a zone; write for example 2026-01-31T06:00:00Z")
    if value < EPOCH:
        raise ValueError("the time is before 1970; write beginning")
    return value.astimezone(UTC)


Globs_ = Annotated[list[str], BeforeValidator(_several, json_schema_input_type=str | list[str])]


class DagsterConfig(DagsterAccess):
    """The keys of `dagster:`. With `assets` it looks at materialisations, else at runs."""

    jobs: Globs_ = Field(default=["*"], min_length=1, description="globs of the jobs whose runs are looked at")
    status: Annotated[list[Status], BeforeValidator(_statuses, json_schema_input_type=Status | list[Status])] = Field(
        default=["SUCCESS"], min_length=1, description="how those runs ended"
    )
    repository: str | None = Field(default=None, description="only runs of this repository, as Dagster's page names it")
    location: str | None = Field(default=None, description="only runs of this code location")
    assets: Globs_ | None = Field(
        default=None, min_length=1, description="globs of asset keys, e.g. geo/houses or raw/*: materialisations"
    )
    since: Annotated[Literal["now", "beginning"] | datetime, BeforeValidator(_moment, json_schema_input_type=str)] = (
        Field(default="now", description="where a new sensor begins: now, beginning, or a time")
    )
    every: Interval = Field(default=2.0, description="how often Dagster is asked")
    overlap: Duration = Field(default=120.0, description="how late Dagster may show what happened")
    timeout: Interval = Field(default=30.0, description="how long an answer may take")

    @field_validator("jobs", "assets")
    @classmethod
    def _can_match(cls, value: list[str] | None) -> list[str] | None:
        for glob in value or ():
            if not glob or glob.startswith("/") or glob.endswith("/"):
                raise ValueError(f"{glob!r} matches nothing; write a name as Dagster's page shows it, e.g. geo/houses")
        return value

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        odd = [name for name in _OF_RUNS if name in self.model_fields_set]
        if self.assets is not None and odd:
            raise ValueError(f"{' and '.join(odd)} belong to runs, and assets to materialisations; make two sensors")
        return self


@asynccontextmanager
async def open_dagster(
    name: str, config: DagsterConfig, *, database: Database, clock: Clock = SYSTEM, page: int = PAGE
) -> AsyncIterator[Source]:
    """A Dagster sensor's source. Nothing is asked of any server before it runs.

    The `run_key` of a run is its id and state, `<run id>@SUCCESS`; that of a materialisation is its asset, partition,
    run and time, `geo/houses[riga]@<run id>@<milliseconds>`.
    """
    from sensord.sources.dagster_graphql import open_graph
    from sensord.sources.dagster_source import DagsterSource

    async with open_graph(config, clock) as graph:
        yield DagsterSource(name, config, graph, database=database, clock=clock, page=page)
