from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import Field

from notifiers.settings import Settings
from sensord.config import JobConfig, json_schema, parts
from sensord.config.file import read
from tests.config.writing import ENVIRON, EXAMPLE, JOB, config, problems, said, write


def as_data(folder: Path, text: str) -> Any:
    """The file as an editor sees it: parsed, and every `${NAME}` still there."""
    return read(write(folder, text), {name: f"${{{name}}}" for name in ENVIRON}).data


class Ping(Settings):
    """A second launcher, as somebody would add one."""

    ping: str
    env: dict[str, int] = Field(default_factory=dict)
    count: int = 1


def test_a_launcher_is_added_by_one_line_in_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LAUNCHERS", (*parts.LAUNCHERS, ("ping", Ping)))
    loaded = config(tmp_path, "jobs: {a: {ping: host, count: 3, env: {N: 4}, timeout: 5s}, b: {command: [x]}}")
    assert loaded.jobs["a"].launcher == Ping(ping="host", count=3, env={"N": 4})
    assert [job.kind for job in loaded.jobs.values()] == ["ping", "command"]
    assert said(tmp_path, "jobs: {a: {ping: host, command: [x], count: 2}}") == [
        (
            "sensord.yaml:1:8: jobs.a: command and ping together; a job has exactly one launcher of: "
            "command, dagster, http, python, ping"
        )
    ]
    assert said(tmp_path, "jobs: {a: {ping: host, cwd: x}}")[0].startswith("sensord.yaml:1:24: jobs.a.cwd: unknown key")
    assert JobConfig(launcher=Ping(ping="x")).kind == "ping"


def test_the_schema_takes_the_example_and_what_else_the_loader_takes(tmp_path: Path) -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    check.validate(as_data(tmp_path, EXAMPLE))
    for text in (
        "jobs:\n",
        "include: a.yaml\n",
        "http: {port: '${PORT}'}\nconcurrency: '${N}'\nlog: {level: '${L}'}\n",
        "jobs: {a: {command: [x], timeout: '${T}'}}\n",
        JOB + "sensors: {s: {directory: {path: x}, job: [load], run_config: '{{ file }}'}}\n",
    ):
        check.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("load_houses:\n    command", "load_houses:\n    comand"),
        ("jobs:", "jbos:"),
        ("directory:", "directry:"),
        ("pattern:", "patern:"),
        ("timeout: 30m", "timeout: 30"),
        ("attempts: 3", "attempts: 0"),
        ("success:", "sucess:"),
        ("job: load_houses", "jobs: load_houses"),
        ("cwd: etl", "cwd: 5"),
        ("bus: embedded", "bus: kafka"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(tmp_path: Path, right: str, wrong: str) -> None:
    text = EXAMPLE.replace(right, wrong, 1)
    assert text != EXAMPLE
    assert not Draft202012Validator(json_schema()).is_valid(as_data(tmp_path, text))
    assert problems(tmp_path, text, ENVIRON)


def test_the_schemas_defaults_are_written_as_a_person_writes_them() -> None:
    definitions = json_schema()["$defs"]
    assert definitions["RetentionConfig"]["properties"]["events"]["default"] == "90d"
    assert definitions["RetryConfig"]["properties"]["max_backoff"]["default"] == "10m"
    directory = definitions["SensorConfig"]["properties"]["directory"]
    assert directory["properties"]["settle"]["default"] == "2s"
