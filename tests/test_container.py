"""No container engine is at hand: the files are held against what the program accepts."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import typer.main
import yaml

from sensord.cli import app
from sensord.config import Config, load
from sensord.scaffold import JOB
from sensord.sources.directory import DirectoryConfig

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICE: dict[str, Any] = COMPOSE["services"]["sensord"]


def instruction(name: str) -> str:
    """The last instruction of that name, its continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split(None, 1)[1].strip() for line in joined.splitlines() if line.startswith(f"{name} ")][-1]


def configuration() -> Config:
    return load(ROOT / "docker" / "sensord.yaml", {"SENSORD_TOKEN": "a-token-of-the-test"})


def test_what_is_started_is_a_command_of_the_program() -> None:
    assert json.loads(instruction("ENTRYPOINT")) == ["sensord"]
    for words in (json.loads(instruction("CMD")), SERVICE["command"]):
        assert set(words) <= set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'sensord = "sensord.__main__:main"' in scripts


def test_it_does_not_run_as_root_and_the_users_are_one() -> None:
    uid = re.search(r"--uid (\d+) .*sensord", DOCKERFILE)
    assert uid is not None
    assert instruction("USER") == "sensord"
    assert SERVICE["user"] == f"{uid[1]}:{uid[1]}"
    assert int(uid[1]) > 0


def test_the_configuration_is_accepted_and_found_where_the_container_looks() -> None:
    config = configuration()
    env = dict(pair.split("=", 1) for pair in instruction("ENV").split())
    assert env["SENSORD_CONFIG"] == SERVICE["environment"]["SENSORD_CONFIG"] == "/etc/sensord/sensord.yaml"
    assert "./docker:/etc/sensord:ro" in SERVICE["volumes"]
    assert config.http.token is not None
    assert "SENSORD_TOKEN" in SERVICE["environment"]


def test_state_and_watched_folder_are_volumes() -> None:
    config = configuration()
    mounts = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICE["volumes"]}
    assert mounts["/var/lib/sensord"] in COMPOSE["volumes"]
    assert set(json.loads(instruction("VOLUME"))) == {"/var/lib/sensord", "/watched"}
    assert config.database.startswith("sqlite:////var/lib/sensord/")
    assert config.state.is_relative_to("/var/lib/sensord")
    sources = [sensor.source for sensor in config.sensors.values()]
    assert [source.path for source in sources if isinstance(source, DirectoryConfig)] == [Path("/watched")]
    assert SERVICE["read_only"] is True


def test_port_and_health_check_are_the_daemons_own() -> None:
    config = configuration()
    port = str(config.http.port)
    assert instruction("EXPOSE") == port
    assert SERVICE["ports"] == [f"127.0.0.1:{port}:{port}"]
    inside = json.loads(instruction("HEALTHCHECK").split(" CMD ", 1)[1])
    assert SERVICE["healthcheck"]["test"] == ["CMD", *inside]
    url = re.search(r"http://[^']+", inside[-1])
    assert url is not None
    assert url[0] == f"http://127.0.0.1:{port}/readyz"


def test_the_job_that_is_mounted_is_the_one_of_init() -> None:
    assert (ROOT / "docker" / "check_csv.py").read_text(encoding="utf-8") == JOB
    (command,) = [job.launcher.command for job in configuration().jobs.values()]  # type: ignore[attr-defined]
    assert command == ["python", "/etc/sensord/check_csv.py"]


def test_what_the_image_is_built_from_is_there() -> None:
    for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for path in line.split():
            assert (ROOT / path).exists(), path


def test_what_files_are_checked_with_and_postgresql_are_in_the_image() -> None:
    asked = re.search(r'"\.\[([a-z,]+)\]"', instruction("RUN"))
    assert asked is not None
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {"checks", "postgresql"} <= set(asked[1].split(",")) <= set(extras)
