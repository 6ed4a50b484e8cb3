"""`schedule:` in the configuration: what is taken, and what is said of the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from jsonschema import Draft202012Validator

from rules.partitions import EVERY, WEEKDAYS, StaticPartitions, TimePartitions
from rules.schedules import CATCH_UPS
from sensord.config import json_schema
from sensord.partitions import PartitionsConfig
from sensord.sources.schedule import ScheduleConfig
from tests.config.writing import JOB, config, said


def sensor(text: str) -> str:
    return f"{JOB}sensors:\n  s: {{job: load, schedule: {text}}}\n"


def schedule(folder: Path, text: str) -> ScheduleConfig:
    found = config(folder, sensor(text)).sensors["s"].source
    assert isinstance(found, ScheduleConfig)
    return found


def test_the_short_form_is_the_expression_alone(tmp_path: Path) -> None:
    assert schedule(tmp_path, "'0 9 * * 1-5'") == ScheduleConfig(cron="0 9 * * 1-5")
    assert schedule(tmp_path, "'@daily'").timezone == "UTC"
    assert schedule(tmp_path, "daily").catch_up == "last"


def test_every_key_is_read(tmp_path: Path) -> None:
    found = schedule(
        tmp_path,
        "{cron: '0 9 * * 1-5', timezone: Europe/Lisbon, jitter: 30s, catch_up: all, "
        "partitions: {every: weekly, start: 2026-01-01, timezone: Asia/Tokyo, week_start: monday}}",
    )
    assert (found.jitter, found.catch_up, found.schedule().zone) == (30.0, "all", ZoneInfo("Europe/Lisbon"))
    assert found.partitions is not None
    assert found.partitions.start == date(2026, 1, 1)
    slices = found.slices()
    assert isinstance(slices, TimePartitions)
    assert (slices.every, slices.zone, slices.week_start) == ("weekly", ZoneInfo("Asia/Tokyo"), "monday")


def test_partitions_have_short_forms_and_the_schedules_zone(tmp_path: Path) -> None:
    daily = schedule(tmp_path, "{cron: daily, timezone: Europe/Lisbon, partitions: daily}").slices()
    assert isinstance(daily, TimePartitions)
    assert (daily.every, daily.zone, daily.first) == ("daily", ZoneInfo("Europe/Lisbon"), None)
    named = schedule(tmp_path, "{cron: daily, partitions: [us, eu]}").slices()
    assert named == StaticPartitions(("us", "eu"))
    assert schedule(tmp_path, "daily").slices() is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dayly", "3:28: sensors.s.schedule: 'dayly' is no cron expression; write five fields"),
        ("'0 0 9 * * 1'", "schedule: '0 0 9 * * 1' has six fields; leave the one for seconds out: '0 9 * * 1'"),
        ("{cron: '0 25 * * *'}", "schedule.cron: '0 25 * * *' is no cron expression: bad hour; minutes are 0-59"),
        ("{cron: 5}", "schedule.cron: expected text, found 5; put it in quotes"),
        ("{timezone: UTC}", "schedule.cron: missing; it must be given"),
        ("{cron: daily, timezone: Europe/Lisboa}", "'Europe/Lisboa'; did you mean 'Europe/Lisbon'?"),
        ("{cron: daily, timezone: lisbon}", "did you mean 'Europe/Lisbon'?"),
        ("{cron: daily, timezone: New York}", "did you mean 'America/New_York'?"),
        ("{cron: daily, timezone: Atlantis}", "there is no time zone 'Atlantis'; did you mean"),
        ("{cron: daily, timezone: xq}", "there is no time zone 'xq'; write UTC, or a name such as Europe/Lisbon"),
        ("{cron: daily, timezone: ''}", "there is no time zone ''"),
        ("{cron: daily, timezone: ../passwd}", "there is no time zone '../passwd'"),
        ("{cron: daily, timezone: right/UTC}", "there is no time zone 'right/UTC'"),
        ("{cron: daily, timezone: Europe}", "there is no time zone 'Europe'"),
        ("{cron: daily, zone: UTC}", "schedule.zone: unknown key; did you mean 'timezone'?"),
        ("{cron: daily, jitter: 2d}", "schedule.jitter: expected at most 86,400.0, found '2d'"),
        ("{cron: daily, jitter: 30}", "schedule.jitter: 30 is not a duration"),
        ("{cron: daily, catch_up: first}", "expected 'all', 'last' or 'none', found 'first'"),
        ("{cron: daily, partitions: dayly}", "partitions: expected 'hourly', 'daily', 'weekly' or 'monthly', found"),
        ("{cron: daily, partitions: []}", "schedule.partitions: name at least one partition"),
        ("{cron: daily, partitions: [5]}", "schedule.partitions[0]: expected text, found 5; put it in quotes"),
        ("{cron: daily, partitions: [a, a]}", "schedule.partitions: partition 'a' is listed twice"),
        ("{cron: daily, partitions: {}}", "write either every: hourly, daily, weekly or monthly, or static: [names]"),
        ("{cron: daily, partitions: {every: daily, static: [a]}}", "write either every: hourly"),
        ("{cron: daily, partitions: {evry: daily}}", "partitions.evry: unknown key; did you mean 'every'?"),
        ("{cron: daily, partitions: {every: daily, week_start: monday}}", "week_start is for every: weekly"),
        ("{cron: daily, partitions: {static: [a], start: 2026-01-01}}", "start and timezone are for slices of time"),
        ("{cron: daily, partitions: {every: daily, start: 2026-1-1}}", "'2026-1-1' is no day; write for example"),
        ("{cron: daily, partitions: {every: daily, start: 0001-01-01}}", "a start in the year 1; write one from 1900"),
        ("{cron: daily, partitions: {every: daily, timezone: Mars}}", "partitions.timezone: there is no time zone"),
        ("5", "sensors.s.schedule: expected a mapping, found a number"),
    ],
)
def test_what_is_wrong_is_said_with_place_key_and_remedy(tmp_path: Path, text: str, complaint: str) -> None:
    (found,) = said(tmp_path, sensor(text))
    assert complaint in found


def test_the_schema_takes_what_the_loader_takes_and_refuses_what_it_refuses() -> None:
    check = Draft202012Validator(json_schema())
    for text in (
        "daily",
        "{cron: daily, partitions: daily}",
        "{cron: daily, partitions: [a, b]}",
        "{cron: daily, timezone: Europe/Lisbon, jitter: 30s, catch_up: none, partitions: {every: weekly}}",
        "{cron: daily, partitions: {every: daily, start: '2026-01-01'}}",
    ):
        check.validate(yaml.safe_load(sensor(text)))
    for text in ("5", "{}", "{cron: 5}", "{cron: daily, catch_up: x}", "{cron: daily, partitions: x}", "{cro: daily}"):
        assert not check.is_valid(yaml.safe_load(sensor(text))), text


def test_the_words_of_the_configuration_are_those_of_the_rules() -> None:
    assert [PartitionsConfig(every=every).every for every in EVERY] == list(EVERY)
    assert [PartitionsConfig(every="weekly", week_start=day).week_start for day in WEEKDAYS] == list(WEEKDAYS)
    assert [ScheduleConfig(cron="daily", catch_up=policy).catch_up for policy in CATCH_UPS] == list(CATCH_UPS)


def test_a_machine_without_a_time_zone_database_has_that_of_the_package() -> None:
    lines = (
        "from datetime import datetime",
        "from notifiers.zones import zone_of",
        "print(datetime(2026, 7, 1, tzinfo=zone_of('Europe/Lisbon')))",
    )
    environment = {**os.environ, "PYTHONTZPATH": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "2026-07-01 00:00:00+01:00\n"
