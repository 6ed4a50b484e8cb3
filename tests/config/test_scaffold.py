from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from sensord.config import json_schema, load
from sensord.scaffold import write_project
from sensord.sources.directory import DirectoryConfig


def test_a_new_project_is_a_configuration_that_loads(tmp_path: Path) -> None:
    folder = tmp_path / "deep/project"
    written = write_project(folder)
    assert written == [folder / "sensord.yaml", folder / "check_csv.py", folder / "incoming"]
    loaded = load(folder / "sensord.yaml", {})
    (sensor,) = loaded.sensors.values()
    assert isinstance(sensor.source, DirectoryConfig)
    assert sensor.source.path == folder / "incoming"
    assert sensor.source.path.is_dir()
    assert sensor.jobs == ("check_csv",)
    assert {one.to for one in loaded.subscriptions} == {"inbox:"}
    Draft202012Validator(json_schema()).validate(yaml.safe_load((folder / "sensord.yaml").read_text()))


@pytest.mark.parametrize("name", ["sensord.yaml", "check_csv.py", "incoming"])
def test_nothing_is_overwritten_and_nothing_is_written_beside_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match="already there, and nothing is overwritten") as caught:
        write_project(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def run_job(folder: Path, content: bytes) -> tuple[int, list[dict[str, Any]]]:
    write_project(folder)
    (folder / "incoming/a.csv").write_bytes(content)
    (folder / "run.json").write_text(json.dumps({"path": str(folder / "incoming/a.csv")}))
    environ = {"SENSORD_RUN_CONFIG": str(folder / "run.json"), "SENSORD_REPORT": str(folder / "report")}
    done = subprocess.run(
        [sys.executable, str(folder / "check_csv.py")],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == b""
    return done.returncode, [json.loads(line) for line in (folder / "report").read_text().splitlines()]


def test_the_job_passes_a_good_file_and_reports_its_rows(tmp_path: Path) -> None:
    code, report = run_job(tmp_path / "p", b"id,name\n1,a\n2,b\n")
    assert code == 0
    assert report[0] == {"metadata": {"rows": 2, "columns": 2}}
    assert (report[1]["check"], report[1]["passed"], report[1]["subject"]) == ("complete_rows", True, "a.csv")


@pytest.mark.parametrize(
    ("content", "detail", "sample"),
    [
        (b"id,name\n1,\n2,b\n", "1 of 2 rows have an empty or a missing cell", [{"row": 2, "cells": ["1", ""]}]),
        (b"id,name\n1\n", "1 of 1 rows have an empty or a missing cell", [{"row": 2, "cells": ["1"]}]),
        (b"id,name\n", "there are no rows", []),
        (b"", "there are no rows", []),
    ],
)
def test_the_job_fails_a_bad_file_and_reports_why(
    tmp_path: Path, content: bytes, detail: str, sample: list[dict[str, Any]]
) -> None:
    code, report = run_job(tmp_path / "p", content)
    assert code == 1
    assert (report[1]["passed"], report[1]["severity"]) == (False, "error")
    assert (report[1]["detail"], report[1]["sample"]) == (detail, sample)
