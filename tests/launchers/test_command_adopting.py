"""A daemon that ends or is killed leaves its jobs running; the next one finds each with its true end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from tests.launchers.command_kit import (
    NOTE,
    adopted,
    commands,
    gate,
    job,
    left_running,
    new_run,
    open_gate,
)


async def test_a_job_outlives_its_daemon_and_is_adopted_with_its_true_end(tmp_path: Path) -> None:
    through, run = gate(tmp_path), new_run()
    argv = ("sh", "-c", f"read x < {through}; exit 7")
    supervisor = await left_running(tmp_path / "state", run, *argv)
    async with commands(tmp_path / "state") as opened:
        assert opened.supervisor_pid == supervisor, "it outlives the daemon as well"
        assert await job(opened, *argv).adopt(new_run(), lambda _at: None) is None, "never started"
        await open_gate(through)
        outcome = await adopted(opened, run)
        assert (outcome.status, outcome.error) == ("failed", "exit code 7")


# A daemon that starts runs whose tokens it has noted, as the ledger does, until it is killed.
DRIVER = """
import sys, anyio
from pathlib import Path
from tests.launchers.command_kit import NOTE, commands, job, new_run
state, noted, effects, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
async def main():
    async with commands(state) as opened, anyio.create_task_group() as group:
        with noted.open("a") as file:
            for number in range(count):
                run = new_run()
                print(run.id, number % 8, run.requested_at.isoformat(), file=file, flush=True)
                launcher = job(opened, "sh", "-c", NOTE, "sh", effects, str(number % 8))
                group.start_soon(launcher.launch, run, lambda at: None)
                if number % 16 == 0:
                    await anyio.sleep(0)
        print("all asked for", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


async def killed_and_adopted(folder: Path, count: int, when: Callable[[Path], bool]) -> None:
    """Kill a daemon while `count` runs start and end; a new one finds each with its true exit code, or unstarted."""
    state, noted, effects = folder / "state", folder / "noted", folder / "effects"
    effects.touch()
    noted.touch()
    words = [sys.executable, "-c", DRIVER, str(state), str(noted), str(effects), str(count)]
    driver = subprocess.Popen(  # noqa: ASYNC220 - it shall be killed, and nothing waits for it
        words, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2]
    )
    with anyio.fail_after(120):
        while not when(effects):
            await anyio.lowlevel.checkpoint()
    driver.kill()
    driver.wait()
    runs = []
    for line in noted.read_text().splitlines():
        run_id, code, at = line.split()
        runs.append((replace(new_run(), id=run_id, requested_at=datetime.fromisoformat(at)), int(code)))
    assert runs
    async with commands(state) as opened:
        for run, ending in runs:
            launcher = job(opened, "sh", "-c", NOTE, "sh", str(effects), str(ending))
            with anyio.fail_after(60):
                outcome = await launcher.adopt(run, lambda _at: None) or await launcher.launch(run, lambda _at: None)
            expected = ("succeeded", "") if ending == 0 else ("failed", f"exit code {ending}")
            assert (outcome.status, outcome.error) == expected, run.token
            await launcher.forget(run)
    done = sorted(effects.read_text().split("\n")[:-1])
    assert done == sorted(f"{run.token} {ending}" for run, ending in runs)


def has_grown(wanted: int, effects: Path) -> bool:
    return effects.stat().st_size >= wanted


async def test_a_daemon_killed_amid_a_hundred_runs_finds_all_again_and_starts_none_twice(tmp_path: Path) -> None:
    await killed_and_adopted(tmp_path, 100, partial(has_grown, 1000))


@pytest.mark.campaign
async def test_adopt_a_thousand(tmp_path: Path) -> None:
    """`pytest -m campaign -k adopt -s`: the same with 1,000 runs, killed at five places."""
    for number, share in enumerate((0.02, 0.2, 0.5, 0.8, 1.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        wanted = int(share * 39 * 1000)
        await killed_and_adopted(folder, 1000, partial(has_grown, wanted))
        print(f"killed after {share:.0%} of 1,000 runs: all adopted with their true exit codes, none twice", flush=True)
