"""Real daemons that die with a command of Slack's in hand."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from anyio.to_thread import run_sync

from tests.bench.figures import daemon
from tests.chat.slack_kit import ROLES, VIEWER, workspace
from tests.doubles.slack import running
from tests.sources.directory_kit import until


async def test_commands_are_carried_out_once_though_the_daemon_is_killed_in_the_midst(tmp_path: Path) -> None:
    await _killed(tmp_path, times=1)


@pytest.mark.campaign
async def test_commands_are_carried_out_once_though_the_daemon_is_killed_a_hundred_times(tmp_path: Path) -> None:
    await _killed(tmp_path, times=100)


async def _killed(folder: Path, times: int) -> None:
    """Real processes, killed at a random moment after a command; what they had not acknowledged comes again."""
    randomly = random.Random(7)
    async with running(workspace()) as double:
        config = f"slack: {{token: {double.token}, api_url: '{double.url}/api/', app_token: {double.people.app_token}}}"
        (folder / "sensord.yaml").write_text(f"{config}\nhttp: {{port: 0}}\nchat:{ROLES}")
        for number in range(times + 1):
            with ExitStack() as stack:
                pid, _ = await run_sync(stack.enter_context, daemon(folder))
                await until(lambda: bool(double.people.lines))
                await double.people.command(f"D{VIEWER[1:]}", f"subscribe bp.a{number}", user=VIEWER)
                if number < times:
                    for _ in range(randomly.randrange(300)):
                        await run_sync(os.sched_yield)
                    os.kill(pid, signal.SIGKILL)
                else:
                    await until(lambda: not double.people.waiting)
                await run_sync(stack.close)
            await until(lambda: not double.people.lines)
    found = _looked(folder, "SELECT topic FROM subscriptions WHERE ended_at IS NULL")
    assert sorted(found) == sorted(f"bp.a{number}" for number in range(times + 1))
    assert len(_looked(folder, "SELECT id FROM chat_answers")) == times + 1
    assert len(_looked(folder, "SELECT id FROM chat_acts")) == times + 1
    assert double.people.wrong == []


def _looked(folder: Path, query: str) -> list[str]:
    with closing(sqlite3.connect(folder / "sensord.db")) as connection:
        return [str(row[0]) for row in connection.execute(query)]
