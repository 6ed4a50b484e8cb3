"""Partitions: keys as Dagster writes them, windows that follow each other through every clock change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.partitions import (
    EVERY,
    Every,
    Partition,
    PartitionError,
    TimePartitions,
    Weekday,
    static_partitions,
    time_partitions,
)
from tests.rules.clock_changes import BEGIN, DAY, END, changing_zones

HOUR = timedelta(hours=1)
LISBON = ZoneInfo("Europe/Lisbon")
NEW_YORK = ZoneInfo("America/New_York")


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return wall(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "key", "start", "end"),
    [
        ("hourly", "2026-11-21-05:00", "2026-11-21T10:00", "2026-11-21T11:00"),
        ("daily", "2026-11-21", "2026-11-21T05:00", "2026-11-22T05:00"),
        ("weekly", "2026-11-15", "2026-11-15T05:00", "2026-11-22T05:00"),
        ("monthly", "2026-11-01", "2026-11-01T04:00", "2026-12-01T05:00"),
    ],
)
def test_a_key_is_the_beginning_of_its_window_in_the_zones_time(every: Every, key: str, start: str, end: str) -> None:
    partitions = time_partitions(every, NEW_YORK)
    expected = Partition(key, utc(start), utc(end))
    assert partitions.of(key) == expected
    assert partitions.at(utc(start)) == partitions.at(utc(end) - timedelta(microseconds=1)) == expected
    assert partitions.ended(utc(end)) == expected
    assert partitions.ended(utc(end) - timedelta(microseconds=1)) == partitions.previous(expected)


def test_days_have_the_hours_that_the_clocks_give_them() -> None:
    days = time_partitions("daily", LISBON)
    lengths = {key: (one.end - one.start) / HOUR for key in ("2026-03-29", "2026-10-25") for one in [days.of(key)]}
    assert lengths == {"2026-03-29": 23, "2026-10-25": 25}


def test_the_hour_that_the_clock_shows_twice_is_two_partitions_named_as_dagster_names_them() -> None:
    hours = time_partitions("hourly", NEW_YORK)
    found = list(hours.between(utc("2026-11-01T04:00"), utc("2026-11-01T08:00")))
    assert [one.key for one in found] == [
        "2026-11-01-00:00",
        "2026-11-01-01:00",
        "2026-11-01-01:00-0500",
        "2026-11-01-02:00",
    ]
    assert [hours.of(one.key) for one in found] == found


def test_weeks_begin_on_sunday_unless_another_day_is_said() -> None:
    monday = time_partitions("weekly", UTC, week_start="monday")
    assert monday.of("2026-11-16").end == utc("2026-11-23T00:00")
    with pytest.raises(PartitionError, match="'2026-11-15' begins no weekly partition; it lies in '2026-11-09'"):
        monday.of("2026-11-15")


def test_none_begins_before_the_start() -> None:
    weeks = time_partitions("weekly", LISBON, start=date(2026, 1, 1))
    first = weeks.of("2026-01-04")
    assert weeks.previous(first) is None
    assert weeks.ended(first.end - HOUR) is None
    assert weeks.ended(first.end) == first
    assert weeks.at(first.start - HOUR) is None
    assert list(weeks.between(utc("2020-01-01T00:00"), first.end)) == [first]
    with pytest.raises(PartitionError, match="'2025-12-28' is before the first weekly partition, '2026-01-04'"):
        weeks.of("2025-12-28")


def test_between_has_those_that_lie_within_whole() -> None:
    days = time_partitions("daily", LISBON)
    found = days.between(utc("2026-11-20T00:00:01"), utc("2026-11-23T23:59"))
    assert [one.key for one in found] == ["2026-11-21", "2026-11-22"]
    found = days.between(utc("2026-11-20T00:00"), utc("2026-11-22T00:00"))
    assert [one.key for one in found] == ["2026-11-20", "2026-11-21"]
    assert list(days.between(utc("2026-11-20T00:00"), utc("2026-11-20T23:00"))) == []


def check_follow(partitions: TimePartitions, since: datetime, until: datetime) -> None:
    """Windows follow each other, and each can be found by its key, from its neighbours and by any moment in it."""
    found = list(partitions.between(since, until))
    assert found
    assert len({one.key for one in found}) == len(found)
    for one, following in pairwise(found):
        assert one.end == following.start, partitions
        assert partitions.next(one) == following
        assert partitions.previous(following) == one
    for one in found:
        assert one.start < one.end
        assert partitions.of(one.key) == one
        assert partitions.ended(one.end) == partitions.at(one.start) == partitions.at(one.end - HOUR / 60) == one


def test_around_every_clock_change_windows_follow_each_other_and_keys_name_them() -> None:
    for zone in changing_zones():
        for number, change in enumerate(zone.changes):
            check_follow(time_partitions("hourly", zone.zone), change.at - 3 * HOUR, change.at + 3 * HOUR)
            every = EVERY[1 + number % 3]
            around = timedelta(days={"daily": 2, "weekly": 15, "monthly": 63}[every])
            check_follow(time_partitions(every, zone.zone), change.at - around, change.at + around)


def test_days_have_every_date_once() -> None:
    for zone in changing_zones()[::4]:
        found = [date.fromisoformat(one.key) for one in time_partitions("daily", zone.zone).between(BEGIN, END)]
        assert all(after - before == DAY for before, after in pairwise(found)), zone.zone


def test_a_day_that_a_zone_left_out_is_no_partition() -> None:
    days = time_partitions("daily", ZoneInfo("Pacific/Apia"))
    before = days.of("2011-12-29")
    assert days.next(before).key == "2011-12-31"
    with pytest.raises(PartitionError, match="'2011-12-30' begins no daily partition; it lies in '2011-12-31'"):
        days.of("2011-12-30")


def check_counted(partitions: TimePartitions, after: datetime, upto: datetime) -> None:
    """What is found by counting is what the cron expression says."""
    assert list(partitions._beginnings(after, upto)) == list(partitions._starts.between(after, upto)), partitions


def test_around_every_clock_change_counting_finds_what_the_expression_says() -> None:
    for zone in changing_zones():
        for number, change in enumerate(zone.changes):
            check_counted(time_partitions("hourly", zone.zone), change.at - 30 * HOUR, change.at + 30 * HOUR)
            every = EVERY[1 + number % 3]
            check_counted(time_partitions(every, zone.zone), change.at - 40 * DAY, change.at + 40 * DAY)


ZONES = st.sampled_from([UTC, LISBON, NEW_YORK, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kathmandu")])
WEEKDAYS: st.SearchStrategy[Weekday] = st.sampled_from(["sunday", "monday", "saturday"])
MOMENTS = st.datetimes(wall("1950-01-01"), wall("2100-01-01"), timezones=st.just(UTC))


@given(st.sampled_from(EVERY), ZONES, WEEKDAYS, MOMENTS)
def test_every_moment_lies_in_one_window_whose_key_leads_back_to_it(
    every: Every, zone: ZoneInfo, weekday: Weekday, moment: datetime
) -> None:
    partitions = time_partitions(every, zone, week_start=weekday)
    found = partitions.at(moment)
    assert found is not None
    assert found.start <= moment < found.end
    assert partitions.of(found.key) == found
    last = partitions.ended(moment)
    assert last is not None
    assert partitions.next(last) == found


@given(st.sampled_from(EVERY), ZONES, WEEKDAYS, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_counting_finds_what_the_expression_says(
    every: Every, zone: ZoneInfo, weekday: Weekday, after: datetime, length: timedelta
) -> None:
    check_counted(time_partitions(every, zone, week_start=weekday), after, after + length)


@pytest.mark.parametrize(
    ("every", "key", "sentence"),
    [
        ("daily", "yesterday", "'yesterday' is no daily partition; write for example 2026-11-21"),
        ("daily", "20261121", "'20261121' begins no daily partition; it lies in '2026-11-21'"),
        ("daily", "2026-02-30", "is no daily partition"),
        ("daily", "1066-10-14", "is no daily partition"),
        ("daily", "9999-12-31", "is no daily partition"),
        ("monthly", "2026-11-02", "begins no monthly partition; it lies in '2026-11-01'"),
        ("weekly", "", "is no weekly partition; write for example 2026-11-21 \\(the week's first day, a Sunday\\)"),
        ("hourly", "2026-11-21", "is no hourly partition; write for example 2026-11-21-05:00"),
        ("hourly", "2026-11-21-05:30", "begins no hourly partition; it lies in '2026-11-21-05:00'"),
        ("hourly", "2026-03-29-01:00", "begins no hourly partition; it lies in '2026-03-29-02:00'"),
        ("hourly", "2026-11-21-05:00+0000", "begins no hourly partition; it lies in '2026-11-21-05:00'"),
        ("hourly", "0001-01-01-00:00+1400", "is no hourly partition"),
    ],
)
def test_a_key_that_names_none_is_refused_with_what_to_write(every: Every, key: str, sentence: str) -> None:
    with pytest.raises(PartitionError, match=sentence):
        time_partitions(every, LISBON).of(key)


@given(st.sampled_from(EVERY), st.text(alphabet="0123456789-:+Wz ", max_size=24) | st.text(max_size=8))
def test_any_text_is_a_key_or_a_partition_error(every: Every, key: str) -> None:
    try:
        found = time_partitions(every, LISBON).of(key)
    except PartitionError:
        return
    assert found.key == key


def test_a_start_that_is_no_day_of_our_time_is_refused() -> None:
    with pytest.raises(PartitionError, match="a start in the year 1; write one from 1900 to 2199"):
        time_partitions("daily", UTC, start=date(1, 1, 1))


def test_static_partitions_keep_their_order_and_know_their_keys() -> None:
    partitions = static_partitions(["us", "eu"])
    assert partitions.keys == ("us", "eu")
    assert partitions.of("eu") == "eu"
    with pytest.raises(PartitionError, match="'de' is no partition; there are us, eu"):
        partitions.of("de")
    with pytest.raises(PartitionError, match="'europ' is no partition; did you mean 'europe'"):
        static_partitions(["us", "europe"]).of("europ")


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([], "name at least one"),
        (["a", "b", "a"], "'a' is listed twice"),
        ([""], "write 1 to 200 characters"),
        ([" "], "write 1 to 200 characters"),
        (["a\nb"], "write 1 to 200 characters"),
        (["x" * 201], "write 1 to 200 characters"),
    ],
)
def test_names_that_cannot_be_told_apart_or_shown_are_refused(keys: list[str], sentence: str) -> None:
    with pytest.raises(PartitionError, match=sentence):
        static_partitions(keys)
