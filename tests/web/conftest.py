from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sensord.ledger.database import LedgerDatabase, open_database
from tests.web.site import Site, open_site


@pytest.fixture
async def both(database: LedgerDatabase, tmp_path: Path) -> AsyncIterator[Site]:
    """A daemon, once on SQLite and once on PostgreSQL."""
    folder = tmp_path / "site"
    folder.mkdir()
    async with open_site(database, folder) as opened:
        yield opened


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A daemon on SQLite, for what has nothing to do with SQL."""
    async with open_database(f"sqlite:///{tmp_path / 'site.db'}") as database, open_site(database, tmp_path) as opened:
        yield opened
