"""What a backfill covers, and what of that it runs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rules.backfill import MOST, Only, Slice, covered, history, selected, state_after
from rules.partitions import PartitionError, Partitions, static_partitions, time_partitions
from rules.progress import Progress

LISBON = ZoneInfo("Europe/Lisbon")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAYS = time_partitions("daily", LISBON)
SINCE = time_partitions("daily", LISBON, start=date(2026, 11, 17))
NAMES = static_partitions(["us", "eu", "jp"])


def keys(partitions: Partitions, first: str | None, last: str | None, now: datetime = NOW) -> list[str]:
    return [one.key for one in covered(partitions, first=first, last=last, now=now)]


def test_it_covers_both_ends_the_oldest_first() -> None:
    assert keys(DAYS, "2026-10-24", "2026-10-26") == ["2026-10-24", "2026-10-25", "2026-10-26"]
    assert keys(DAYS, "2026-10-24", "2026-10-24") == ["2026-10-24"]
    assert keys(NAMES, "us", "eu") == ["us", "eu"]


def test_each_has_its_window_and_a_name_has_none() -> None:
    (one,) = covered(DAYS, first="2026-10-25", last="2026-10-25", now=NOW)
    day = DAYS.of("2026-10-25")
    assert one == Slice(day.key, day.start, day.end)
    assert covered(NAMES, first="eu", last="eu", now=NOW) == [Slice("eu")]


def test_without_an_end_it_covers_what_has_ended_and_without_a_beginning_all_since_the_start() -> None:
    assert keys(DAYS, "2026-11-19", None) == ["2026-11-19", "2026-11-20"]
    assert keys(SINCE, None, "2026-11-18") == ["2026-11-17", "2026-11-18"]
    assert keys(SINCE, None, None)[-1] == "2026-11-20"
    assert keys(NAMES, None, None) == ["us", "eu", "jp"]
    assert keys(DAYS, "2026-11-21", None) == []
    assert keys(SINCE, None, None, datetime(2026, 1, 1, tzinfo=UTC)) == []


def test_each_hour_of_a_long_day_is_covered() -> None:
    hours = keys(time_partitions("hourly", LISBON), "2026-10-25-00:00", "2026-10-25-23:00")
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


def test_the_history_is_what_has_ended_the_newest_first() -> None:
    assert [one.key for one in history(SINCE, [], NOW)] == ["2026-11-20", "2026-11-19", "2026-11-18", "2026-11-17"]
    assert [one.key for one in history(NAMES, [], NOW)] == ["us", "eu", "jp"]
    assert history(SINCE, [], datetime(2026, 1, 1, tzinfo=UTC)) == []


def test_a_history_without_a_start_begins_where_something_is_known() -> None:
    known = ["2026-11-20", "2026-11-19", "0000 no day", "2026-11-1"]
    assert [one.key for one in history(DAYS, known, NOW)] == ["2026-11-20", "2026-11-19"]
    assert history(DAYS, [], NOW) == []


def test_a_long_history_is_the_newest_of_it() -> None:
    found = history(time_partitions("hourly", LISBON, start=date(2000, 1, 1)), [], NOW)
    assert len(found) == MOST
    assert found[0].key == "2026-11-21-11:00"
    assert found[0].end == NOW


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        (["failed", "succeeded"], "succeeded"),
        (["succeeded", "failed"], "failed"),
        (["succeeded", "queued"], "queued"),
        (["running", "failed"], "running"),
        (["running", "succeeded"], "running"),
        (["running", "queued"], "queued"),
    ],
)
def test_a_partition_is_as_its_latest_run_unless_an_earlier_one_is_still_under_way(
    statuses: list[str], state: str
) -> None:
    found: str | None = None
    for status in statuses:
        found = state_after(found, status)
    assert found == state


STATES = {
    "good": "succeeded",
    "bad": "failed",
    "gone": "lost",
    "stopped": "cancelled",
    "again": "running",
    "waits": "queued",
}
SLICES = [Slice(key) for key in ("never", *STATES)]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("all", [one.key for one in SLICES]),
        ("missing", ["never", "bad", "gone", "stopped"]),
        ("failed", ["bad", "gone", "stopped"]),
    ],
)
def test_it_runs_what_is_asked_for_in_either_order(only: Only, expected: list[str]) -> None:
    assert [one.key for one in selected(SLICES, STATES, only=only)] == expected
    assert [one.key for one in selected(SLICES, STATES, only=only, order="newest")] == expected[::-1]


class Backfills(RuleBasedStateMachine):
    """A backfill claims, its runs end in any order and way, and at some moment it may be cancelled."""

    @initialize(total=st.integers(1, 30), concurrency=st.integers(1, 8))
    def begin(self, total: int, concurrency: int) -> None:
        self.progress = Progress(total=total, concurrency=concurrency)
        self.ran: list[str] = []
        self.endings: list[str] = []

    @rule(most=st.integers(1, 10))
    def claim(self, most: int) -> None:
        count = min(most, self.progress.room)
        runs = [str(self.progress.claimed + number) for number in range(count)]
        self.progress.claim(runs)
        self.ran += runs

    @precondition(lambda self: self.progress.open)
    @rule(data=st.data(), status=st.sampled_from(["succeeded", "failed", "cancelled", "lost"]))
    def end(self, data: st.DataObject, status: str) -> None:
        run = data.draw(st.sampled_from(sorted(self.progress.open)))
        assert self.progress.end(run, status)
        assert not self.progress.end(run, status), "a run ended twice"
        self.endings.append(status)

    @rule()
    def cancel(self) -> None:
        self.progress.cancelled = True

    @invariant()
    def no_more_are_open_than_may_be_and_each_ran_once_in_order(self) -> None:
        if not hasattr(self, "progress"):
            return
        assert len(self.progress.open) <= self.progress.concurrency
        assert self.ran == [str(number) for number in range(self.progress.claimed)]
        assert self.progress.claimed <= self.progress.total
        assert len(self.progress.open) + self.progress.ended.total() == self.progress.claimed
        assert not (self.progress.over and self.progress.open)
        if not self.progress.cancelled:
            idle = not self.progress.open and not self.progress.over
            assert not idle or self.progress.room, "nothing is open, and nothing may be claimed: it would wait for ever"
        if self.progress.over:
            whole = self.endings.count("succeeded") == self.progress.total
            expected = "cancelled" if self.progress.cancelled else "succeeded" if whole else "failed"
            assert self.progress.verdict == expected


TestBackfills = Backfills.TestCase
