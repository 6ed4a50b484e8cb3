"""Ids and times as text: what others read them as."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from notifiers.clock import from_us, new_uuid7, to_us
from rules.event import rfc3339

ZONES = st.integers(-720, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def test_each_id_is_a_uuid7_that_sorts_after_the_one_before() -> None:
    before = to_us(datetime.now(UTC)) // 1000
    made = [new_uuid7() for _ in range(20_000)]
    after = to_us(datetime.now(UTC)) // 1000
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    for text in made:
        one = uuid.UUID(text)
        assert str(one) == text
        assert (one.version, one.variant) == (7, uuid.RFC_4122)
        assert before <= one.int >> 80 <= after + 1


def test_ids_made_far_quicker_than_their_clock_ticks_go_on_into_the_next_millisecond() -> None:
    made = [uuid.UUID(new_uuid7()) for _ in range(50_000)]
    ticks = [(one.int >> 80) << 12 | (one.int >> 64) & 0xFFF for one in made]
    assert all(later > earlier for earlier, later in pairwise(ticks))
    assert len({one.int & (1 << 62) - 1 for one in made}) == len(made)


@given(moment=st.datetimes(timezones=ZONES).filter(lambda moment: moment.year not in {1, 9999}))
def test_a_time_is_written_as_pythons_own_iso_format_with_all_six_digits(moment: datetime) -> None:
    utc = moment.astimezone(UTC)
    assert rfc3339(moment) == rfc3339(utc) == f"{utc.replace(tzinfo=None).isoformat('T', 'microseconds')}Z"
    assert datetime.fromisoformat(rfc3339(moment)) == moment


@given(us=st.integers(-(10**15), 4 * 10**15))
def test_microseconds_come_back_as_the_same_moment(us: int) -> None:
    assert to_us(from_us(us)) == us
