"""The configuration of Python sensors."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensord.sources.python import PythonConfig
from tests.config.writing import config, problems

JOBS = "jobs: {load: {command: [x]}}\n"
SENSOR = "sensors: {s: {job: load, python: {module: my_team.sensors, function: mine%s}%s}}"


def test_a_python_sensor_is_read_as_documented(tmp_path: Path) -> None:
    keys = ", interval: 30s, deadline: 90s, memory: 1.5GiB, path: lib, env: {TOKEN: x}"
    source = config(tmp_path, JOBS + SENSOR % (keys, "")).sensors["s"].source
    assert source == PythonConfig(
        module="my_team.sensors",
        function="mine",
        interval=30.0,
        deadline=90.0,
        memory=1_610_612_736,
        path=tmp_path / "lib",
        env={"TOKEN": "x"},
    )


def test_the_environments_values_are_never_shown(tmp_path: Path) -> None:
    source = config(tmp_path, JOBS + SENSOR % (", env: {WORD: not-known-as-a-secret}", "")).sensors["s"].source
    assert "not-known-as-a-secret" not in repr(source) + source.model_dump_json()
    assert source.model_dump(mode="json")["env"] == {"WORD": "***"}


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    source = config(tmp_path, JOBS + SENSOR % ("", "")).sensors["s"].source
    assert isinstance(source, PythonConfig)
    assert (source.interval, source.deadline, source.memory, source.path) == (None, 3600, 512_000_000, tmp_path)


def test_deadline_and_memory_may_be_switched_off(tmp_path: Path) -> None:
    source = config(tmp_path, JOBS + SENSOR % (", deadline: null, memory: null", "")).sensors["s"].source
    assert isinstance(source, PythonConfig)
    assert (source.deadline, source.memory) == (None, None)


@pytest.mark.parametrize(
    ("keys", "more", "words"),
    [
        (", memory: 512", "", "512 is not a size; write a number and a unit: 512MB, 2GB, 512MiB, 2GiB"),
        (", memory: 1MB", "", "expected at least 64,000,000"),
        (", interval: 0s", "", "expected more than 0, found '0s'"),
        (", deadline: soon", "", "'soon' is not a duration"),
        (", env: {'A=B': c}", "", "the variable 'A=B' cannot be set"),
        (", modul: x", "", "unknown key; did you mean 'module'?"),
        (
            "",
            ", run_key: x, when: 'true'",
            "a Python sensor's function decides that by itself; leave out run_key, when",
        ),
        ("", ", keys: latest_wins", "keys: latest_wins compares versions, and what a Python sensor asks for has none"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, keys: str, more: str, words: str) -> None:
    found = "\n".join(str(one) for one in problems(tmp_path, JOBS + SENSOR % (keys, more)))
    assert words in found


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [
        ("my-team/sensors.py", "f", "names no module; write it as in an import: my_team.sensors"),
        ("m", "a.b", "names no function; write its name alone"),
    ],
)
def test_names_are_those_of_an_import(tmp_path: Path, module: str, function: str, words: str) -> None:
    text = f"sensors: {{s: {{job: load, python: {{module: {module}, function: {function}}}}}}}"
    assert words in "\n".join(str(one) for one in problems(tmp_path, JOBS + text))
