"""A daemon in an environment: what it launches, where it tells of it, and what it says it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import aiohttp
import anyio

from sensord.app import open_app
from sensord.cli import _environment_first
from sensord.config import load
from sensord.web.api import serve
from sensord.web.overview import Overview
from tests.conftest import made_database, rows
from tests.sources.app_kit import launch, runs_of
from tests.sources.directory_kit import until
from tests.test_readme import block

REST = """
telegram: {token: "${TELEGRAM_TOKEN}"}
jobs: {load_houses: {command: ["false"]}}
subscriptions: [{topic: "runs.*.succeeded", to: "telegram:-1001"}]
"""


def written(folder: Path) -> Path:
    (folder / "sensord.yaml").write_text(block("test: environments") + REST)
    return folder / "sensord.yaml"


async def test_the_readmes_test_contour_launches_nothing_and_tells_its_inbox(tmp_path: Path) -> None:
    config = load(written(tmp_path), {}, environment="test")
    (tmp_path / "sensord-test.db").write_bytes(made_database())
    async with open_app(config) as app, anyio.create_task_group() as group:
        await group.start(app.run)
        await launch(app, "load_houses")
        query = "SELECT title FROM inbox"
        await until(lambda: bool(rows(app.database, query)))
        (told,) = rows(app.database, query)
        (run,) = await runs_of(app, "load_houses")
        seen = await Overview(app).look()
        async with serve(app) as url, aiohttp.ClientSession() as session, session.get(url) as answer:
            page = await answer.text()
        group.cancel_scope.cancel()
    assert told["title"] == "[test] load_houses succeeded"
    assert (run["status"], run["metadata"]) == ("succeeded", '{"launched":false}')
    assert "sensord · test</a>" in page
    assert seen["sentence"].startswith("Environment test. All well")


def test_the_readmes_other_environment_is_right_as_well(tmp_path: Path) -> None:
    environ = {"STAGING_PASSWORD": "secret-canary", "TELEGRAM_TOKEN": "1:a"}
    config = load(written(tmp_path), environ, environment="staging")
    assert (config.launches, config.http.port, config.state) == (True, 8301, tmp_path / ".sensord-staging")
    assert config.jobs["load_houses"].launcher.model_dump()["command"] == ["echo", "{{ run.config.path }}"]
    assert "secret-canary" not in repr(config)


def test_the_option_may_stand_behind_the_command(tmp_path: Path) -> None:
    assert _environment_first(["check", "--env", "test", "--json"]) == ["--env", "test", "check", "--json"]
    assert _environment_first(["wrap", "--", "x", "--env", "y"]) == ["wrap", "--", "x", "--env", "y"]
    assert _environment_first(["run", "--env=test"]) == ["--env=test", "run"]
    assert _environment_first(["run", "--env"]) == ["--env", "run"]
    written(tmp_path)
    command = [str(Path(sys.executable).parent / "sensord"), "check", "--env", "test"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("the configuration is right in environment test: 1 job")
