"""The schedule sensor: every instant once, through restarts, sleep and clocks that are set."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cronsim import CronSim

from rules.request import PARTITION_END, PARTITION_START, Sensed
from rules.schedules import jitter
from tests.sources.directory_kit import Recorder
from tests.sources.schedule_kit import Time, keys_of, recording, utc

LISBON = {"cron": "0 9 * * 1-5", "timezone": "Europe/Lisbon"}


async def test_an_instant_is_emitted_when_it_comes_with_itself_as_the_key() -> None:
    time, emit = Time(utc("2026-07-17T07:30")), Recorder()  # A Friday; it is 08:30 in Lisbon.
    async with recording(time, emit, **LISBON):
        assert emit.sensed == []
        await time.pass_(minutes=29, seconds=59)
        assert emit.sensed == []
        await time.pass_(seconds=1)
        (one,) = emit.sensed
        await time.pass_(days=3)
    assert one == Sensed(
        subject="nightly 2026-07-17T08:00:00Z",
        key="2026-07-17T08:00:00Z",
        at=utc("2026-07-17T08:00"),
        context={
            "schedule": {
                "at": "2026-07-17T08:00:00Z",
                "local": "2026-07-17T09:00:00+01:00",
                "cron": "0 9 * * 1-5",
                "timezone": "Europe/Lisbon",
            }
        },
    )
    assert keys_of(emit) == ["2026-07-17T08:00:00Z", "2026-07-20T08:00:00Z"]


async def test_the_first_start_runs_nothing_of_the_past_and_is_remembered() -> None:
    time, emit = Time(utc("2026-11-21T12:00")), Recorder()
    async with recording(time, emit, cron="@daily", catch_up="all"):
        assert emit.sensed == []
    time.down(days=2)
    async with recording(time, emit, cron="@daily", catch_up="all"):
        assert keys_of(emit) == ["2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"]


@pytest.mark.parametrize("pause", [0, 1, 59, 60, 61])
async def test_a_restart_around_an_instant_neither_misses_nor_doubles_it(pause: int) -> None:
    for before in (0, 1, 30):
        time, emit = Time(utc("2026-11-21T11:00")), Recorder()
        async with recording(time, emit, cron="0 * * * *", catch_up="none"):
            await time.pass_(3600 - before)
        time.down(seconds=pause)
        async with recording(time, emit, cron="0 * * * *", catch_up="none"):
            await time.pass_(60)
        assert keys_of(emit) == ["2026-11-21T12:00:00Z"]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("all", ["20", "21", "22"]), ("last", ["22"]), ("none", [])],
)
async def test_what_was_missed_is_run_as_the_policy_says(catch_up: str, expected: list[str]) -> None:
    time, emit = Time(utc("2026-11-19T12:00")), Recorder()
    async with recording(time, emit, cron="0 9 * * *", catch_up=catch_up):
        pass
    time.down(days=3)
    for _ in range(2):
        async with recording(time, emit, cron="0 9 * * *", catch_up=catch_up):
            assert keys_of(emit) == [f"2026-11-{day}T09:00:00Z" for day in expected]
    async with recording(time, emit, cron="0 9 * * *", catch_up=catch_up):
        await time.pass_(days=1)
    assert keys_of(emit) == [f"2026-11-{day}T09:00:00Z" for day in [*expected, "23"]]


async def test_after_sleep_and_a_clock_set_forward_the_missed_are_caught_up_with_within_half_a_minute() -> None:
    time, emit = Time(utc("2026-11-19T12:00")), Recorder()
    async with recording(time, emit, cron="0 9 * * *", catch_up="all"):
        time.down(days=2)
        await time.pass_(30)
        assert keys_of(emit) == ["2026-11-20T09:00:00Z", "2026-11-21T09:00:00Z"]


async def test_a_clock_set_back_repeats_nothing_and_is_told_until_it_has_caught_up() -> None:
    time, emit = Time(utc("2026-11-21T08:59")), Recorder()
    async with recording(time, emit, cron="0 * * * *") as source:
        await time.pass_(minutes=62)
        assert keys_of(emit) == ["2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z"]
        time.down(hours=-3)
        await time.pass_(minutes=90)
        assert str(emit.failing).startswith("the clock was set back: it says 2026-11-21T08:31:")
        assert source.why("nightly 2026-11-21T09:00:00Z") is not None
        await time.pass_(hours=3)
        assert emit.failing is None
    assert keys_of(emit) == [f"2026-11-21T{hour}:00:00Z" for hour in ("09", "10", "11")]


async def test_a_clock_set_back_by_a_little_or_to_where_nothing_was_due_is_nothing_to_tell() -> None:
    time, emit = Time(utc("2026-11-21T08:59:30")), Recorder()
    async with recording(time, emit, cron="* * * * *"):
        await time.pass_(31)
        time.down(seconds=-20)
        await time.pass_(50)
    assert keys_of(emit) == ["2026-11-21T09:00:00Z"]
    assert emit.failures == []
    time, emit = Time(utc("2026-11-21T12:00")), Recorder()
    async with recording(time, emit, cron="@daily"):
        time.down(hours=-6)
        await time.pass_(hours=19)
    assert keys_of(emit) == ["2026-11-22T00:00:00Z"]
    assert emit.failures == []


async def test_nothing_begins_before_the_clock_is_set() -> None:
    time, emit = Time(utc("1970-01-01T00:00:10")), Recorder()
    async with recording(time, emit, cron="* * * * *", catch_up="all"):
        await time.pass_(minutes=5)
        assert (emit.sensed, emit.cursor) == ([], None)
        assert "it is not set yet" in emit.failures[0]
        time.wall = utc("2026-11-21T08:59:00")
        await time.pass_(61)
        assert keys_of(emit) == ["2026-11-21T09:00:00Z"]
        assert emit.recoveries


async def test_another_expression_or_zone_begins_anew() -> None:
    time, emit = Time(utc("2026-11-21T12:00")), Recorder()
    async with recording(time, emit, cron="0 0 1 1 *", catch_up="all"):
        pass
    time.down(days=5)
    async with recording(time, emit, cron="* * * * *", catch_up="all"):
        assert emit.sensed == []
    time.down(hours=1)
    async with recording(time, emit, cron="* * * * *", timezone="Europe/Lisbon", catch_up="all"):
        assert emit.sensed == []
    emit.cursor = "12345"  # That of a source of another kind, which had this sensor's name.
    async with recording(time, emit, cron="* * * * *", timezone="Europe/Lisbon", catch_up="all"):
        assert emit.sensed == []
        await time.pass_(60)
    assert len(emit.sensed) == 1


async def test_jitter_starts_later_under_the_instants_own_key_and_a_restart_agrees() -> None:
    keys = {"cron": "0 * * * *", "jitter": "20m"}
    instants = [utc("2026-11-21T12:00") + timedelta(hours=hour) for hour in range(8)]
    due = [instant + jitter("nightly", instant, timedelta(minutes=20)) for instant in instants]
    time, emit = Time(utc("2026-11-21T11:30")), Recorder()
    for one in due:
        async with recording(time, emit, **keys):
            await time.pass_((one - time.wall).total_seconds() - 0.1)
        async with recording(time, emit, **keys):
            await time.pass_(0.2)
    assert [one.at - at for one, at in zip(emit.sensed, due, strict=True)] == [timedelta()] * 8
    assert keys_of(emit) == [f"{instant:%Y-%m-%dT%H:%M:%SZ}" for instant in instants]


async def test_jitter_longer_than_the_time_between_instants_keeps_their_order() -> None:
    time, emit = Time(utc("2026-11-21T12:00:30")), Recorder()
    async with recording(time, emit, cron="* * * * *", jitter="10m", catch_up="none"):
        await time.pass_(hours=1)
    keys = keys_of(emit)
    assert keys == [f"2026-11-21T12:{minute:02}:00Z" for minute in range(1, 1 + len(keys))]
    assert 50 <= len(keys) <= 60
    for one in emit.sensed:
        instant, longest = datetime.fromisoformat(one.key), timedelta(minutes=10)
        assert jitter("nightly", instant, longest) <= one.at - instant <= longest


async def test_a_partition_is_the_one_that_ended_last_and_the_default_of_the_runs() -> None:
    time, emit = Time(utc("2026-03-29T22:30")), Recorder()
    async with recording(time, emit, cron="0 0,9 * * *", timezone="Europe/Lisbon", partitions="daily"):
        await time.pass_(hours=12)
    window = {"key": "2026-03-29", "start": "2026-03-29T00:00:00Z", "end": "2026-03-29T23:00:00Z"}
    assert [one.context["partition"] for one in emit.sensed] == [window, window]
    assert [one.partition_key for one in emit.sensed] == ["2026-03-29", "2026-03-29"]
    assert emit.sensed[0].tags == {PARTITION_START: window["start"], PARTITION_END: window["end"]}
    assert keys_of(emit) == ["2026-03-29T23:00:00Z", "2026-03-30T08:00:00Z"]


async def test_partitions_may_have_a_zone_a_start_and_a_week_of_their_own() -> None:
    time, emit = Time(utc("2026-11-14T12:00")), Recorder()
    weekly = {"every": "weekly", "week_start": "monday", "timezone": "Asia/Tokyo", "start": "2026-11-15"}
    async with recording(time, emit, cron="0 12 * * *", partitions=weekly):
        await time.pass_(days=9)
    assert [(one.key[:10], one.partition_key) for one in emit.sensed] == [("2026-11-23", "2026-11-16")]
    assert emit.cursor is not None


async def test_static_partitions_are_all_run_at_each_instant() -> None:
    time, emit = Time(utc("2026-11-21T12:00")), Recorder()
    async with recording(time, emit, cron="@daily", partitions=["us", "eu"]):
        await time.pass_(days=1)
    assert [(one.key, one.partition_key, one.context["partition"], one.tags) for one in emit.sensed] == [
        ("2026-11-22T00:00:00Z us", "us", {"key": "us"}, {}),
        ("2026-11-22T00:00:00Z eu", "eu", {"key": "eu"}, {}),
    ]


async def test_years_of_absence_are_looked_through_from_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out = 0
    advance = CronSim.advance

    def counting(self: CronSim) -> None:
        nonlocal worked_out
        worked_out += 1
        advance(self)

    monkeypatch.setattr(CronSim, "advance", counting)
    for catch_up in ("last", "none"):
        time, emit = Time(utc("2026-11-21T12:00")), Recorder()
        async with recording(time, emit, cron="* * * * *", catch_up=catch_up, jitter="1m"):
            pass
        time.down(days=3000)
        async with recording(time, emit, cron="* * * * *", catch_up=catch_up, jitter="1m"):
            assert len(emit.sensed) in (1, 2)
    assert worked_out < 500


async def test_an_idle_schedule_wakes_twice_a_minute_and_asks_the_ledger_for_nothing() -> None:
    time, emit = Time(utc("2026-11-21T12:00")), Recorder()
    async with recording(time, emit, cron="0 0 1 1 *"):
        await time.pass_(hours=1)
    assert len(time.sleeps) <= 122
    assert emit.batches == [0]
    assert emit.looks == len(time.sleeps)


async def test_it_sleeps_until_the_instant_and_never_turns_idly() -> None:
    time, emit = Time(utc("2026-11-21T12:00:00.5")), Recorder()
    async with recording(time, emit, cron="* * * * *"):
        await time.pass_(minutes=10)
    assert [round(seconds, 6) for seconds in time.sleeps[:4]] == [30, 29.5, 30, 30]
    assert min(time.sleeps) >= 0.001
    assert len(time.sleeps) <= 22


async def test_a_dry_run_shows_the_next_instant_without_any_effect() -> None:
    time, emit = Time(utc("2026-11-21T12:00")), Recorder()
    async with recording(time, emit, cron="@daily", partitions="daily") as source:
        (one,) = await source.look(set())
        assert (one.key, one.partition_key) == ("2026-11-22T00:00:00Z", "2026-11-21")
        assert emit.sensed == []
        await time.pass_(days=1)
    assert keys_of(emit) == [one.key]


async def test_it_says_why_it_does_not_emit() -> None:
    time, emit = Time(utc("2026-11-21T12:00")), Recorder()
    start = {"every": "daily", "start": "2026-11-25"}
    async with recording(time, emit, **LISBON, partitions=start) as source:
        assert source.why("nightly 2026-11-26T09:00:00Z") is None
        assert source.why("2026-11-26T09:00") is None
        assert source.why("nightly 2026-11-22T09:00:00Z") == (
            "'0 9 * * 1-5' in Europe/Lisbon is not due then; the next is 2026-11-23T09:00:00Z"
        )
        assert source.why("2026-11-25T09:00:00Z") == "no partition has ended by then"
        assert source.why("/in/a.csv") == (
            "it is a schedule, which looks at the clock alone; the next is 2026-11-23T09:00:00Z"
        )
        for odd in ("", "nightly ", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"):
            assert source.why(odd) is not None
    async with recording(time, emit, **LISBON) as source:
        assert source.why("2026-11-20T09:00:00Z") == (
            "it passed before the sensor began, or was missed (catch_up: last)"
        )
