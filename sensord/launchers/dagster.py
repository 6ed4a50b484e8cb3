"""Jobs that are a job of a Dagster instance, launched over GraphQL by its web server.

A run of ours is one run there: with its run_config, its tags, the partition that it is of (and, where run_config is
empty, the config and tags that Dagster itself has for that partition), and the tag `sensord/token`, by which it is
found where the answer of the launch was lost: Dagster takes no run id, so a launch is never simply made again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from notifiers.clock import Clock
from notifiers.settings import Interval, Secret, Settings
from sensord.templated import MappingTemplate

if TYPE_CHECKING:
    from sensord.launchers.dagster_jobs import DagsterJobs

_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset({"content-type", "content-length", "host", "accept-encoding"})


class DagsterTarget(Settings):
    """The keys of `dagster:`."""

    url: str = Field(description="the address of Dagster's page, e.g. http://localhost:3000")
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
    token: Secret | None = Field(default=None, description="a token of Dagster+")
    headers: dict[str, Secret] = Field(default_factory=dict, description="sent along, e.g. for a proxy before Dagster")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not _ADDRESS.fullmatch(value):
            raise ValueError("write the address of Dagster's page, http:// or https://, without a password in it")
        return value.rstrip("/").removesuffix("/graphql").rstrip("/")

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or name.lower() in _OURS:
                raise ValueError(f"header {name!r} cannot be set; write a name such as Authorization")
            if not re.fullmatch(r"[\t\x20-\x7e]*", value.get_secret_value()):
                raise ValueError(f"the value of header {name!r} may hold printable ASCII characters only")
        return headers

    def sent(self) -> dict[str, str]:
        """The headers that say who asks."""
        sent = {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.token is not None:
            sent["Dagster-Cloud-Api-Token"] = self.token.get_secret_value()
        return sent


class DagsterJobConfig(Settings):
    """The keys of a job that is one of Dagster's."""

    dagster: DagsterTarget


@asynccontextmanager
async def open_dagster_jobs(state: Path, *, clock: Clock) -> AsyncIterator[DagsterJobs]:
    """The connections of all jobs that are Dagster's. Nothing is asked before a launch."""
    from sensord.launchers.dagster_jobs import DagsterJobs, open_session

    async with open_session() as session:
        yield DagsterJobs(state, clock, session)
