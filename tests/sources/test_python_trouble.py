"""Python sensors that go wrong: each is said, ended and started again, and none harms another."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from sensord.ledger.database import open_database
from sensord.secrets import REDACTOR
from sensord.sources.python_source import EvaluationError
from tests.sources.directory_kit import HandClock
from tests.sources.python_kit import HOUR, evaluated, opened, sensing, write

# Once there is a file `well` the sensor works.
TROUBLE = """
    import ctypes, subprocess

    def trouble():
        {trouble}

    @sensor()
    def mine():
        yield RunRequest("before")
        if not Path("well").exists():
            trouble()
        yield RunRequest("after")
"""


async def test_an_exception_is_said_and_the_next_evaluation_is_as_usual(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hand = HandClock()
    async with sensing(
        tmp_path, TROUBLE.format(trouble="raise ValueError('no such bucket')"), clock=hand.clock
    ) as sensor:
        place = f"({tmp_path}/team.py, line 9)"
        assert await sensor.failed() == f"team.mine: it raised ValueError: no such bucket {place}"
        assert sensor.keys == ["before"]
        await hand.pass_(HOUR)
        await sensor.looked(2)
        (tmp_path / "well").touch()
        await hand.pass_(HOUR)
        await sensor.recovered()
        assert sensor.keys == ["before", "after"]
        events = [row["type"] for row in sensor.rows("SELECT type FROM events WHERE sensor = 'mine' ORDER BY seq")]
    assert [name for name in events if name.startswith("sensor")] == ["sensor.failed", "sensor.recovered"]
    (said,) = [vars(record) for record in caplog.records if record.message == "sensor.cannot_look"]
    assert "in mine\n    trouble()\n" in said["trace"]
    assert "python_evaluation" not in said["trace"]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("os._exit(3)", "its process ended with exit code 3"),
        ("sys.exit(4)", "it raised SystemExit: 4"),
        ("ctypes.string_at(0)", "its process was ended by SIGSEGV"),
        ("os.abort()", "its process was ended by SIGABRT"),
        ("os.kill(os.getpid(), 9)", "its process was ended by SIGKILL"),
        ("os.close(3); time.sleep(1000)", "it closed the line between it and the daemon, and was ended"),
        ("os.write(3, b'nonsense\\n'); time.sleep(1000)", "something else wrote to the line"),
        ("b'x' * (9 << 30)", "it raised MemoryError"),
    ],
)
async def test_a_crash_is_said_and_what_was_yielded_before_stays(tmp_path: Path, trouble: str, words: str) -> None:
    hand = HandClock()
    async with sensing(tmp_path, TROUBLE.format(trouble=trouble), clock=hand.clock) as sensor:
        assert words in await sensor.failed()
        assert sensor.keys == ["before"]
        (tmp_path / "well").touch()
        await hand.pass_(HOUR)
        await sensor.recovered()
        assert sensor.keys == ["before", "after"]
        assert [outcome for outcome, _ in sensor.outcomes].count("requested") == 2


@pytest.mark.parametrize("hang", ["time.sleep(1000)", "[0 for _ in iter(int, 1)]", "signal.pause()"])
async def test_one_that_hangs_is_ended_at_its_deadline_and_harms_no_other(tmp_path: Path, hang: str) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path, TROUBLE.format(trouble=f"import signal; signal.signal(15, signal.SIG_IGN); {hang}"))
    write(tmp_path / "other", "@sensor()\ndef mine(): return RunRequest()")
    hand = HandClock()
    async with (
        open_database(f"sqlite:///{tmp_path / 'ledger.db'}") as database,
        opened(database, tmp_path, clock=hand.clock, deadline=10.0) as hung,
        opened(database, tmp_path / "other", name="other", clock=hand.clock, interval=3.0) as other,
        evaluated(hung),
        evaluated(other),
    ):
        await hung.ran(1)
        for count in (1, 2, 3):
            await other.looked(count)
            await hand.pass_(3)
        assert not hung.emit.failing
        await other.looked(4)
        await hand.pass_(1)
        assert await hung.failed() == "team.mine: it took longer than its deadline of 10 s and was ended"
        assert not other.emit.failing
        (tmp_path / "well").touch()
        await hand.pass_(1)
        await hung.recovered()


async def test_a_module_that_hangs_while_it_is_imported_is_ended_at_the_deadline(tmp_path: Path) -> None:
    hand = HandClock()
    async with sensing(
        tmp_path, "Path('begun').touch()\nwhile True: time.sleep(1)", clock=hand.clock, deadline=5.0
    ) as sensor:
        with anyio.fail_after(20):
            while not (tmp_path / "begun").exists():
                await anyio.lowlevel.checkpoint()
        await hand.pass_(5)
        assert "longer than its deadline of 5 s" in await sensor.failed()


async def test_one_that_leaks_is_ended_where_its_memory_ends(tmp_path: Path) -> None:
    code = """
        held = []

        @sensor()
        def mine():
            while not Path("well").exists():
                held.append(bytearray(10_000_000))
                time.sleep(0.05)
    """
    hand = HandClock()
    async with sensing(tmp_path, code, clock=hand.clock, memory=100_000_000) as sensor:
        assert "MB of memory, more than its 100 MB, and was ended" in await sensor.failed()
        (tmp_path / "well").touch()
        await hand.pass_(1)
        await sensor.recovered()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "import no_such_thing",
            "module team cannot be imported: ModuleNotFoundError: No module named 'no_such_thing'",
        ),
        ("1 / 0", "module team cannot be imported: ZeroDivisionError: division by zero ({folder}/team.py, line 5)"),
        ("def mine(:", "module team cannot be imported: SyntaxError: invalid syntax ({folder}/team.py, line 5)"),
        ("sys.exit()", "module team cannot be imported: SystemExit"),
        ("@sensor\ndef other(): pass", "module team has no sensor mine; it has other"),
        ("def mine(): pass", "mine in module team is not marked with @sensor"),
        ("@sensor\ndef mine(one, two): pass", "TypeError: sensor mine wants one, two; a sensor is given nothing, or"),
    ],
)
async def test_a_sensor_that_cannot_be_had_names_its_module_and_why(tmp_path: Path, code: str, words: str) -> None:
    hand = HandClock()
    async with sensing(tmp_path, code, clock=hand.clock) as sensor:
        assert words.format(folder=tmp_path) in await sensor.failed()
        write(tmp_path, "@sensor()\ndef mine(): return RunRequest('mended')")
        await hand.pass_(60)
        await sensor.recovered()
        assert sensor.keys == ["mended"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"module": "no.such"}, "there is no module no in {folder}, nor installed"),
        ({"path": Path("/no/folder")}, "its folder /no/folder cannot be entered: No such file or directory"),
        ({"env": {"BIG": "x" * 200_000}}, "its env takes more than 128 KiB"),
    ],
)
async def test_what_is_configured_and_not_there_is_said(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    async with sensing(tmp_path, "", **keys) as sensor:
        assert words.format(folder=tmp_path) in await sensor.failed()


async def test_a_dry_run_that_goes_wrong_says_why_and_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, TROUBLE.format(trouble="raise ValueError('not now')"))
    async with (
        open_database(f"sqlite:///{tmp_path / 'ledger.db'}") as database,
        opened(database, tmp_path) as sensor,
    ):
        with pytest.raises(EvaluationError, match="mine: it raised ValueError: not now"):
            await sensor.source.look(set())
        write(tmp_path, TROUBLE.format(trouble="os._exit(5)"))
        with pytest.raises(EvaluationError, match="exit code 5"):
            await sensor.source.look(set())
        assert (sensor.outcomes, sensor.rows("SELECT * FROM sensors")) == ([], [])


async def test_no_secret_of_the_daemon_is_in_what_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    REDACTOR.register(["planted-secret-of-a-sensor"])
    code = TROUBLE.format(trouble="raise ValueError('https://u:planted-secret-of-a-sensor@host')")
    async with sensing(tmp_path, code) as sensor:
        assert "https://u:***@host" in await sensor.failed()
