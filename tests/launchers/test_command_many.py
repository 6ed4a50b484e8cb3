"""Many runs, and supervisors killed among them: nothing leaks, nothing is started twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import pytest

from notifiers.clock import SYSTEM
from sensord.launchers import Outcome
from sensord.launchers.command import CommandLauncher, open_commands
from sensord.launchers.command_journal import NAME, SLOT
from tests.launchers.command_kit import (
    NOTE,
    commands,
    job,
    new_run,
)


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def zombies(parents: set[int]) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if fields[0] == "Z" and int(fields[1]) in parents:
                found.append(int(entry.name))
    return found


async def many(launcher: CommandLauncher, count: int) -> None:
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            run = new_run()
            assert (await launcher.launch(run, lambda _at: None)).status == "succeeded"
            await launcher.forget(run)

    async with anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(work)


async def neither_zombies_nor_files_stay(state: Path, count: int) -> None:
    async with open_commands(state, clock=SYSTEM, linger=0.2) as opened:
        launcher = job(opened, "true")
        await many(launcher, 20)
        pids = {os.getpid(), opened.supervisor_pid}
        before = {pid: open_files(pid) for pid in pids}
        await many(launcher, count)
        assert {pid: open_files(pid) for pid in pids} == before
        assert zombies(pids) == []
        assert not opened.known
    assert (state / NAME).stat().st_size <= 3 * 1024 * SLOT


async def test_two_hundred_runs_leave_no_zombie_and_no_open_file(tmp_path: Path) -> None:
    await neither_zombies_nor_files_stay(tmp_path / "state", 200)


@pytest.mark.campaign
async def test_leaks_of_five_thousand_runs(tmp_path: Path) -> None:
    """`pytest -m campaign -k leaks -s`: the same with 5,000 runs, so that the journal is rewritten as well."""
    await neither_zombies_nor_files_stay(tmp_path / "state", 5000)


async def killing_its_supervisors(folder: Path, count: int, kills: int) -> dict[str, int]:
    """Kill supervisor after supervisor amid the runs; return how many ended in which way."""
    effects = folder / "effects"
    effects.touch()
    outcomes: dict[str, tuple[int, Outcome]] = {}
    async with commands(folder / "state") as opened:

        async def one(number: int) -> None:
            code = number % 4
            launcher = job(opened, "sh", "-c", NOTE, "sh", str(effects), str(code))
            run = new_run()
            outcomes[run.token] = code, await launcher.launch(run, lambda _at: None)

        async def kill() -> None:
            for number in range(1, kills + 1):
                while len(outcomes) < count * number // (kills + 1):
                    await anyio.lowlevel.checkpoint()
                os.kill(opened.supervisor_pid, signal.SIGKILL)

        with anyio.fail_after(240):
            async with anyio.create_task_group() as group:
                group.start_soon(kill)
                for number in range(count):
                    group.start_soon(one, number)
    assert len(outcomes) == count
    done = [line.split() for line in effects.read_text().splitlines()]
    assert len({token for token, _ in done}) == len(done), "an attempt was started twice"
    for token, (code, outcome) in outcomes.items():
        if outcome.status != "lost":
            assert outcome.metadata["exit_code"] == code, token
            assert [token, str(code)] in done, token
    statuses = [outcome.status for _, outcome in outcomes.values()]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


async def test_killed_supervisors_start_nothing_twice_and_tell_no_untrue_end(tmp_path: Path) -> None:
    counted = await killing_its_supervisors(tmp_path, 80, 2)
    assert counted["succeeded"] + counted["failed"] >= 40


@pytest.mark.campaign
async def test_supervisors_killed_amid_a_thousand(tmp_path: Path) -> None:
    """`pytest -m campaign -k supervisors_killed -s`: 1,000 runs, 20 supervisors killed among them."""
    print(await killing_its_supervisors(tmp_path, 1000, 20), flush=True)
