"""Fixtures of the sources' tests: servers that take seconds to start, once for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.sources.conformance_kit import Entry, Server, Time, World
from tests.sources.dagster_kit import Dagster, instance
from tests.sources.s3_kit import moto, rclone


@pytest.fixture(scope="session")
def dagster() -> Iterator[Dagster]:
    """One Dagster for all: tests keep out of each other's way by the names of their jobs and assets."""
    with instance() as running:
        yield running


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server; the folders in its own are its buckets."""
    folder = tmp_path_factory.mktemp("buckets")
    with rclone(folder) as url:
        yield Server(url, folder)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Server]:
    """Many of Amazon's interfaces."""
    with moto() as url:
        yield Server(url)


@pytest.fixture
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """One source and its outside; parametrised by `conformance_entries.of_each`."""
    entry: Entry = request.param
    time, server = Time(), request.getfixturevalue(entry.server) if entry.server else None
    async with entry.open(tmp_path, time, server) as outside:
        yield World(tmp_path, entry, outside, time)
