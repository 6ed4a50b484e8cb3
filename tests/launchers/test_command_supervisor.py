"""The supervisor under everything that can happen to it: kills, restarts, damage."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from sensord.launchers import Run
from sensord.launchers.command import CommandLauncher
from sensord.launchers.command_journal import NAME, SLOT, Journal, Record
from sensord.launchers.command_process import boot_id
from tests.launchers.command_kit import (
    adopted,
    commands,
    ended,
    gate,
    gone,
    job,
    launched,
    left_running,
    new_run,
    open_gate,
    pid_of,
)

# Since Linux 6.15 a pidfd tells the exit code of a process that is not our child.
TELLS = tuple(int(part) for part in platform.release().split(".")[:2]) >= (6, 15)


async def test_it_ends_by_itself_and_what_ended_meanwhile_is_told_to_the_next_daemon(tmp_path: Path) -> None:
    state, run, through = tmp_path / "state", new_run(), gate(tmp_path)
    pid = await left_running(state, run, "sh", "-c", f"read x < {through}; exit 9")
    await open_gate(through)
    await gone(pid)
    async with commands(state) as opened:
        assert opened.supervisor_pid != pid
        assert opened.known == {run.token}
        assert (await adopted(opened, run)).error == "exit code 9"
        opened.forget_all_but([])
        assert not opened.known
    async with commands(state) as opened:
        assert not opened.known


@pytest.mark.parametrize("code", [0, 3])
async def test_a_job_whose_supervisor_was_killed_is_followed_to_an_end_that_is_true_or_lost(
    tmp_path: Path, code: int
) -> None:
    through = gate(tmp_path)
    async with commands(tmp_path / "state") as opened:
        launcher, run = job(opened, "sh", "-c", f"read x < {through}; exit {code}"), new_run()
        async with launched(launcher, run) as outcomes:
            before = opened.supervisor_pid
            os.kill(before, signal.SIGKILL)
            assert (await ended(job(opened, "true"), new_run())).status == "succeeded", "new launches go on"
            assert opened.supervisor_pid != before
            await open_gate(through)
    true = ("succeeded", "") if code == 0 else ("failed", "exit code 3")
    lost = ("lost", "the supervisor was killed; the exit code is unknown")
    assert (outcomes[0].status, outcomes[0].error) in ({true} if TELLS else {true, lost})


async def test_a_job_that_ended_while_no_supervisor_lived_is_lost_and_never_a_success(tmp_path: Path) -> None:
    state, run, through = tmp_path / "state", new_run(), gate(tmp_path)
    supervisor = await left_running(state, run, "sh", "-c", f"read x < {through}")
    child = pid_of(run.token)
    os.kill(supervisor, signal.SIGKILL)
    await gone(supervisor)
    await open_gate(through)
    await gone(child)
    with anyio.fail_after(20):
        while await anyio.Path(f"/proc/{child}").exists():  # Until init has reaped it.
            await anyio.lowlevel.checkpoint()
    async with commands(state) as opened:
        outcome = await adopted(opened, run)
    assert (outcome.status, outcome.error) == ("lost", "the supervisor was killed; the exit code is unknown")
    assert "exit_code" not in outcome.metadata


async def test_a_timeout_holds_across_a_killed_supervisor(tmp_path: Path) -> None:
    async with commands(tmp_path / "state") as opened:
        launcher = job(opened, "sleep", "60", timeout=1.0)
        async with launched(launcher, new_run()) as outcomes:
            os.kill(opened.supervisor_pid, signal.SIGKILL)
    assert (outcomes[0].status, outcomes[0].error) == ("failed", "timed out after 1s")


async def test_a_timeout_holds_while_no_daemon_lives(tmp_path: Path) -> None:
    state, run = tmp_path / "state", new_run()
    supervisor = await left_running(state, run, "sleep", "60", limit=0.3)
    await gone(supervisor)
    async with commands(state) as opened:
        outcome = await job(opened, "sleep", "60", timeout=0.3).adopt(run, lambda _at: None)
    assert outcome is not None
    assert (outcome.status, outcome.error) == ("failed", "timed out after 300ms")


async def test_a_cancellation_reaches_a_job_whose_supervisor_was_killed(tmp_path: Path) -> None:
    async with commands(tmp_path / "state") as opened:
        launcher, run = job(opened, "sleep", "60"), new_run()
        async with launched(launcher, run) as outcomes:
            os.kill(opened.supervisor_pid, signal.SIGKILL)
            await launcher.cancel(run)
    assert outcomes[0].status == "cancelled"


def planted(state: Path, since: tuple[int, int] = (1, 2), **fields: object) -> Record:
    """A journal that holds one attempt as an earlier supervisor left it; its pid is this very process.

    `since` are the ticks between which it is said to have started: none of them is when this process did.
    """
    state.mkdir()
    run = new_run()
    start = {"day": f"{run.requested_at:%Y-%m-%d}", "boot": boot_id(), "batch": 0, "due": None, "grace": 1.0}
    record = Record({"token": run.token, "limit": 1 << 20} | start | fields)
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        journal = Journal(folder, boot_id())
        journal.begin([record])
        journal.starting(record)
        record.pid, record.since, record.started = os.getpid(), [*since], 1_000_000
        journal.started(record)
        journal.sync()
    finally:
        os.close(folder)
    return record


def run_of(record: Record) -> Run:
    return replace(new_run(), id=record.token.partition(".")[0])


async def test_after_a_restart_of_the_machine_what_ran_is_lost(tmp_path: Path) -> None:
    record = planted(tmp_path / "state", (0, 1 << 40), boot="another-boot")  # Its pid lives, and its ticks fit.
    async with commands(tmp_path / "state") as opened:
        outcome = await adopted(opened, run_of(record))
    assert (outcome.status, outcome.error) == ("lost", "the machine restarted while it ran")


async def test_a_pid_that_became_another_process_is_neither_followed_nor_ended(tmp_path: Path) -> None:
    record = planted(tmp_path / "state", due=0.0)  # It would be ended at once.
    async with commands(tmp_path / "state") as opened:
        outcome = await adopted(opened, run_of(record))
    assert outcome.status == "lost"


async def test_a_process_whose_pid_was_never_written_down_is_found_by_its_environment(tmp_path: Path) -> None:
    record = planted(tmp_path / "state")
    run_id, _, attempt = record.token.partition(".")
    path = tmp_path / "state" / NAME
    with path.open("r+b") as file:
        file.seek(record.slot * SLOT + 384)
        file.write(bytes(128))
    env = {"SENSORD_RUN_ID": run_id, "SENSORD_ATTEMPT": attempt}
    orphan = subprocess.Popen(["/bin/sleep", "60"], env=env, start_new_session=True)  # noqa: ASYNC220
    try:
        async with commands(tmp_path / "state") as opened:
            await job(opened, "sleep").cancel(run_of(record))
            assert (await adopted(opened, run_of(record))).status == "cancelled"
        assert orphan.wait(10) == -signal.SIGTERM
    finally:
        orphan.kill()


async def test_after_damage_an_attempt_of_that_time_is_lost_and_new_ones_go_on(tmp_path: Path) -> None:
    state, early = tmp_path / "state", new_run()
    planted(state)
    with (state / NAME).open("r+b") as file:
        file.seek(SLOT + 30)
        file.write(b"###")
    async with commands(state) as opened:
        outcome = await adopted(opened, early)
        assert outcome.status == "lost"
        assert "damaged" in outcome.error
        late = new_run()
        assert await job(opened, "true").adopt(late, lambda _at: None) is None
        assert (await ended(job(opened, "true"), late)).status == "succeeded"
    assert list(state.glob(f"{NAME}.damaged-*"))


async def test_what_a_job_leaves_behind_is_left_alone_unless_it_was_cancelled(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {note}"

    async def leave(ending: str, act: Callable[[CommandLauncher, Run], object] | None) -> tuple[str, int]:
        async with commands(tmp_path / ending) as opened:
            through = gate(tmp_path)
            launcher, run = job(opened, "sh", "-c", f"{script}; read x < {through}"), new_run()
            async with launched(launcher, run) as outcomes:
                with anyio.fail_after(10):
                    while not (note.exists() and note.read_text().strip()):
                        await anyio.lowlevel.checkpoint()
                if act is None:
                    await open_gate(through)
                else:
                    await launcher.cancel(run)
            return outcomes[0].status, int(note.read_text())

    status, left = await leave("succeeded", None)
    try:
        assert status == "succeeded"
        os.kill(left, 0)
    finally:
        os.kill(left, signal.SIGKILL)
    note.unlink()
    status, ended_too = await leave("cancelled", CommandLauncher.cancel)
    assert status == "cancelled"
    await gone(ended_too)
