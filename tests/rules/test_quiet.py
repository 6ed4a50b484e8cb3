from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.quiet import Quiet, parse_quiet
from tests.rules.clock_changes import changing_zones

MINUTE = timedelta(minutes=1)
times = st.builds(time, st.integers(0, 23), st.integers(0, 59))


def quiet(text: str) -> Quiet:
    return parse_quiet(text, ZoneInfo)


@st.composite
def windows_near_a_change(draw: st.DrawFn) -> tuple[Quiet, datetime]:
    """A window in a zone whose clocks change, and a moment within two days of a change."""
    changing = draw(st.sampled_from(changing_zones()))
    change = draw(st.sampled_from(changing.changes))
    start, end = draw(times), draw(times)
    local = change.at.astimezone(changing.zone)
    if draw(st.booleans()):  # An edge of the window where the clocks jump.
        end = (local - draw(st.integers(-90, 90)) * MINUTE).time().replace(second=0, fold=0)
    if start == end:
        end = time((end.hour + 1) % 24, end.minute)
    moment = change.at + draw(st.integers(-2880, 2880)) * MINUTE
    return Quiet(start, end, changing.zone, "w"), moment.replace(second=0)


@given(windows_near_a_change())
def test_it_ends_at_the_first_minute_that_is_not_quiet_whatever_the_clocks_do(case: tuple[Quiet, datetime]) -> None:
    window, moment = case
    until = window.until(moment)
    if not window.covers(moment):
        assert until is None
        return
    walked = moment
    while window.covers(walked):
        walked += MINUTE
    assert until == walked


@given(windows_near_a_change())
def test_a_moment_is_quiet_exactly_when_the_wall_clock_shows_a_time_of_the_window(case: tuple[Quiet, datetime]) -> None:
    window, moment = case
    shown = moment.astimezone(window.zone).strftime("%H:%M")
    start, end = window.start.strftime("%H:%M"), window.end.strftime("%H:%M")
    inside = start <= shown < end if start < end else shown >= start or shown < end
    assert window.covers(moment) is inside


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-10-24", 11), ("2026-03-28", 9), ("2026-06-10", 10)],  # Clocks go back, forward, and on.
)
def test_a_night_is_as_long_as_its_clock_makes_it(day: str, hours: int) -> None:
    lisbon = ZoneInfo("Europe/Lisbon")
    begin = datetime.fromisoformat(f"{day}T22:00").replace(tzinfo=lisbon).astimezone(UTC)
    assert quiet("22:00-08:00 Europe/Lisbon").until(begin) == begin + timedelta(hours=hours)


def test_an_end_that_a_jump_leaves_out_is_at_the_jump() -> None:
    window = quiet("22:00-02:30 Europe/Berlin")
    assert window.until(datetime(2026, 3, 29, 0, 0, tzinfo=UTC)) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_it_is_read_as_people_write_it_and_told_as_it_is_kept() -> None:
    assert quiet("9:05 – 17:30 Europe/Lisbon").text == "09:05-17:30 Europe/Lisbon"  # noqa: RUF001
    assert quiet("22:00-08:00").text == "22:00-08:00 UTC"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at night", "write when quiet begins"),
        ("22-8 UTC", "write when quiet begins"),
        ("25:00-08:00 UTC", "no clock shows"),
        ("08:00-08:00 UTC", "/mute 1d"),
        ("22:00-08:00 Europe/Lissabon", "Europe/Lissabon"),
    ],
)
def test_what_is_no_window_is_refused_with_what_to_write(text: str, said: str) -> None:
    def zone_of(name: str) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except LookupError:
            raise ValueError(f"no zone {name}") from None

    with pytest.raises(ValueError, match=said):
        parse_quiet(text, zone_of)


@given(st.text(max_size=60))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    try:
        window = parse_quiet(text, lambda _: UTC)
    except ValueError:
        return
    assert window.start != window.end
