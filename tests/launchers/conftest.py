"""Commands, open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sensord.launchers.command import Commands
from tests.launchers.command_kit import commands


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Commands]:
    async with commands(tmp_path / "state") as one:
        yield one
