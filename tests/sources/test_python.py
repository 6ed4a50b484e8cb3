"""Python sensors that work: what they yield is run, once, as it is yielded."""

from __future__ import annotations

import json
import logging
import os
import re
import textwrap
import types
from pathlib import Path
from typing import Any

import anyio
import pytest

from rules.request import RunRequest
from sensord.sources.python_evaluation import line_of
from tests.sources.directory_kit import HandClock
from tests.sources.python_kit import HOUR, sensing

TUTORIAL = """
    import os
    from sensord import sensor, RunRequest

    MY_DIRECTORY = "data"

    @sensor(job="log_file_job")
    def my_directory_sensor():
        for filename in os.listdir(MY_DIRECTORY):
            filepath = os.path.join(MY_DIRECTORY, filename)
            if os.path.isfile(filepath):
                yield RunRequest(run_key=filename, run_config={"filename": filename})
"""


async def test_the_directory_sensor_of_the_tutorial_runs_with_only_its_import_changed(tmp_path: Path) -> None:
    (tmp_path / "my_team").mkdir()
    (tmp_path / "my_team" / "sensors.py").write_text(textwrap.dedent(TUTORIAL))
    (tmp_path / "data" / "folder").mkdir(parents=True)
    (tmp_path / "data" / "a.csv").touch()
    time = HandClock()
    keys: dict[str, Any] = {"module": "my_team.sensors", "function": "my_directory_sensor", "interval": None}
    async with sensing(tmp_path, "", jobs=["log_file_job"], clock=time.clock, **keys) as sensor:
        assert await sensor.ran(1) == ["a.csv"]
        await sensor.looked(1)
        (tmp_path / "data" / "b.csv").touch()
        await time.pass_(30)
        assert await sensor.ran(2) == ["a.csv", "b.csv"]
        await sensor.looked(2)
    run = sensor.taken[1]
    assert (run.job, run.subject, json.loads(run.run_config)) == ("log_file_job", "b.csv", {"filename": "b.csv"})
    assert sensor.outcomes == [("requested", "a.csv"), ("requested", "b.csv")]


ASYNC = """
import asyncio
@sensor()
async def mine(context):
    yield RunRequest('a')
    await asyncio.sleep(0)
    yield SkipReason('that was all')
"""
A, BOTH = [("requested", "a")], [("requested", "a"), ("requested", "b")]


@pytest.mark.parametrize(
    ("code", "outcomes"),
    [
        ("@sensor\ndef mine(): return RunRequest('a')", A),
        ("@sensor()\ndef mine(context): return [RunRequest('a'), RunRequest('b')]", BOTH),
        ("@sensor()\ndef mine(_): return SkipReason('no news')", [("skipped", "team.mine")]),
        ("@sensor()\ndef mine(): return None", []),
        ("@sensor()\ndef mine(context=None): yield RunRequest(context.sensor_name)", [("requested", "mine")]),
        ("@sensor()\nasync def mine(): return RunRequest('a')", A),
        ("@sensor()\nasync def mine(): return iter([RunRequest('a'), None])", A),
        (ASYNC, [*A, ("skipped", "team.mine")]),
        ("@sensor()\ndef mine():\n    yield RunRequest('a')\n    yield RunRequest('a')", A),
        ("@sensor()\ndef mine(): return RunRequest()", [("requested", "team.mine")]),
        ("@sensor()\ndef mine(): return RunRequest('a\\nb\\udcff')", [("requested", "a\\nb\\udcff")]),
    ],
)
async def test_whatever_a_function_gives_is_decided(tmp_path: Path, code: str, outcomes: list[Any]) -> None:
    async with sensing(tmp_path, code) as sensor:
        await sensor.looked(1)
        assert sensor.outcomes == outcomes
        assert not sensor.emit.failing


async def test_a_request_is_committed_before_the_next_one_is_yielded(tmp_path: Path) -> None:
    code = """
        @sensor()
        def mine():
            yield RunRequest("first")
            while not Path("gate").exists():
                time.sleep(0.001)
            yield RunRequest("second")
    """
    async with sensing(tmp_path, code) as sensor:
        assert await sensor.ran(1) == ["first"]
        assert sensor.emit.looks == 0
        (tmp_path / "gate").touch()
        assert await sensor.ran(2) == ["first", "second"]


async def test_a_request_carries_everything_that_a_run_has(tmp_path: Path) -> None:
    code = """
        @sensor()
        def mine():
            config = {"ops": {"load": {"config": {"path": "/in/ä", "n": [1, 2.5, None, True]}}}}
            yield RunRequest("k", config, {"team": "geo", "n": 3}, "second", partition_key="2026-11", priority=7)
            yield RunRequest(run_key="all", run_config=None, tags=None)
    """
    rule = {"tags": {"team": "all", "from": "{{ subject }}"}, "priority": 2}
    async with sensing(tmp_path, code, jobs=["first", "second"], rule=rule) as sensor:
        await sensor.ran(3)
    run, *both = sensor.taken
    assert json.loads(run.run_config) == {"ops": {"load": {"config": {"path": "/in/ä", "n": [1, 2.5, None, True]}}}}
    assert json.loads(run.tags) == {"team": "geo", "n": "3", "from": "k"}
    assert (run.job, run.run_key, run.partition_key, run.priority) == ("second", "k", "2026-11", 7)
    assert [(one.job, one.run_key, one.priority, json.loads(one.run_config)) for one in both] == [
        ("first", "all", 2, {}),
        ("second", "all", 2, {}),
    ]


async def test_a_request_without_a_run_key_runs_at_every_evaluation(tmp_path: Path) -> None:
    time = HandClock()
    async with sensing(tmp_path, "@sensor()\ndef mine(): return RunRequest()", clock=time.clock) as sensor:
        for count in (1, 2, 3):
            assert await sensor.ran(count) == [None] * count
            await sensor.looked(count)
            await time.pass_(HOUR)


async def test_what_cannot_be_run_is_the_functions_error(tmp_path: Path) -> None:
    code = """
        @sensor()
        def mine():
            yield RunRequest("first")
            for wrong in (RunRequest("a", job_name="other"), RunRequest("a", {"p": Path("/")}), {"run_key": "a"}):
                if not Path(type(wrong).__name__ + str(getattr(wrong, "job_name", ""))).exists():
                    yield wrong
    """
    time = HandClock()
    async with sensing(tmp_path, code, clock=time.clock) as sensor:
        assert "RunRequest(run_key='a') asks for job 'other', and the sensor has job" in await sensor.failed()
        for done, words in (
            ("RunRequestother", "it holds PosixPath, which is no plain data"),
            ("RunRequestNone", "dict"),
        ):
            (tmp_path / done).touch()
            looks = sensor.emit.looks
            await time.pass_(HOUR)
            await sensor.looked(looks + 1)
            assert words in await sensor.failed()
        assert sensor.keys == ["first"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("  ",), "run_key of RunRequest(run_key='  ') is empty; name what is to run once, or leave it out"),
        ((5,), "run_key of RunRequest(run_key=5) is int; write str(…)"),
        (("a", {"n": float("nan")}), "RunRequest(run_key='a') cannot be written as JSON: Out of range float values"),
        (("a", {"p": {1, 2}}), "it holds set, which is no plain data; write str(…)"),
        (("a", [1]), "run_config of RunRequest(run_key='a') is list; it must be a mapping"),
        (("a", {"text": "x" * (1 << 20)}), "takes 1,048,628 bytes; write its data to a file, and name that"),
    ],
)
def test_a_request_that_cannot_be_sent_says_what_to_do(wrong: tuple[Any, ...], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        line_of(RunRequest(*wrong))


def test_fields_that_the_ledger_cannot_keep_are_refused() -> None:
    with pytest.raises(ValueError, match=r"partition_key of .* holds a NUL or half of a character"):
        line_of(RunRequest(partition_key="\0"))
    with pytest.raises(ValueError, match=r"priority of .* is 1099511627776, no whole number of 32 bits"):
        line_of(RunRequest(priority=2**40))
    assert json.loads(line_of(RunRequest("a", types.MappingProxyType({"b": 1})))) == {
        "request": {"run_key": "a", "run_config": {"b": 1}}
    }


@pytest.mark.parametrize(("interval", "seconds"), [(None, 7), (11.0, 11)])
async def test_the_interval_is_the_configurations_else_the_functions(
    tmp_path: Path, interval: float | None, seconds: float
) -> None:
    code = "@sensor(minimum_interval_seconds=7)\ndef mine(): pass"
    time = HandClock()
    async with sensing(tmp_path, code, clock=time.clock, interval=interval) as sensor:
        await sensor.looked(1)
        for count in range(2, 6):
            # The first is at once, the others are at the sensor's own place in each interval.
            await time.pass_(seconds)
            await sensor.looked(count)
            await anyio.wait_all_tasks_blocked()
            assert sensor.emit.looks == count


async def test_what_is_logged_and_printed_is_logged_with_the_sensors_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = """
        import logging, subprocess, warnings

        print("while it is imported")

        @sensor()
        def mine(context):
            context.log.info("read %d rows", 5)
            context.log.debug("fine")
            logging.getLogger("library").warning("careful")
            print("printed", "twice\\nover")
            print("wrong", file=sys.stderr)
            os.write(1, b"not json\\n")
            subprocess.run(["echo", "also not"], check=True)
            for number in range(1000):
                context.log.info("flood")
    """
    caplog.set_level(logging.DEBUG, logger="sensord.sources.python_source")
    async with sensing(tmp_path, code) as sensor:
        await sensor.looked(1)
        assert not sensor.emit.failing
    said: list[Any] = [record for record in caplog.records if record.message == "sensor.says"]
    assert {record.sensor for record in said} == {"mine"}
    lines = [(record.levelname, record.text) for record in said]
    assert lines[:7] == [
        ("INFO", "while it is imported"),
        ("INFO", "read 5 rows"),
        ("DEBUG", "fine"),
        ("WARNING", "careful"),
        ("INFO", "printed twice"),
        ("INFO", "over"),
        ("WARNING", "wrong"),
    ]
    assert len(lines) < 210
    assert "left out" in lines[-1][1]


async def test_the_process_has_the_files_folder_the_allowed_environment_and_nothing_of_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
        import helper_of_mine

        @sensor()
        def mine():
            fds = sorted(int(name) for name in os.listdir("/proc/self/fd"))
            ids = {"session": os.getsid(0), "group": os.getpgid(0), "pid": os.getpid()}
            yield RunRequest("a", run_config={"env": dict(os.environ), "cwd": os.getcwd(), "fds": fds, **ids})
    """
    monkeypatch.setenv("SENSORD_TOKEN", "a-secret-of-the-daemon")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("LC_TIME", "C")
    (tmp_path / "helper_of_mine.py").touch()
    async with sensing(tmp_path, code, env={"API_KEY": "k"}) as sensor:
        await sensor.ran(1)
    about = json.loads(sensor.taken[0].run_config)
    assert about["env"]["API_KEY"] == "k"
    assert about["env"]["LC_TIME"] == "C"
    assert not {"SENSORD_TOKEN", "PYTHONPATH"} & set(about["env"])
    assert "a-secret-of-the-daemon" not in json.dumps(about)
    assert about["cwd"] == str(tmp_path)
    assert about["session"] != os.getsid(0)
    assert about["group"] == about["pid"]
    assert about["fds"][:4] == [0, 1, 2, 3]
    assert len(about["fds"]) == 5  # The last one lists them.
