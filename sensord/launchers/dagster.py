"""Jobs that are a job of a Dagster instance, launched over GraphQL by its web server.

A run of ours is one run there: with its run_config, its tags, the partition that it is of (and, where run_config is
empty, the config and tags that Dagster itself has for that partition), and the tag `sensord/token`, by which it is
found where the answer of the launch was lost: Dagster takes no run id, so a launch is never simply made again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from notifiers.clock import Clock
from notifiers.settings import Interval, Settings
from sensord.dagster_access import DagsterAccess
from sensord.templated import MappingTemplate

if TYPE_CHECKING:
    from sensord.launchers.dagster_jobs import DagsterJobs


class DagsterTarget(DagsterAccess):
    """The keys of `dagster:`."""

    job: str = Field(min_length=1, description="the job's name there")
    repository: str | None = Field(default=None, description="default: the one repository that has such a job")
    location: str | None = Field(default=None, description="the code location, where several have such a job")
    run_config: MappingTemplate = Field(
        default="{{ run.config }}", description="Dagster's run config; its texts are templates over run"
    )
    every: Interval = Field(default=2.0, description="how often it is asked, at most")
    timeout: Interval = Field(default=60.0, description="how long an answer may take")
    within: Interval = Field(default=60.0, description="how long a run is looked for whose launch was not answered")
    absent: Literal["lost", "start"] = Field(
        default="lost", description="what becomes of one that is not found by then; start: it is launched (again)"
    )


class DagsterJobConfig(Settings):
    """The keys of a job that is one of Dagster's."""

    dagster: DagsterTarget


@asynccontextmanager
async def open_dagster_jobs(state: Path, *, clock: Clock) -> AsyncIterator[DagsterJobs]:
    """The connections of all jobs that are Dagster's. Nothing is asked before a launch."""
    from sensord.launchers.dagster_jobs import DagsterJobs, open_session

    async with open_session() as session:
        yield DagsterJobs(state, clock, session)
