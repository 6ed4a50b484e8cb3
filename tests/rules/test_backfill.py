"""What a backfill covers, and what of that it runs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from rules.backfill import MOST, Only, covered, selected
from rules.partitions import PartitionError, static_partitions, time_partitions

LISBON = ZoneInfo("Europe/Lisbon")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAYS = time_partitions("daily", LISBON)
SINCE = time_partitions("daily", LISBON, start=date(2026, 11, 17))
NAMES = static_partitions(["us", "eu", "jp"])


def test_it_covers_both_ends_the_oldest_first() -> None:
    assert covered(DAYS, first="2026-10-24", last="2026-10-26", now=NOW) == ["2026-10-24", "2026-10-25", "2026-10-26"]
    assert covered(DAYS, first="2026-10-24", last="2026-10-24", now=NOW) == ["2026-10-24"]
    assert covered(NAMES, first="us", last="eu", now=NOW) == ["us", "eu"]


def test_without_an_end_it_covers_what_has_ended_and_without_a_beginning_all_since_the_start() -> None:
    assert covered(DAYS, first="2026-11-19", last=None, now=NOW) == ["2026-11-19", "2026-11-20"]
    assert covered(SINCE, first=None, last="2026-11-18", now=NOW) == ["2026-11-17", "2026-11-18"]
    assert covered(SINCE, first=None, last=None, now=NOW)[-1] == "2026-11-20"
    assert covered(NAMES, first=None, last=None, now=NOW) == ["us", "eu", "jp"]
    assert covered(DAYS, first="2026-11-21", last=None, now=NOW) == []
    assert covered(SINCE, first=None, last=None, now=datetime(2026, 1, 1, tzinfo=UTC)) == []


def test_each_hour_of_a_long_day_is_covered() -> None:
    hours = covered(time_partitions("hourly", LISBON), first="2026-10-25-00:00", last="2026-10-25-23:00", now=NOW)
    assert len(hours) == 25
    assert "2026-10-25-01:00+0000" in hours


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        ("2026-11-20", "2026-11-18", "'2026-11-18' is before '2026-11-20'; write them the other way round"),
        ("2026-11-18", "2026-11-21", "'2026-11-21' has not ended yet: it does so at 2026-11-22T00:00:00"),
        ("yesterday", "2026-11-20", "'yesterday' is no daily partition"),
        (None, "2026-11-20", "say where to begin"),
        ("1900-01-02", "2199-12-31", "has not ended yet"),
    ],
)
def test_what_cannot_be_covered_is_said(first: str | None, last: str | None, sentence: str) -> None:
    with pytest.raises(PartitionError, match=sentence):
        covered(DAYS, first=first, last=last, now=NOW)


def test_names_the_wrong_way_round_or_unknown_are_said() -> None:
    with pytest.raises(PartitionError, match="'us' is before 'jp' in the list"):
        covered(NAMES, first="jp", last="us", now=NOW)
    with pytest.raises(PartitionError, match="'de' is no partition"):
        covered(NAMES, first="de", last=None, now=NOW)


def test_a_mistyped_year_is_told_and_not_run() -> None:
    with pytest.raises(PartitionError, match=f"more than {MOST:,} hourly partitions; begin later"):
        covered(time_partitions("hourly", UTC), first="2006-01-01-00:00", last=None, now=NOW)


STATUSES = {
    "good": ["failed", "succeeded"],
    "bad": ["failed", "lost"],
    "stopped": ["cancelled"],
    "again": ["failed", "running"],
    "waits": ["queued"],
}
KEYS = ["never", "good", "bad", "stopped", "again", "waits"]


@pytest.mark.parametrize(
    ("only", "expected"),
    [("all", KEYS), ("missing", ["never", "bad", "stopped"]), ("failed", ["bad", "stopped"])],
)
def test_it_runs_what_is_asked_for_in_either_order(only: Only, expected: list[str]) -> None:
    assert selected(KEYS, STATUSES, only=only) == expected
    assert selected(KEYS, STATUSES, only=only, order="newest") == expected[::-1]
