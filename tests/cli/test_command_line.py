from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sensord.cli import _asked
from tests.cli.project import BIN, Project


def test_the_daemon_answers_every_command(project: Project) -> None:
    project.start()
    (project.folder / "in" / "a.csv").write_text("x")
    listed = project.until(lambda: project.get("/api/runs?status=succeeded")["items"])
    run = listed[0]["id"]
    assert project.sensord("logs", run).splitlines() == [f"counting {project.folder}/in/a.csv", "not well"]
    assert project.json("runs", "show", run)["run_key"] == "a.csv"
    assert project.json("keys", "list")["items"][0]["run"] == run
    assert f"run {run}" in project.sensord("explain", "in/a.csv")
    assert f"run {run}" in project.sensord("explain", "a.csv")
    for name in ("sensors", "jobs", "events", "subscriptions", "deliveries", "ticks", "destinations"):
        assert "items" in project.json(name, "list")
        project.sensord(name, "list")
    again = project.json("retry", run)
    assert again["id"] != run
    assert again["run_key"] == "a.csv"
    assert "forgotten" in project.sensord("keys", "forget", "a.csv", "--job", "count", "--sensor", "drop")
    assert "cannot" not in project.sensord("doctor")
    assert "nothing is known" in project.sensord("explain", "nobody-knows-this", code=2)


def test_a_launch_waits_for_the_end_and_tells_by_its_exit_code(project: Project) -> None:
    project.start()
    assert "succeeded" in project.sensord("launch", "count", "-p", "path=x", "-p", "code=0", "--wait")
    assert "exit code 3" in project.sensord("launch", "count", "-p", "path=x", "-p", "code=3", "--wait", code=1)
    assert "run_config" in project.sensord("launch", "count", "-p", "path=x", code=2)
    assert "no job" in project.sensord("launch", "nothing", code=2)
    inbox = project.until(lambda: project.get("/api/inbox")["items"])
    assert inbox[0]["title"] == "count failed"
    assert "count failed" in project.sensord("inbox")


def test_a_key_given_by_hand_is_one_run(project: Project) -> None:
    project.start()
    words = ("launch", "count", "-p", "path=x", "-p", "code=0", "--run-key", "once")
    first = project.json(*words)
    assert project.json(*words)["id"] == first["id"]


def test_without_a_daemon_commands_open_the_database_themselves(project: Project) -> None:
    assert project.json("runs", "list")["items"] == []
    assert "it starts when" in project.sensord("launch", "count", "-p", "path=x", "-p", "code=0", "--wait", code=2)
    (project.folder / "in" / "b.csv").write_text("x")
    assert "count for b.csv" in project.sensord("tick", "drop", "--dry-run")
    assert len(project.json("runs", "list")["items"]) == 1
    event = project.json("publish", "bp.test.oks", "hello", "--severity", "warning")
    assert project.json("events", "show", event["id"])["message"] == "hello"
    subscription = project.json("subscribe", "bp.>", "inbox:", "--where", "severity=>=error")
    assert project.sensord("unsubscribe", subscription["id"])
    project.start()
    project.until(lambda: len(project.get("/api/runs?status=succeeded")["items"]) == 2)


def test_a_killed_daemon_leaves_no_lie_behind(project: Project) -> None:
    project.start()
    assert project.daemon is not None
    project.daemon.kill()
    project.daemon.wait()
    assert project.json("runs", "list")["items"] == []
    project.start()
    assert "ready at" in project.sensord("doctor")


def test_a_second_daemon_is_refused_in_one_line(project: Project) -> None:
    project.start()
    said = project.sensord("run", code=1)
    assert "another sensord" in said


def test_wrong_words_and_wrong_configuration_end_with_two(project: Project) -> None:
    project.sensord("no-such-command", code=2)
    project.sensord("runs", "list", "nonsense", code=2)
    project.sensord("runs", "list", "nonsense=1", code=2)
    project.sensord("publish", "not a topic", "x", code=2)
    (project.folder / "sensord.yaml").write_text("jobs: {a: {comand: [x]}}")
    said = project.sensord("check", code=2)
    assert "sensord.yaml:1:12" in said
    assert "command" in said
    (project.folder / "sensord.yaml").unlink()
    assert "sensord init" in project.sensord("check", code=2)


def test_init_check_and_schema_go_together(tmp_path: Path) -> None:
    def typed(*words: str, code: int = 0) -> str:
        command = [str(BIN / "sensord"), *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    typed("init", "project")
    assert "1 job, 1 sensor" in typed("-c", "project/sensord.yaml", "check")
    typed("init", "project", code=2)
    assert json.loads(typed("schema"))["properties"]["jobs"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["run"], "run"),
        (["-c", "x.yaml", "jobs", "list"], "jobs"),
        (["--config", "run", "inbox"], "inbox"),
        (["-cx.yaml", "--config=y.yaml", "run"], "run"),
        (["jbos"], "jbos"),
        (["--help"], None),
        (["--version", "run"], None),
        (["-c"], None),
        ([], None),
    ],
)
def test_the_command_that_is_asked_for_is_known_before_the_others_are_made(words: list[str], name: str | None) -> None:
    assert _asked(words) == name


def test_a_name_that_is_none_names_the_like_and_help_lists_them_all(tmp_path: Path) -> None:
    def typed(*words: str, code: int) -> str:
        command = [str(BIN / "sensord"), *words]
        env = {**os.environ, "COLUMNS": "200"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert "Did you mean 'jobs'" in typed("jbos", code=2)
    listed = typed("--help", code=0)
    for name in ("run", "demo", "jobs", "runs", "backfill", "inbox", "tokens", "invite", "mutes", "explain"):
        assert f" {name} " in listed
    assert "x.yaml" in typed("-c", "x.yaml", "run", code=2)


def test_help_says_the_same_as_with_all_commands_made() -> None:
    whole = "import sys; sys.argv[1:] = ['--help']; from sensord.cli import app; app(prog_name='sensord')"
    commands = [[sys.executable, "-c", whole], [str(BIN / "sensord"), "--help"], [str(BIN / "sensord"), "-h"]]
    said = [subprocess.run(one, capture_output=True, text=True, timeout=60, check=True).stdout for one in commands]
    assert said[0] == said[1] == said[2]
    assert "  replay " in said[0]


def test_help_loads_none_of_the_daemons_libraries() -> None:
    code = """
import sys
sys.argv = ["sensord", "--help"]
from sensord.cli import main
try:
    main()
except SystemExit:
    pass
heavy = {"aiohttp", "sqlalchemy", "sqlmodel", "pydantic", "anyio", "telegram",
         "slack_sdk", "jinja2", "watchdog", "rich"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "explain" in done.stdout


def test_the_daemon_loads_nothing_that_is_not_configured() -> None:
    code = """
import sys
import sensord.daemon
rare = ["alembic", "rich", "prometheus_client", "psycopg", "sqlalchemy.dialects.postgresql", "telegram",
        "slack_sdk", "jsonschema", "watchdog", "aiobotocore", "botocore", "lxml", "cronsim", "apprise",
        "polars", "pandera", "rules.checks", "sensord.checks.settings", "sensord.checks.launcher"]
print(sorted(set(rare) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
