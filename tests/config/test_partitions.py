"""`partitions:` of a job: the short forms of a schedule's, and what is said where the two do not agree."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from notifiers.zones import zone_of
from rules.partitions import static_partitions, time_partitions
from sensord.config import json_schema
from sensord.partitions import PartitionsConfig
from tests.config.writing import config, said


def job(partitions: str) -> str:
    return f"jobs: {{load: {{command: [x], partitions: {partitions}}}}}\n"


def schedule(partitions: str, timezone: str = "UTC") -> str:
    return (
        "sensors:\n  nightly:\n    job: load\n"
        f"    schedule: {{cron: daily, timezone: {timezone}, partitions: {partitions}}}\n"
    )


def test_a_jobs_partitions_have_the_short_forms_and_are_of_utc(tmp_path: Path) -> None:
    for written, expected in {
        "daily": time_partitions("daily", UTC),
        "[us, eu]": static_partitions(["us", "eu"]),
        "{every: weekly, timezone: Europe/Lisbon, week_start: monday}": time_partitions(
            "weekly", zone_of("Europe/Lisbon"), week_start="monday"
        ),
    }.items():
        text = job(written)
        found = config(tmp_path, text).jobs["load"].partitions
        assert isinstance(found, PartitionsConfig)
        assert found.definition(UTC) == expected
        Draft202012Validator(json_schema()).validate(yaml.safe_load(text))


def test_what_is_wrong_with_them_is_said_with_its_place(tmp_path: Path) -> None:
    assert said(tmp_path, job("dayly"))[0].startswith("sensord.yaml:1:41: jobs.load.partitions")
    assert "Europe/Lisbon" in said(tmp_path, job("{every: daily, timezone: Europe/Lissabon}"))[0]


@pytest.mark.parametrize(
    ("mine", "theirs", "timezone"),
    [
        ("daily", "daily", "UTC"),
        ("{every: daily, start: 2026-01-01, timezone: Europe/Lisbon}", "daily", "Europe/Lisbon"),
        ("{every: daily, timezone: Europe/Lisbon}", "{every: daily, start: 2025-01-01}", "Europe/Lisbon"),
        ("[us, eu, jp]", "[eu, us]", "UTC"),
    ],
)
def test_a_schedule_may_begin_elsewhere_or_run_fewer(tmp_path: Path, mine: str, theirs: str, timezone: str) -> None:
    assert config(tmp_path, job(mine) + schedule(theirs, timezone)).jobs["load"].partitions is not None


@pytest.mark.parametrize(
    ("mine", "theirs", "timezone", "words"),
    [
        ("daily", "hourly", "UTC", "they are hourly in UTC here, and they are daily in UTC in jobs.load.partitions"),
        ("daily", "daily", "Europe/Lisbon", "they are daily in Europe/Lisbon here, and they are daily in UTC in"),
        ("daily", "[us]", "UTC", "they are us here"),
        ("[us, eu]", "[us, de]", "UTC", "they are us, de here, and they are us, eu in jobs.load.partitions; make them"),
        ("weekly", "{every: weekly, week_start: monday}", "UTC", "weekly from monday on in UTC here"),
    ],
)
def test_partitions_that_do_not_agree_are_a_problem_with_its_place(
    tmp_path: Path, mine: str, theirs: str, timezone: str, words: str
) -> None:
    (found,) = said(tmp_path, job(mine) + schedule(theirs, timezone))
    assert found.startswith("sensord.yaml:5:")
    assert "sensors.nightly.schedule.partitions: " in found
    assert words in found


def test_a_schedule_without_partitions_says_nothing_of_them(tmp_path: Path) -> None:
    config(tmp_path, job("daily") + "sensors: {nightly: {job: load, schedule: '30 6 * * *'}}\n")
