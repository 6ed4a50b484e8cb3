"""The processes of Python sensors: what ends them, what ends with them, when they are started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil

from sensord.sources.python_processes import Processes
from tests.sources.directory_kit import HandClock
from tests.sources.python_kit import HOUR, child_of, gone, lives, sensing, write


# Once there is a file `well` the sensor works.
async def test_a_process_killed_between_two_yields_keeps_the_first_and_yields_it_no_second_time(tmp_path: Path) -> None:
    code = """
        @sensor()
        def mine(context):
            yield RunRequest("first", run_config={"pid": os.getpid()})
            while not Path("gate").exists():
                time.sleep(0.001)
            context.update_cursor("done")
            yield RunRequest("second")
    """
    hand = HandClock()
    async with sensing(tmp_path, code, clock=hand.clock) as sensor:
        await sensor.ran(1)
        os.kill(child_of(sensor.taken[0].run_config), signal.SIGKILL)
        assert "SIGKILL" in await sensor.failed()
        assert sensor.cursor is None
        (tmp_path / "gate").touch()
        await hand.pass_(1)
        assert await sensor.ran(2) == ["first", "second"]
        await sensor.recovered()
        assert sensor.cursor == "done"
        assert sensor.outcomes == [("requested", "first"), ("duplicate", "first"), ("requested", "second")]


async def test_what_keeps_failing_is_started_ever_more_seldom(tmp_path: Path) -> None:
    code = "Path('starts').open('a').write('x')\nos._exit(1)"
    hand = HandClock()
    async with sensing(tmp_path, code, clock=hand.clock) as sensor:
        await sensor.failed()
        starts = []
        for _ in range(130):
            await hand.pass_(1)
            with anyio.fail_after(20):
                while len(hand._sleepers) < 1:
                    await anyio.lowlevel.checkpoint()
            starts.append((tmp_path / "starts").stat().st_size)
    assert [starts.index(count) + 1 for count in range(2, 8)] == [1, 3, 7, 15, 31, 63]
    assert starts[-1] == 8


async def test_what_a_sensor_starts_ends_with_it(tmp_path: Path) -> None:
    code = """
        import subprocess

        @sensor()
        def mine():
            started = subprocess.Popen(["sleep", "1000"])
            yield RunRequest("a", run_config={"pid": started.pid})
            os._exit(1)
    """
    async with sensing(tmp_path, code) as sensor:
        await sensor.ran(1)
        started = child_of(sensor.taken[0].run_config)
        await sensor.failed()
        await gone(started)


async def test_the_parent_of_all_processes_may_be_killed(tmp_path: Path) -> None:
    code = "@sensor()\ndef mine(): return RunRequest(run_config={'pid': os.getpid()})"
    hand = HandClock()
    async with sensing(tmp_path, code, clock=hand.clock) as sensor, Processes.shared() as processes:
        await sensor.looked(1)
        first = processes.server_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await gone(child_of(sensor.taken[0].run_config))
        await hand.pass_(HOUR)
        assert await sensor.failed() == "team.mine: the parent of its process ended; another one is started"
        await hand.pass_(1)
        await sensor.recovered()
        assert processes.server_pid != first


async def test_a_signal_to_all_processes_of_a_service_ends_the_daemon_alone(tmp_path: Path) -> None:
    code = """
        import subprocess

        @sensor()
        def mine():
            yield RunRequest("first", run_config={"pid": os.getpid()})
            while not Path("gate").exists():
                time.sleep(0.001)
            sleeper = subprocess.Popen(["sleep", "1000"])
            sleeper.terminate()
            yield RunRequest(f"second {sleeper.wait()}")
    """
    async with sensing(tmp_path, code) as sensor, Processes.shared() as processes:
        await sensor.ran(1)
        assert processes.server_pid is not None
        for pid in (processes.server_pid, child_of(sensor.taken[0].run_config)):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(pid, number)
        (tmp_path / "gate").touch()
        assert await sensor.ran(2) == ["first", "second -15"]


def test_nothing_outlives_a_daemon_that_is_killed(tmp_path: Path) -> None:
    code = """
        import signal

        @sensor()
        def mine():
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            Path("pids.new").write_text(f"{os.getpid()} {os.getppid()}")
            Path("pids.new").rename("pids")
            time.sleep(1000)
    """
    write(tmp_path, code)
    (tmp_path / "sensord.yaml").write_text(
        "http: {port: 0}\njobs: {job: {command: ['true']}}\n"
        "sensors: {mine: {job: job, python: {module: team, function: mine}}}\n"
    )
    command = [sys.executable, "-m", "sensord", "-c", str(tmp_path / "sensord.yaml"), "run"]
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until((tmp_path / "pids").exists, (tmp_path / "log").read_text)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert psutil.Process(pids[1]).ppid() == daemon.pid
    finally:
        daemon.kill()
        daemon.wait()
    wait_until(lambda: not any(map(lives, pids)))


def wait_until(condition: Callable[[], bool], said: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, said()
        os.sched_yield()
