"""A supervisor that comes up while the daemon is still being loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensord.launchers import command_link
from sensord.launchers.command_starting import LINGER, SOCKET, start_supervisor, starting_beside, supervisor_argv
from tests.launchers.command_kit import commands, ended, job, new_run


async def test_whoever_opens_the_commands_afterwards_finds_it_and_starts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / ("deep" * 50) / "state"  # Longer than the path of a socket may be.
    with starting_beside(state):
        pass

    async def another(*_: object) -> bool:
        pytest.fail("a second one was started")

    monkeypatch.setattr(command_link, "start_supervisor", another)
    async with commands(state) as opened:
        assert (await ended(job(opened, "true"), new_run())).status == "succeeded"


async def test_none_is_started_where_one_listens(tmp_path: Path) -> None:
    async with commands(tmp_path) as opened:
        before = (tmp_path / SOCKET).stat().st_ino
        with starting_beside(tmp_path):
            pass
        assert (tmp_path / SOCKET).stat().st_ino == before
        assert (await ended(job(opened, "true"), new_run())).status == "succeeded"
        assert not await start_supervisor(supervisor_argv(tmp_path, LINGER), {})


def test_where_none_can_be_started_the_loading_goes_on(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    loaded = False
    with starting_beside(tmp_path / "state"):
        loaded = True
    assert loaded
