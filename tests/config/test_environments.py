"""`environments:`: the same file, with some of it replaced."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from notifiers.clock import SYSTEM
from sensord.config import Config, ConfigError, environments, json_schema, load
from sensord.launchers.command import CommandConfig, open_commands
from sensord.launchers.nothing import NotLaunching
from sensord.launching import open_launchers
from tests.config.writing import write
from tests.launchers.command_kit import new_run

FILE = """\
telegram: {token: "${TELEGRAM_TOKEN}"}
jobs:
  load: {command: [python3, load.py], timeout: 5m, env: {A: one, B: two}}
  other: {python: "team:load", warm: 2, tags: {team: geo}}
sensors:
  drop: {directory: {path: incoming, pattern: "*.csv"}, job: load}
subscriptions:
  - {topic: "runs.>", to: "telegram:-1001"}
  - {topic: "bp.>", to: "console:"}
owner: telegram:-1002
quiet: {"telegram:-1001": "22:00-08:00 UTC"}
environments:
  test:
    telegram: null
    destinations: {"telegram:*": "inbox:"}
    launch: false
    jobs:
      load: {env: {B: three}, timeout: null}
      other: {command: ["true"]}
    sensors: {drop: {directory: {path: test-in}}}
  staging: {database: "${STAGING_DATABASE}", state: elsewhere, http: {port: 8301}}
  bare:
"""


def in_environment(folder: Path, name: str | None, text: str = FILE, **environ: str) -> Config:
    return load(write(folder, text), environ, environment=name)


def said(folder: Path, name: str | None, text: str = FILE, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        in_environment(folder, name, text, **environ)
    return [str(one).replace(f"{folder}/", "") for one in caught.value.problems]


def test_what_stands_below_an_environment_is_put_over_the_file(tmp_path: Path) -> None:
    config = in_environment(tmp_path, "test")
    assert (config.environment, config.launches, config.telegram) == ("test", False, None)
    load_, other = config.jobs["load"], config.jobs["other"]
    assert isinstance(load_.launcher, CommandConfig)
    assert (load_.launcher.env, load_.timeout) == ({"A": "one", "B": "three"}, None)
    assert (other.kind, other.tags) == ("command", {"team": "geo"})
    assert [one.to for one in config.subscriptions] == ["inbox:", "console:"]
    assert (config.owner, config.quiet) == ("inbox:", {})
    assert config.sensors["drop"].source.model_dump()["pattern"] == "*.csv"
    assert config.sensors["drop"].source.model_dump()["path"] == tmp_path / "test-in"


def test_an_environment_shares_neither_database_nor_state_nor_port(tmp_path: Path) -> None:
    plain = in_environment(tmp_path, None, TELEGRAM_TOKEN="1:a")
    test = in_environment(tmp_path, "test")
    staging = in_environment(tmp_path, "staging", TELEGRAM_TOKEN="1:a", STAGING_DATABASE="postgresql://h/staging")
    assert (plain.environment, plain.launches, plain.http.port) == ("", True, 8300)
    assert (test.database, test.state) == (f"sqlite:///{tmp_path}/sensord-test.db", tmp_path / ".sensord-test")
    assert test.http.port == 0
    assert (staging.database, staging.state) == ("postgresql://h/staging", tmp_path / "elsewhere")
    assert staging.http.port == 8301
    assert in_environment(tmp_path, "bare", TELEGRAM_TOKEN="1:a").state == tmp_path / ".sensord-bare"


def test_null_gives_an_environment_nothing_of_productions(tmp_path: Path) -> None:
    text = "state: s\nhttp: {port: 9000}\nenvironments:\n  e: {database: null, state: null, http: null}\n"
    config = in_environment(tmp_path, "e", text)
    assert (config.database, config.state) == (f"sqlite:///{tmp_path}/sensord-e.db", tmp_path / ".sensord-e")
    assert config.http.port == 0
    kept = in_environment(tmp_path, "e", text.replace("null, http: null", "null, http: {host: localhost}"))
    assert (kept.http.port, kept.http.host) == (0, "localhost")


def test_the_variable_chooses_where_nobody_says_it(tmp_path: Path) -> None:
    assert load(write(tmp_path, FILE), {"SENSORD_ENV": "test"}).environment == "test"
    assert environments(tmp_path / "sensord.yaml", {}) == ["test", "staging", "bare"]


def test_a_variable_is_needed_only_where_it_is_used(tmp_path: Path) -> None:
    assert in_environment(tmp_path, None, TELEGRAM_TOKEN="1:a").environment == ""
    assert said(tmp_path, "staging", TELEGRAM_TOKEN="1:a") == [
        (
            "sensord.yaml:21:23: environments.staging.database: the environment variable STAGING_DATABASE is not set; "
            "set it; write $${ for a literal ${"
        )
    ]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{jobs: {load: {timeout: 5}}}", "sensord.yaml:2:33: jobs.load.timeout: 5 is not a duration"),
        ("{jobs: {load: {timout: 5m}}}", "sensord.yaml:2:24: jobs.load.timout: unknown key; did you mean 'timeout'?"),
        ("{jobs: {laod: {timeout: 5m}}}", "sensord.yaml:2:17: jobs.laod: no launcher; a job has exactly one"),
        ("{jbos: {}}", "sensord.yaml:2:10: jbos: unknown key; did you mean 'jobs'?"),
        ("{launch: 1}", "sensord.yaml:2:18: environments.test.launch: not true or false; false: nothing is launched"),
        ("{destinations: inbox}", "sensord.yaml:2:24: environments.test.destinations: not a mapping"),
        ("{destinations: {'x:*': pigeon}}", "sensord.yaml:2:32: environments.test.destinations.'x:*': "),
        ("{destinations: {'inbox:*': 'slack:#a'}}", "sensord.yaml:2:36: subscriptions[0].to: slack is not configured"),
        ("{include: a.yaml}", "sensord.yaml:2:19: environments.test.include: an environment has no include"),
        ("[1]", "sensord.yaml:2:3: environments: not a mapping of environments"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(tmp_path: Path, written: str, problem: str) -> None:
    rest = "jobs: {load: {command: [x]}}\nsubscriptions: [{topic: a, to: 'inbox:'}]\n"
    text = f"environments:\n  test: {written}\n{rest}"
    found = said(tmp_path, "test", text)
    assert any(one.startswith(problem) for one in found), found


def test_an_environment_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    assert said(tmp_path, "tset", TELEGRAM_TOKEN="1:a")[0].endswith(
        "there is no environment 'tset'; did you mean 'test'?"
    )
    (only,) = said(tmp_path, "test", "jobs: {a: {command: [x]}}")
    assert only == "sensord.yaml: environments: there is no environment 'test'; environments: none"
    (name,) = said(tmp_path, "../x", "environments: {'../x': {}}")
    assert "a name is 1 to 100 letters" in name


def test_the_schema_knows_environments() -> None:
    check = Draft202012Validator(json_schema())
    check.validate(yaml.safe_load(FILE))
    wrongs: list[Any] = [{"test": {"launch": "no"}}, {"test": {"jbos": {}}}, {"test": {"include": "x"}}, ["test"]]
    for wrong in wrongs:
        assert not check.is_valid({"environments": wrong}), wrong


async def test_where_nothing_is_launched_runs_succeed_and_say_so(tmp_path: Path) -> None:
    config = in_environment(tmp_path, "test")
    config.state.mkdir()
    started: list[datetime] = []
    async with (
        open_commands(config.state, clock=SYSTEM, linger=0.2) as commands,
        open_launchers(config, commands, clock=SYSTEM) as launchers,
    ):
        launcher = launchers["load"]
        assert isinstance(launcher, NotLaunching)
        outcome = await launcher.launch(new_run(), started.append)
        assert await launcher.adopt(new_run(), started.append) is None
    assert (outcome.status, outcome.metadata, started) == ("succeeded", {"launched": False}, [outcome.started_at])
