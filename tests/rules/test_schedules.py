"""Cron in a time zone: every clock change from 2024 to 2030, against what the clock itself shows minute by minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from rules.schedules import (
    CATCH_UPS,
    CatchUp,
    Cron,
    CronError,
    caught_up,
    first_instant,
    jitter,
    parse_cron,
)
from tests.rules.clock_changes import BEGIN, DAY, END, SECOND, Change, Changing, changing_zones, offset

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LISBON = ZoneInfo("Europe/Lisbon")

# An expression, and which minutes and hours it means. The first ones name certain times, the others go by the clock.
CERTAIN = {
    "30 2 * * *": ({30}, {2}),
    "0 0 * * *": ({0}, {0}),
    "30 0 * * *": ({30}, {0}),
    "59 23 * * *": ({59}, {23}),
    "15 1-3 * * *": ({15}, {1, 2, 3}),
    "0,30 0-4 * * *": ({0, 30}, {0, 1, 2, 3, 4}),
}
BY_THE_CLOCK = {
    "0 * * * *": ({0}, set(range(24))),
    "*/30 * * * *": ({0, 30}, set(range(24))),
    "*/15 2 * * *": ({0, 15, 30, 45}, {2}),
    "30 */2 * * *": ({30}, set(range(0, 24, 2))),
    "*/20 0,23 * * *": ({0, 20, 40}, {0, 23}),
}
MEANING = CERTAIN | BY_THE_CLOCK


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return wall(text).replace(tzinfo=UTC)


def shown(cron: Cron, after: str, count: int) -> list[str]:
    """The next instants, as the zone's clocks show them."""
    return [
        instant.astimezone(cron.zone).isoformat(" ", "minutes") for instant in islice(cron.after(utc(after)), count)
    ]


def test_a_time_that_the_clocks_leave_out_comes_when_they_jump() -> None:
    cron = parse_cron("30 1 * * *", LISBON)
    assert shown(cron, "2026-03-28T12:00", 2) == ["2026-03-29 02:00+01:00", "2026-03-30 01:30+01:00"]


def test_several_times_that_one_jump_leaves_out_come_once() -> None:
    cron = parse_cron("0,30 1,2 * * *", LISBON)
    assert shown(cron, "2026-03-28T12:00", 3) == [
        "2026-03-29 02:00+01:00",
        "2026-03-29 02:30+01:00",
        "2026-03-30 01:00+01:00",
    ]


def test_a_time_that_the_clocks_repeat_comes_the_first_time_alone() -> None:
    cron = parse_cron("30 1 * * *", LISBON)
    assert shown(cron, "2026-10-24T12:00", 2) == ["2026-10-25 01:30+01:00", "2026-10-26 01:30+00:00"]


def test_what_goes_by_the_clock_comes_as_often_as_the_clock_shows_it() -> None:
    cron = parse_cron("*/30 * * * *", LISBON)
    assert shown(cron, "2026-03-29T00:00", 3) == [
        "2026-03-29 00:30+00:00",
        "2026-03-29 02:00+01:00",
        "2026-03-29 02:30+01:00",
    ]
    assert shown(cron, "2026-10-25T00:00", 4) == [
        "2026-10-25 01:30+01:00",
        "2026-10-25 01:00+00:00",
        "2026-10-25 01:30+00:00",
        "2026-10-25 02:00+00:00",
    ]


def test_half_an_hour_of_change_moves_nothing_out_of_its_minute() -> None:
    cron = parse_cron("*/15 2 * * *", ZoneInfo("Australia/Lord_Howe"))
    assert shown(cron, "2026-04-04T13:00", 4) == [
        "2026-04-05 02:00+10:30",
        "2026-04-05 02:15+10:30",
        "2026-04-05 02:30+10:30",
        "2026-04-05 02:45+10:30",
    ]


def test_there_are_clock_changes_to_test() -> None:
    zones = changing_zones()
    assert sum(one.alike for one in zones) > 150
    assert sum(len(one.changes) for one in zones) > 300
    assert {abs(change.by) for one in zones for change in one.changes} >= {MINUTE * 30, HOUR, 2 * HOUR}


def expected(zone: ZoneInfo, change: Change, begin: datetime, end: datetime) -> Iterator[tuple[str, list[datetime]]]:
    """What each expression means around a change, found by looking at the clock in every minute."""
    before = (offset(begin, zone)) // MINUTE
    jump, minutes = (change.at - BEGIN) // MINUTE, range((begin - BEGIN) // MINUTE, (end - BEGIN) // MINUTE + 1)
    walls = [minute + before + (change.by // MINUTE if minute >= jump else 0) for minute in minutes]
    first = dict(zip(reversed(walls), reversed(minutes), strict=True))
    for text, (at_minutes, at_hours) in MEANING.items():
        times = {hour * 60 + minute for hour in at_hours for minute in at_minutes}
        if text in CERTAIN:
            named = [wall for wall in range(walls[0], walls[-1] + 1) if wall % 1440 in times]
            found = sorted({first.get(wall, jump) for wall in named})
        else:
            found = [minute for minute, wall in zip(minutes, walls, strict=True) if wall % 1440 in times]
        yield text, [BEGIN + MINUTE * minute for minute in found]


def check_change(zone: ZoneInfo, change: Change, turn: int, splits: int) -> None:
    begin, end = change.at - 5 * HOUR, change.at + 26 * HOUR
    points = [change.at + step for step in (-HOUR, -MINUTE, -SECOND, 0 * HOUR, SECOND, 30 * MINUTE, HOUR, 2 * HOUR)]
    for text, wanted in expected(zone, change, begin, end):
        cron = parse_cron(text, zone)
        found = list(cron.between(begin - SECOND, end))
        assert found == wanted, (zone, change, text)
        for split in range(splits):
            point = points[(turn + split * 3) % len(points)]
            rest = list(cron.between(point, point + 3 * HOUR))
            assert rest == [at for at in found if point < at <= point + 3 * HOUR], (zone, change, text, point)
            latest = max((at for at in found if at <= point), default=None)
            assert cron.latest(begin - SECOND, point) == latest, (zone, change, text, point)
            turn += 1


def check_zones(zones: tuple[Changing, ...], splits: int) -> None:
    turn = 0
    for one in zones:
        for change in one.changes:
            check_change(one.zone, change, turn, splits)
            turn += 1


def test_around_every_clock_change_instants_are_what_the_clock_shows_wherever_counting_begins() -> None:
    check_zones(changing_zones(), 1)


@pytest.mark.campaign
def test_clock_changes_of_every_zone_campaign() -> None:
    check_zones(changing_zones(every=True), 8)


def test_no_daily_schedule_misses_a_day_or_has_it_twice_in_any_zone() -> None:
    for one in changing_zones():
        cron = parse_cron("30 2 * * *", one.zone)
        found = [at.astimezone(one.zone).date() for at in cron.between(BEGIN + DAY, END - DAY)]
        assert all(after - before == DAY for before, after in pairwise(found)), one.zone
        assert (END - BEGIN).days - 3 <= len(found) <= (END - BEGIN).days - 1, one.zone


def test_whole_hours_of_change_are_cronsims_own() -> None:
    for one in changing_zones():
        for change in one.changes:
            if change.by % HOUR:
                continue
            for text in ("30 2 * * *", "0,30 0-4 * * *", "*/30 * * * *"):
                begin = change.at - 9 * HOUR
                theirs = CronSim(text, begin.astimezone(one.zone))
                ours = parse_cron(text, one.zone).after(begin)
                wanted = [next(theirs).astimezone(UTC) for _ in range(9)]
                assert list(islice(ours, 9)) == wanted, (one.zone, change, text)


ZONES = st.sampled_from([one.zone for one in changing_zones()]) | st.just(LISBON)
MOMENTS = st.datetimes(wall("2024-01-01"), wall("2030-12-01"), timezones=st.just(UTC))
EXPRESSIONS = st.sampled_from([*MEANING, "0 9 * * 1-5", "0 12 1 * *", "*/30 0 * * 0", "5 4 L * *", "30 1 * * SUN#1"])


@given(ZONES, EXPRESSIONS, MOMENTS, st.lists(st.timedeltas(timedelta(), timedelta(days=16)), max_size=4))
def test_a_restart_at_any_moment_equals_no_restart(
    zone: ZoneInfo, text: str, begin: datetime, pauses: list[timedelta]
) -> None:
    cron = parse_cron(text, zone)
    end = begin + timedelta(days=16)
    whole = list(cron.between(begin, end))
    assert all(before < after for before, after in pairwise([begin, *whole, end + SECOND]))
    points = sorted({begin, end, *(begin + pause for pause in pauses)})
    assert [at for since, until in pairwise(points) for at in cron.between(since, until)] == whole
    assert cron.latest(begin, end) == (whole[-1] if whole else None)
    assert cron.next(begin) == next(cron.after(begin), None)


@given(ZONES, MOMENTS, st.sampled_from(CATCH_UPS), st.integers(0, 10 * 86_400), st.integers(0, 86_400))
def test_a_policy_runs_all_that_is_on_time_and_of_what_was_missed_what_it_says(
    zone: ZoneInfo, after: datetime, policy: CatchUp, seconds: int, late: int
) -> None:
    cron = parse_cron("15 1-3 * * *", zone)
    upto = after + seconds * SECOND
    on_time = upto - late * SECOND
    every = list(cron.between(after, upto))
    recent = [at for at in every if at >= on_time]
    wanted = {"all": every, "last": recent or every[-1:], "none": recent}[policy]
    assert list(caught_up(cron, policy, after=after, upto=upto, on_time=on_time)) == wanted


def test_a_long_absence_costs_little_where_only_the_last_is_wanted(counted: Callable[[], int]) -> None:
    cron = parse_cron("* * * * *", LISBON)
    upto = utc("2026-11-21T12:00")
    found = caught_up(cron, "last", after=utc("1990-01-01T00:00"), upto=upto, on_time=upto + MINUTE)
    assert list(found) == [upto]
    assert counted() < 200


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many times an instant was worked out."""
    count = 0
    advance = CronSim.advance

    def counting(self: CronSim) -> None:
        nonlocal count
        count += 1
        advance(self)

    monkeypatch.setattr(CronSim, "advance", counting)
    return lambda: count


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_a_word_stands_for_its_five_fields(word: str, fields: str) -> None:
    after = utc("2026-02-03T04:05:06")
    first = list(islice(parse_cron(word, LISBON).after(after), 3))
    assert first == list(islice(parse_cron(fields, LISBON).after(after), 3))


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("0 0 9 * * 1-5", "has six fields; leave the one for seconds out: '0 9 \\* \\* 1-5'"),
        ("0 9 * *", "write five fields \\(minute, hour, day of month, month, day of week\\)"),
        ("", "write five fields"),
        ("every day", "write five fields"),
        ("@reboot", "there is no '@reboot'; there are @hourly, @daily"),
        ("61 * * * *", "bad minute; minutes are 0-59"),
        ("0 24 * * *", "bad hour"),
        ("0 9 * * FRI-MON", "bad day-of-week.*ranges go upwards"),
        ("0 9 31 2 *", "bad day-of-month"),
        ("* * */20 * 1L", "is never due"),
        (f"{'1,' * 600}1 * * * *", "write five fields"),
    ],
)
def test_what_is_no_expression_is_refused_with_what_to_write(expression: str, sentence: str) -> None:
    with pytest.raises(CronError, match=sentence):
        parse_cron(expression, UTC)


PIECES = st.sampled_from(["*", "/", "-", ",", "L", "LW", "#", "MON", "FEB", "0", "5", "31", "60", "²", "٣", "9" * 30])
FIELD = st.lists(PIECES, min_size=1, max_size=4).map("".join)


@given(st.lists(FIELD, min_size=5, max_size=5).map(" ".join) | st.text(max_size=30))
def test_any_text_is_an_expression_or_a_cron_error(text: str) -> None:
    try:
        cron = parse_cron(text, UTC)
    except CronError:
        return
    assert cron.next(BEGIN) is not None


def test_jitter_is_the_same_in_every_life_and_spreads_over_its_length() -> None:
    longest = timedelta(minutes=10)
    instants = [BEGIN + HOUR * count for count in range(1000)]
    found = [jitter("nightly", instant, longest) for instant in instants]
    assert found[0] == timedelta(seconds=72, microseconds=138145)
    assert found == [jitter("nightly", instant.astimezone(LISBON), longest) for instant in instants]
    assert all(timedelta() <= one < longest for one in found)
    assert all(sum(one // MINUTE == minute for one in found) > 50 for minute in range(10))
    assert found != [jitter("hourly", instant, longest) for instant in instants]
    assert jitter("nightly", BEGIN, timedelta()) == timedelta()


def test_a_wall_clock_time_is_the_first_moment_that_shows_it() -> None:
    assert first_instant(wall("2026-10-25T01:30"), LISBON) == utc("2026-10-25T00:30")
    assert first_instant(wall("2026-03-29T01:30"), LISBON) == utc("2026-03-29T01:00")
    assert first_instant(wall("2011-12-30"), ZoneInfo("Pacific/Apia")) == utc("2011-12-30T10:00")
