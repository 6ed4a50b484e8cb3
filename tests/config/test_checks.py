"""`checks` and `mask` in the configuration: read, and refused with the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sensord.checks.settings import format_of, read_settings
from sensord.config import Config, ConfigError, json_schema, load

JOB = """
jobs:
  load:
    command: ["true"]
"""


def loaded(folder: Path, text: str) -> Config:
    (folder / "sensord.yaml").write_text(JOB + text)
    return load(folder / "sensord.yaml", {})


def test_checks_are_a_list_or_a_mapping_that_says_more_of_the_file(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
    mask: [email]
    checks: [{rows: {min: 1}}]
sensors:
  drop:
    directory: {path: in}
    job: load
    checks: {file: "{{ run.config.file }}", separator: ";", timeout: 30s, memory: 512MiB, of: [{nulls: name}]}
mask: ["*phone*"]
""",
    )
    assert config.jobs["load"].mask == ["email"]
    assert config.mask == ["*phone*"]
    of_job, of_sensor = read_settings(config.jobs["load"].checks), read_settings(config.sensors["drop"].checks)
    assert (of_job.file.source, of_job.timeout, of_job.memory) == ("{{ run.config.path }}", 300.0, 1 << 30)
    assert (of_sensor.file.source, of_sensor.timeout, of_sensor.memory) == ("{{ run.config.file }}", 30.0, 1 << 29)
    assert format_of(of_sensor, "/in/a.CSV") == ("csv", ";")
    assert format_of(of_job, "a.tsv") == ("csv", "\t")
    assert format_of(of_job, "a.pq") == ("parquet", ",")
    assert format_of(of_job, "a.xlsx") is None


@pytest.mark.parametrize(
    ("checks", "line", "said"),
    [
        ("checks: []", 5, "at least one"),
        ("checks: 3", 5, "a list of checks"),
        ("checks:\n      - {rows: {min: 1}}\n      - {rows: {least: 1}}", 7, "unknown key"),
        ("checks: {of: [{nulls: a}], files: x}", 5, "unknown key; it takes file, format"),
        ('checks: {of: [{nulls: a}], file: "{{"}', 5, "template"),
        ("checks: {of: [{nulls: a}], format: xml}", 5, "csv, jsonl, parquet"),
        ('checks: {of: [{nulls: a}], separator: "; "}', 5, "one ASCII character"),
        ("checks: {of: [{nulls: a}], timeout: soon}", 5, "not a duration"),
        ("checks: {of: [{nulls: a}], timeout: 2d}", 5, "from 1s to 1d"),
        ("checks: {of: [{nulls: a}], memory: 1}", 5, "at least 256MiB"),
        ("checks: {of: [{nulls: a}], memory: 1MiB}", 5, "at least 256MiB"),
        ("mask: ['']", 5, "not empty"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, checks: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, f"    {checks}\n")
    (problem,) = error.value.problems
    assert said in str(problem)
    assert problem.line == line


def test_the_schema_describes_them() -> None:
    validator = Draft202012Validator(json_schema())

    def fits(**job: Any) -> bool:
        return validator.is_valid({"jobs": {"load": {"command": ["true"], **job}}, "mask": ["email"]})

    assert fits(checks=[{"rows": {"min": 1}}], mask=["*phone*"])
    assert fits(checks={"of": [{"rows": {"min": 1}}], "timeout": "5m"})
    assert not fits(checks=[])
    assert not fits(checks={"of": [{"rows": {"min": 1}}], "files": "x"})
    assert not fits(mask="email")
