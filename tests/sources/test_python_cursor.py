"""What a Python sensor has read: its cursor, the keys that are held, and the dry run that changes neither."""

from __future__ import annotations

import json
from pathlib import Path

from rules.request import RunRequest, SkipReason
from sensord.ledger.database import open_database
from sensord.ledger.keys import forget_keys
from sensord.sources import Remembering
from tests.sources.directory_kit import HandClock
from tests.sources.python_kit import HOUR, evaluated, opened, sensing, write

COUNTS = """
    @sensor()
    def mine(context):
        number = int(context.cursor or 0)
        if Path("broken").exists():
            context.update_cursor("999")
            yield RunRequest(f"broken {number}")
            raise ValueError("broken")
        yield RunRequest(f"{number} pid {os.getpid()}")
        context.update_cursor(str(number + 1))
"""


async def test_the_cursor_is_kept_over_evaluations_processes_and_restarts(tmp_path: Path) -> None:
    write(tmp_path, COUNTS)
    time = HandClock()
    async with open_database(f"sqlite:///{tmp_path / 'ledger.db'}") as database:
        async with opened(database, tmp_path, clock=time.clock) as sensor, evaluated(sensor):
            await sensor.looked(1)
            assert sensor.cursor == "1"
            await time.pass_(HOUR)
            await sensor.looked(2)
        async with opened(database, tmp_path, clock=time.clock) as sensor, evaluated(sensor):
            await sensor.looked(1)
            assert sensor.cursor == "3"
        keys = [row["run_key"] for row in sensor.rows("SELECT run_key FROM runs ORDER BY id")]
    assert [key.split()[0] for key in keys] == ["0", "1", "2"]
    pids = [key.split()[2] for key in keys]
    assert pids[0] == pids[1] != pids[2]  # Warm between evaluations, and another one after the restart.


async def test_the_cursor_of_an_evaluation_that_failed_is_not_kept_and_its_requests_are(tmp_path: Path) -> None:
    time = HandClock()
    async with sensing(tmp_path, COUNTS, clock=time.clock) as sensor:
        await sensor.looked(1)
        (tmp_path / "broken").touch()
        await time.pass_(HOUR)
        assert "ValueError: broken" in await sensor.failed()
        assert sensor.cursor == "1"
        assert sensor.keys[1] == "broken 1"
        (tmp_path / "broken").unlink()
        await time.pass_(HOUR)
        await sensor.recovered()
        assert sensor.cursor == "2"


async def test_a_cursor_can_be_taken_back(tmp_path: Path) -> None:
    code = """
        @sensor()
        def mine(context):
            yield RunRequest(tags={"saw": str(context.cursor), "last": str(context.last_tick_completion_time)})
            context.update_cursor("x" if context.cursor is None else None)
            yield SkipReason(f"{context.cursor} {context.cursor_updated}")
    """
    time = HandClock()
    async with sensing(tmp_path, code, clock=time.clock) as sensor:
        for count in (1, 2, 3):
            await sensor.looked(count)
            await time.pass_(HOUR)
    tags = [json.loads(run.tags) for run in sensor.taken[:3]]
    assert [one["saw"] for one in tags] == ["None", "x", "None"]
    assert tags[0]["last"] == "None"
    assert float(tags[1]["last"]) > 1e9
    skipped = sensor.rows("SELECT reason FROM ticks WHERE outcome = 'skipped' ORDER BY seq")
    assert [row["reason"] for row in skipped[:2]] == ["x True", "None True"]


async def test_a_dry_run_says_what_would_be_asked_for_and_changes_nothing(tmp_path: Path) -> None:
    code = """
        @sensor()
        def mine(context):
            yield RunRequest(run_key=f"after {context.cursor}", run_config={"n": 1})
            yield SkipReason("enough")
            context.update_cursor("far")
    """
    write(tmp_path, code)
    async with (
        open_database(f"sqlite:///{tmp_path / 'ledger.db'}") as database,
        opened(database, tmp_path) as sensor,
    ):
        first, second = await sensor.source.look(set())
        assert first.decided == (RunRequest(run_key="after None", run_config={"n": 1}),)
        assert (first.subject, second.decided) == ("after None", SkipReason("enough"))
        assert (sensor.outcomes, sensor.rows("SELECT * FROM runs"), sensor.rows("SELECT * FROM sensors")) == (
            [],
            [],
            [],
        )
        async with evaluated(sensor):
            await sensor.looked(1)
            (again, _) = await sensor.source.look(set())
            assert again.subject == "after far"
            assert (sensor.cursor, sensor.keys) == ("far", ["after None"])


async def test_keys_that_were_committed_are_asked_for_again_by_the_next_process_alone(tmp_path: Path) -> None:
    write(tmp_path, "@sensor()\ndef mine(): return [RunRequest(str(n)) for n in range(3)]")
    time = HandClock()
    async with open_database(f"sqlite:///{tmp_path / 'ledger.db'}") as database:
        for _ in range(2):
            async with opened(database, tmp_path, clock=time.clock) as sensor, evaluated(sensor):
                await sensor.looked(1)
                await time.pass_(HOUR)
                await sensor.looked(2)
        assert [outcome for outcome, _ in sensor.outcomes] == ["requested"] * 3 + ["duplicate"] * 3


async def test_a_key_that_was_let_go_of_runs_again_with_the_next_evaluation(tmp_path: Path) -> None:
    time = HandClock()
    async with sensing(tmp_path, "@sensor()\ndef mine(): return RunRequest('a')", clock=time.clock) as sensor:
        await sensor.looked(1)
        await sensor.database.write(forget_keys, ("mine", "job", "a"))
        assert isinstance(sensor.source, Remembering)
        sensor.source.offer_again()
        await time.pass_(HOUR)
        assert await sensor.ran(2) == ["a", "a"]


async def test_keys_that_others_may_take_are_asked_for_at_every_evaluation(tmp_path: Path) -> None:
    time = HandClock()
    code = "@sensor()\ndef mine(): return RunRequest('a')"
    async with sensing(tmp_path, code, clock=time.clock, remembers=False) as sensor:
        for count in (1, 2, 3):
            await sensor.looked(count)
            await time.pass_(HOUR)
    assert [outcome for outcome, _ in sensor.outcomes][:3] == ["requested", "duplicate", "duplicate"]
