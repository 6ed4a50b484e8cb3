"""Real daemons that die with a command of Slack's in hand."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync

from notifiers.chat.floods import ANSWERS
from tests.bench.figures import daemon
from tests.chat.slack_kit import OWNER, ROLES, VIEWER, workspace
from tests.doubles.slack import running
from tests.sources.directory_kit import until

FAILING = """
jobs:
  load:
    command: [sh, -c, "exit 3"]
    config_schema: {type: object, properties: {path: {type: string}}, required: [path]}
"""


async def test_commands_are_carried_out_once_though_the_daemon_is_killed_in_the_midst(tmp_path: Path) -> None:
    await _killed(tmp_path, times=1)


@pytest.mark.campaign
async def test_commands_are_carried_out_once_though_the_daemon_is_killed_a_hundred_times(tmp_path: Path) -> None:
    await _killed(tmp_path, times=100)


async def test_a_form_and_a_press_are_one_run_each_though_the_daemon_is_killed_in_the_midst(tmp_path: Path) -> None:
    await _killed_at_forms(tmp_path, times=1)


@pytest.mark.campaign
async def test_forms_and_presses_are_one_run_each_though_the_daemon_is_killed_forty_times(tmp_path: Path) -> None:
    await _killed_at_forms(tmp_path, times=40)


async def _killed_at_forms(folder: Path, times: int) -> None:
    """In each life somebody sends a form, and has the failed run repeated that came of the form before."""
    randomly = random.Random(11)
    async with running(workspace()) as double:
        people, doing, mine = double.people, double.people.doing, f"D{OWNER[1:]}"
        config = f"slack: {{token: {double.token}, api_url: '{double.url}/api/', app_token: {people.app_token}}}"
        told = f"subscriptions: [{{topic: runs.load.failed, to: 'slack:{OWNER}'}}]\nbursts: send"
        (folder / "sensord.yaml").write_text(f"{config}\nhttp: {{port: 0}}\nchat:{ROLES}{told}\n{FAILING}")

        def failures() -> list[dict[str, Any]]:
            return [one for one in double.committed if "Re-run" in doing.buttons(one)]

        for number in range(times + 1):
            with ExitStack() as stack:
                pid, _ = await run_sync(stack.enter_context, daemon(folder))
                await until(lambda: bool(people.lines) and not people.waiting)
                await people.command(mine, "run load", user=OWNER)
                await until(lambda number=number: len(doing.opened) > number)  # type: ignore[misc]
                await doing.send(doing.opened[-1][1]["id"], {"path": f"{number}"}, user=OWNER)
                if number:
                    await until(lambda: bool(failures()))
                    await people.press(failures()[0], "Re-run", user=OWNER)
                if number < times:
                    for _ in range(randomly.randrange(300)):
                        await run_sync(os.sched_yield)
                    os.kill(pid, signal.SIGKILL)
                else:
                    await until(lambda: not people.waiting)
                await run_sync(stack.close)
            await until(lambda: not people.lines)
    paths = sorted(str(json.loads(config)["path"]) for config in _looked(folder, "SELECT run_config FROM runs"))
    again = [path for path in {*paths} if paths.count(path) > 1]
    assert {*paths} == {str(number) for number in range(times + 1)}
    assert len(_looked(folder, "SELECT id FROM chat_acts WHERE act = 'run'")) == times + 1
    repeated = len(_looked(folder, "SELECT id FROM chat_acts WHERE act = 'rerun'"))
    assert len(paths) == times + 1 + repeated
    assert repeated >= len(again) >= (1 if times else 0)
    assert people.wrong == []


async def _killed(folder: Path, times: int) -> None:
    """Real processes, killed at a random moment after a command; what they had not acknowledged comes again."""
    randomly = random.Random(7)
    async with running(workspace()) as double:
        config = f"slack: {{token: {double.token}, api_url: '{double.url}/api/', app_token: {double.people.app_token}}}"
        (folder / "sensord.yaml").write_text(f"{config}\nhttp: {{port: 0}}\nchat:{ROLES}")
        for number in range(times + 1):
            # With one more it would be more at once than a chat is answered in a minute.
            many = len(double.people.waiting) >= ANSWERS - 1
            with ExitStack() as stack:
                pid, _ = await run_sync(stack.enter_context, daemon(folder))
                await until(lambda: bool(double.people.lines))
                if many:
                    await until(lambda: not double.people.waiting)
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
