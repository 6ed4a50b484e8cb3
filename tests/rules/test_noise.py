from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.event import Event, Severity
from rules.noise import BUDGET, Mute, Queued, in_a_row, over_budget, parse_digest, passes, singles
from rules.topics import matches


def event(topic: str, severity: Severity = Severity.error, **more: Any) -> Event:
    return Event(id="e", type="message", topic=topic, time=datetime(2026, 1, 1, tzinfo=UTC), severity=severity, **more)


@given(st.sampled_from(["runs.load.failed", "bp.a", "bp.a.b"]), st.sampled_from([">", "bp.>", "runs.*.failed", "bp.*"]))
def test_a_mute_takes_what_its_pattern_takes_and_never_what_is_critical(topic: str, pattern: str) -> None:
    mute = Mute(id="m", pattern=pattern, until=1)
    for severity in Severity:
        assert mute.takes(event(topic, severity)) is (matches(pattern, topic) and severity < Severity.critical)
        assert passes(severity) is (severity is Severity.critical)


def test_a_mute_takes_an_event_by_either_of_its_topics_and_a_jobs_by_its_job() -> None:
    assert Mute(id="m", pattern="bp.>", until=1).takes(event("runs.load.failed", also="bp.fails"))
    mute = Mute(id="m", pattern=">", until=1, job="load")
    assert mute.takes(event("quality.load.failed", job="load"))
    assert not mute.takes(event("runs.load2.failed", job="load2"))
    assert not mute.takes(event("x"))
    assert not mute.takes(event("runs.load.succeeded", job="load"))
    assert mute.about == "job load"
    assert [Mute(id="m", pattern=pattern, until=1).about for pattern in (">", "bp.>")] == ["everything", "bp.>"]


@given(st.lists(st.booleans()), st.integers(1, 9))
def test_failures_in_a_row_are_counted_back_to_the_newest_success(newest_first: list[bool], most: int) -> None:
    row = "".join("x" if failed else "." for failed in newest_first)
    assert in_a_row(newest_first, most) == min(most, len(row) - len(row.lstrip("x")))


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_one_message_alone_is_no_burst_and_few_are_none(waiting: int, sent: int) -> None:
    assert over_budget(waiting, sent) is (waiting >= 2 and waiting + sent > BUDGET)


@given(
    st.lists(st.tuples(st.sampled_from([20, 30, 40]), st.sampled_from("abcdef")), max_size=40),
    st.integers(0, 5),
)
def test_of_a_burst_the_first_of_each_topic_goes_alone_the_most_severe_first(
    burst: list[tuple[int, str]], most: int
) -> None:
    queued = [Queued(f"{seq}", severity, seq, topic) for seq, (severity, topic) in enumerate(burst)]
    chosen = [one for one in queued if one.id in singles(queued, most)]
    assert len(chosen) == min(most, len({topic for _, topic in burst}))
    assert len({one.topic for one in chosen}) == len(chosen)
    for one in chosen:
        assert all(
            (-other.severity, other.seq) >= (-one.severity, one.seq) for other in queued if other.topic == one.topic
        )
    left = [one for one in queued if one.topic not in {one.topic for one in chosen}]
    assert all(one.severity >= other.severity for one in chosen for other in left)


@pytest.mark.parametrize("zone", ["Europe/Lisbon", "America/St_Johns", "Australia/Lord_Howe", "UTC"])
def test_a_daily_digest_comes_once_on_each_day_at_its_time(zone: str) -> None:
    cron = parse_digest(f"daily 09:00 {zone}", ZoneInfo)
    due = list(cron.between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)))
    assert {instant.astimezone(ZoneInfo(zone)).strftime("%H:%M") for instant in due} == {"09:00"}
    days = [instant.astimezone(ZoneInfo(zone)).date() for instant in due]
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))
    assert len(due) in (365, 366)


def test_a_digest_may_come_weekly_and_hourly_and_has_defaults() -> None:
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    assert parse_digest("weekly MON 08:30 Europe/Lisbon", ZoneInfo).next(monday) == monday.replace(hour=8, minute=30)
    assert parse_digest("weekly", ZoneInfo).next(monday) == monday.replace(hour=9)
    assert parse_digest("daily", ZoneInfo).next(monday) == monday.replace(hour=9)
    assert parse_digest("hourly", ZoneInfo).next(monday) == monday.replace(hour=1)


@pytest.mark.parametrize("text", ["", "often", "daily 25:00", "daily MON 09:00", "hourly 09:00", "weekly xyz 09:00"])
def test_what_is_no_time_of_a_digest_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write hourly, daily 09:00"):
        parse_digest(text, ZoneInfo)
