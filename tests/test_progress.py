"""What a running job says of its progress: from its report to the bus, no oftener than it is worth."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from rules.living import EDIT_GAP_US, Progress, Told, read_progress, worth_telling
from sensord.app import open_app
from sensord.launchers.command_report import last_progress, read_report
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.progress import Reported, publish_progress
from sensord.progress import LOOK_S
from tests.conftest import rows
from tests.notifiers.living_kit import Story
from tests.sources.app_kit import configured, launch
from tests.sources.directory_kit import HandClock, until

JOBS = """
jobs:
  load:
    command: [sh, -c, 'echo "{\\"progress\\": 0.25, \\"text\\": \\"houses\\"}" >> $SENSORD_REPORT;
      cat {{ run.config.gate }} > /dev/null']
"""


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        ({"progress": 0.4}, Progress(share=0.4)),
        ({"progress": 1, "text": "all\n of it"}, Progress(share=1.0, text="all of it")),
        ({"progress": {"done": 3, "of": 8}}, Progress(share=0.375, text="3 of 8")),
        ({"progress": "reading"}, Progress(text="reading")),
    ],
)
def test_progress_is_a_share_a_count_or_words(line: dict[str, Any], progress: Progress) -> None:
    assert read_progress(line) == progress


@pytest.mark.parametrize(
    "line",
    [
        {"progress": 1.5}, {"progress": -0.1}, {"progress": True}, {"progress": None}, {"progress": ""},
        {"progress": {"done": 9, "of": 8}}, {"progress": {"done": 1, "of": 0}}, {"progress": {"done": 1}},
        {"progress": 0.5, "text": 3}, {"progress": 10**400}, {"progress": float("nan")},
    ],
)  # fmt: skip
def test_progress_that_is_none_says_what_to_write(line: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"progress|text"):
        read_progress(line)


def test_however_often_a_job_reports_it_is_told_a_few_times() -> None:
    for seconds in (0.1, 1.0, 60.0):
        told: Told | None = None
        times = 0
        for number in range(1, 5001):
            now, progress = round(number * seconds * 1e6), Progress(share=number / 5000)
            if worth_telling(progress, told, now):
                assert told is None or now - told.at >= EDIT_GAP_US
                times += 1
                told = Told(progress=progress, at=now, times=times)
        assert told is not None
        assert told.progress.share == 1 or seconds < 1
        assert times <= 9


def test_words_are_told_ever_more_rarely() -> None:
    told: Told | None = None
    for second in range(3600):
        progress = Progress(text=f"row {second}")
        if worth_telling(progress, told, second * 1_000_000):
            told = Told(progress=progress, at=second * 1_000_000, times=1 if told is None else told.times + 1)
    assert told is not None
    assert 5 <= told.times <= 11


def test_the_last_whole_line_counts_and_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "report"
    assert last_progress(path) is None
    path.write_bytes(b'{"progress": 0.1}\nno json "progress"\n{"progress": [1]}\n{"metadata": {}}\n{"progress": 0.9')
    assert last_progress(path) == Progress(share=0.1)
    path.write_bytes(b"x" * 20_000 + b'\n{"progress": 0.2}\n')
    assert last_progress(path) == Progress(share=0.2)


def test_progress_takes_no_room_from_what_else_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "report"
    lines = [b'{"progress": 0.5}'] * 3000 + [orjson.dumps({"metadata": {"rows": 12}}), b'{"progress": 7}']
    path.write_bytes(b"\n".join(lines))
    report = read_report(path)
    assert report.metadata == {"rows": 12}
    assert len(report.errors) == 1
    assert "line 3002" in report.errors[0]


def test_what_the_readme_says_of_progress_is_understood(tmp_path: Path) -> None:
    path, readme = tmp_path / "report", Path(__file__).parents[1] / "README.md"
    found = re.search(r"<!-- test: progress -->\n```sh\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    for line, progress in zip(
        found[1].splitlines(),
        [Progress(share=0.4), Progress(share=0.4, text="houses"), Progress(text="fetching the index")],
        strict=True,
    ):
        subprocess.run(["sh", "-c", line], env={"SENSORD_REPORT": str(path)}, check=True, timeout=30)
        assert last_progress(path) == progress
    assert read_report(path).errors == []


async def test_progress_is_published_while_the_attempt_runs_and_not_after(database: LedgerDatabase) -> None:
    run = Story()
    with database.engine.begin() as conn:
        values = f"'{run.run}', 'load', 'running', 2, 0, '{{}}', '{{}}', 0, false, '{{}}'"
        columns = "id, job, status, attempt, priority, tags, run_config, requested_at, cancel_requested, metadata"
        conn.exec_driver_sql(f"INSERT INTO runs ({columns}) VALUES ({values})")
    first, second = run.event("progress"), run.event("progress")
    assert await database.write(publish_progress, Reported(run.run, 1, first)) is False
    assert await database.write(publish_progress, Reported(run.run, 2, second)) is True
    with database.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE runs SET status = 'succeeded'")
    assert await database.write(publish_progress, Reported(run.run, 2, run.event("progress"))) is False
    assert [row["id"] for row in rows(database, "SELECT id FROM events")] == [second.id]


async def test_a_running_job_tells_how_far_it_is(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    time = HandClock()
    async with (
        open_app(configured(tmp_path, "", jobs=JOBS), clock=time.clock) as app,
        anyio.create_task_group() as group,
    ):
        await group.start(app.run)
        await launch(app, "load", gate=str(gate))
        await until(lambda: rows(app.database, "SELECT id FROM runs WHERE status = 'running'"))
        report = next(iter(app.launchers.values())).report(app.running.under_way()[0].run)  # type: ignore[attr-defined]
        await until(report.exists)
        await time.pass_(LOOK_S + 1)
        await until(lambda: rows(app.database, "SELECT id FROM events WHERE type = 'run.progress'"))
        (event,) = rows(app.database, "SELECT * FROM events WHERE type = 'run.progress'")
        gate.write_text("go")
        await until(lambda: rows(app.database, "SELECT id FROM runs WHERE status = 'succeeded'"))
        group.cancel_scope.cancel()
    data = orjson.loads(event["data"])
    assert (event["topic"], data["progress"], data["text"]) == ("runs.load.progress", 0.25, "houses")
    assert event["message"] == "load running, 25%: houses"
