"""The README's way to wrap a command works where it says so: in a shell, and in a job of GitLab's CI."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.submit_kit import Daemon, listening
from tests.test_readme import block, environment


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with listening() as server:
        yield server


def run(script: str, folder: Path, daemon: Daemon, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**environment(folder), "SENSORD_URL": daemon.url, "SENSORD_TOKEN": "t0", **variables}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_wrapped_command_is_told_of(daemon: Daemon, tmp_path: Path) -> None:
    done = run(block("test: wrap"), tmp_path, daemon)
    assert (done.returncode, done.stdout, done.stderr) == (3, "saving\n", "")
    (event,) = daemon.events
    assert (event["topic"], event["data"]["lines"]) == ("cron.backup", ["saving"])


def test_a_job_of_gitlab_is_told_of(daemon: Daemon, tmp_path: Path) -> None:
    (job,) = yaml.safe_load(block("test: gitlab")).values()
    assert job["before_script"] == ["pip install sensord"]  # Which the tests have done.
    (tmp_path / "load.py").write_text("print('12 rows'); raise SystemExit(4)")
    variables = {"CI_PROJECT_PATH_SLUG": "team-houses", "CI_JOB_NAME": "load: [riga, 1]"}
    done = run("set -eo pipefail\n" + "\n".join(job["script"]), tmp_path, daemon, **variables)
    assert (done.returncode, done.stdout) == (4, "12 rows\n")
    (event,) = daemon.events
    assert (event["topic"], event["data"]["job"]) == ("ci.team-houses", "load: [riga, 1]")
    assert event["message"].startswith("load: [riga, 1] failed with exit code 4")
