"""A real Dagster's runs on the bus: through hooks, sensors of runs and the resource."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.dagster.environment import dagster_python
from tests.submit_kit import Daemon, free_port, listening
from tests.test_readme import block

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("hooks_program.py")


class Program:
    """Dagster's interpreter, with nothing of ours but the sources."""

    def __init__(self, home: Path, port: int) -> None:
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(home),
            "WAITING": str(home / "waiting"),
            "SENSORD_SPOOL": str(home / "spool"),
            "SENSORD_URL": f"http://127.0.0.1:{port}",
        }
        self.log = home / "program.log"
        with self.log.open("wb") as log:
            argv = [str(dagster_python()), str(PROGRAM)]
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env, text=True
            )

    def do(self, what: str, **asked: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **asked}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.log.read_text()
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate(timeout=60)


@contextmanager
def programs(port: int) -> Iterator[Program]:
    home = Path(tempfile.mkdtemp(prefix="dagster-"))
    program = Program(home, port)
    try:
        yield program
    finally:
        program.close()
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class Story:
    """What became of runs of all kinds, all of them while nobody listened: their ids, and what came later."""

    loaded: list[str] = field(default_factory=list)
    troubled: list[str] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    snippet: list[str] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)
    daemon: Daemon | None = None

    def of(self, run: str, topic: str | None = None) -> list[dict[str, Any]]:
        """The events of that run, in the order in which they came."""
        assert self.daemon is not None
        found = [event for event in self.daemon.events if event["data"].get("run_id") == self.runs[run]]
        return [event for event in found if topic in {None, event["topic"]}]


def happen(program: Program, story: Story, folder: Path) -> None:
    """Runs that end in every way that there is."""
    fails = {"ops": {"build": {"config": {"fails": "error"}}}}
    story.troubled += program.do("tick")  # Its first look says from where on a sensor tells.
    story.loaded = program.do("loaded")
    story.runs["killed"] = program.do("begin", job="houses", how="kill")
    story.runs["cancelled"] = program.do("begin", job="houses", how="wait")
    story.runs["good"] = program.do("execute", job="sheds", tags={"team": "geo"})
    story.runs["bad"] = program.do("execute", job="houses", config=fails, tags={"dagster/partition": "2026-01-01"})
    for name, good in {"retried": 1, "given up": 5}.items():
        story.runs[name] = program.do("execute", job="retried", config={"ops": {"flaky": {"config": {"good": good}}}})
    story.costs = program.do("costs", calls=1000)
    (folder / "definitions.py").write_text(block("test: dagster hooks"))
    story.snippet = program.do("project", path=str(folder / "definitions.py"), job="spatial_job")
    program.do("killed", run=story.runs["killed"])
    program.do("cancel", run=story.runs["cancelled"])
    for _ in range(3):
        story.troubled += program.do("tick")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    told, port = Story(), free_port()
    with programs(port) as program:
        happen(program, told, tmp_path_factory.mktemp("snippet"))
        with listening(port) as told.daemon:
            while not program.do("flush"):  # True once all that it submitted is taken; before, it knows of no daemon.
                told.daemon.arrived.acquire()
                told.daemon.arrived.wait(0.2)
                told.daemon.arrived.release()
            yield told


def test_the_hooks_need_nothing_of_the_daemon(story: Story) -> None:
    assert story.loaded == []
    assert story.troubled == []


def test_a_hook_of_the_issues_shape_works(story: Story) -> None:
    assert story.daemon is not None
    assert story.daemon.messages.count("Dagster job sheds completed.") == 1


def test_a_run_that_succeeds_is_told_of_with_its_step_its_tags_and_a_link(story: Story) -> None:
    step, run = story.of("good")
    assert (step["topic"], step["type"], step["message"]) == (
        "bp.sheds.steps",
        "dagster.step.succeeded",
        "Dagster job sheds: paint succeeded",
    )
    assert (step["data"]["step"], step["data"]["attempt"], step["data"]["tags"]) == ("paint", 1, {"team": "geo"})
    assert 0 <= step["data"]["duration"] < run["data"]["duration"]
    assert (run["topic"], run["type"], run["message"]) == (
        "bp.runs.oks",
        "dagster.run.succeeded",
        "Dagster job sheds succeeded",
    )
    assert run["data"]["url"] == f"http://dagster.test:3000/runs/{story.runs['good']}"


def test_a_run_that_fails_is_told_of_once_with_the_step_and_the_cause(story: Story) -> None:
    (event,) = story.of("bad")
    assert (event["topic"], event["type"], event["severity"]) == ("bp.houses.fails", "dagster.run.failed", "error")
    said = "Dagster job houses failed (2026-01-01) at build: BrokenBricksError: no bricks (from KeyError: 'bricks')"
    assert event["message"] == said
    data = event["data"]
    assert (data["job"], data["step"], data["partition"]) == ("houses", "build", "2026-01-01")
    assert data["error"] == {"class": "BrokenBricksError", "message": "no bricks"}
    assert data["cause"] == {"class": "KeyError", "message": "'bricks'"}


def test_the_hook_and_the_sensor_give_an_event_one_name(story: Story) -> None:
    (killed,) = story.of("killed")
    (bad,) = story.of("bad")
    for event, run in ((killed, "killed"), (bad, "bad")):
        assert (event["source"], event["id"]) == ("dagster", f"{story.runs[run]}/failed/bp.houses.fails")


def test_a_run_whose_process_was_killed_is_told_of(story: Story) -> None:
    (event,) = story.of("killed")
    assert event["message"].startswith("Dagster job houses failed: Run execution process for")
    assert event["data"]["error"]["class"] is None


def test_a_run_that_was_cancelled_is_no_failure(story: Story) -> None:
    (event,) = story.of("cancelled")
    assert (event["topic"], event["type"]) == ("bp.runs.cancelled", "dagster.run.cancelled")


def test_an_op_that_is_tried_again_is_told_of_when_it_is_over(story: Story) -> None:
    step, _ = story.of("retried")
    assert (step["type"], step["data"]["attempt"]) == ("dagster.step.succeeded", 2)
    (event,) = story.of("given up", "bp.retried.fails")
    assert event["message"] == "Dagster job retried failed at flaky: BrokenBricksError: attempt 3"
    assert event["data"]["attempt"] == 3


def test_the_resource_publishes_from_ops(story: Story) -> None:
    assert story.daemon is not None
    (event,) = [event for event in story.daemon.events if event["topic"] == "bp.houses.painted"]
    assert (event["message"], event["data"]) == ("3 houses", {"rows": 3})


def test_the_readmes_three_lines_put_a_project_on_the_bus(story: Story) -> None:
    assert story.daemon is not None
    assert story.snippet == ["sensord_failure_bp_dagster_fails", "sensord_success_bp_dagster_oks"]
    told = [event for event in story.daemon.events if event["data"].get("job") == "spatial_job"]
    (event,) = [event for event in told if event["topic"] == "bp.dagster.fails"]
    assert event["message"] == "Dagster job spatial_job failed at load: OSError: no map"


def test_what_was_told_while_nobody_listened_came_later_in_order_and_cost_nothing(story: Story) -> None:
    assert story.daemon is not None
    assert max(story.costs) <= 1.0
    times = [event["time"] for event in story.daemon.events]
    assert times == sorted(times)
