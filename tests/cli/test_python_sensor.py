"""A Python sensor in a project, as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.project import Project

CONFIG = """
http: {port: 0, token: "${SENSORD_TOKEN}"}
jobs: {log_file_job: {command: [echo, "{{ run.config.filename }}"]}}
sensors:
  my_files:
    python: {module: my_team.sensors, function: my_directory_sensor, interval: 100ms, env: {WORD: "${SENSORD_TOKEN}"}}
    job: log_file_job
"""
MODULE = """
import os
from sensord import sensor, RunRequest

MY_DIRECTORY = "in"

@sensor(job="log_file_job")
def my_directory_sensor():
    for filename in os.listdir(MY_DIRECTORY):
        if filename == "secret":
            raise ValueError(f"it is {os.environ['WORD']}")
        filepath = os.path.join(MY_DIRECTORY, filename)
        if os.path.isfile(filepath):
            yield RunRequest(run_key=filename, run_config={"filename": filename})
"""


@pytest.fixture
def sensors(project: Project) -> Path:
    """The folder that the sensor looks at."""
    (project.folder / "sensord.yaml").write_text(CONFIG)
    (project.folder / "my_team").mkdir()
    (project.folder / "my_team" / "sensors.py").write_text(MODULE)
    return project.folder / "in"


def test_a_file_is_run_once_until_its_key_is_forgotten(project: Project, sensors: Path) -> None:
    (sensors / "a.csv").touch()
    assert "log_file_job for a.csv" in project.sensord("tick", "my_files", "--dry-run")
    project.start()
    first = project.until(lambda: project.get("/api/runs?status=succeeded")["items"])
    assert (first[0]["run_key"], first[0]["subject"], first[0]["sensor"]) == ("a.csv", "a.csv", "my_files")
    assert "its function my_team.sensors.my_directory_sensor decides" in project.sensord("explain", "b.csv", code=2)
    project.sensord("keys", "forget", "a.csv", "--job", "log_file_job", "--sensor", "my_files")
    project.until(lambda: len(project.get("/api/runs?status=succeeded")["items"]) == 2)
    project.sensord("keys", "expire", "--older-than", "0s")
    project.until(lambda: len(project.get("/api/runs?status=succeeded")["items"]) == 3)


def test_what_goes_wrong_is_shown_without_secrets(project: Project, sensors: Path) -> None:
    (sensors / "secret").touch()
    assert "ValueError: it is ***" in project.sensord("tick", "my_files", "--dry-run", code=1)
    project.start()
    failing = project.until(lambda: [one for one in project.get("/api/sensors")["items"] if one["state"] == "failed"])
    assert "it raised ValueError: it is ***" in failing[0]["reason"]
    (sensors / "secret").unlink()
    project.until(lambda: project.get("/api/sensors")["items"][0]["state"] == "active")
    project.stop()
    assert project.env["SENSORD_TOKEN"] not in json.dumps(failing) + (project.folder / "daemon.log").read_text()
    assert project.env["SENSORD_TOKEN"].encode() not in (project.folder / "sensord.db").read_bytes()
