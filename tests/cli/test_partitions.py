"""What `sensord jobs show` draws of a job's partitions."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sensord.cli.partitions import lines


def shown(every: str | None, states: dict[str, str], width: int = 80, **more: Any) -> list[str]:
    """The lines for these partitions, the oldest first."""
    items = [{"key": key, "state": state} for key, state in states.items()]
    page = {
        "every": every,
        "timezone": "UTC",
        "total": len(items),
        "counts": Counter(states.values()),
        "items": items if every is None else items[::-1],
    }
    return [line.plain for line in lines({**page, **more}, width)]


def test_days_stand_in_months_each_in_its_column() -> None:
    days = {"2026-10-30": "succeeded", "2026-10-31": "failed", "2026-11-01": "lost", "2026-11-02": "missing"}
    assert shown("daily", days) == [
        "4 daily partitions in UTC, the last 2026-11-02",
        f"2026-10 {' ' * 29}■✗",
        "2026-11 ?·",
        "■ succeeded 1   ✗ failed 1   ? lost 1   · missing 1",
    ]


def test_hours_stand_in_days_and_one_that_comes_twice_behind_itself() -> None:
    hours = ["2026-11-01-00:00", "2026-11-01-01:00", "2026-11-01-01:00-0500", "2026-11-01-02:00", "2026-11-02-05:00"]
    assert shown("hourly", dict.fromkeys(hours, "succeeded"))[1:3] == ["2026-11-01 ■■■■", "2026-11-02      ■"]


def test_months_and_weeks_stand_in_years() -> None:
    assert shown("monthly", {"2025-12-01": "running", "2026-01-01": "queued", "2026-03-01": "cancelled"})[1:3] == [
        f"2025 {' ' * 11}▶",
        "2026 ○ /",
    ]
    assert shown("weekly", {"2025-12-28": "succeeded", "2026-01-04": "failed", "2026-01-11": "failed"})[1:3] == [
        f"2025 {' ' * 51}■",
        "2026 ✗✗",
    ]


def test_names_stand_below_each_other_or_many_of_them_in_a_strip() -> None:
    assert shown(None, {"us": "succeeded", "europe": "missing"})[:3] == ["2 static partitions", "us     ■", "europe ·"]
    many = {f"n{number}": "succeeded" for number in range(50)}
    assert shown(None, many, width=40)[1:3] == ["■" * 40, "■" * 10]


def test_more_than_fit_are_said_to_be_left_out() -> None:
    months = {f"{year}-{month:02}-01": "succeeded" for year in range(1990, 2026) for month in range(1, 13)}
    found = shown("monthly", months)
    assert found[1] == "2000 ■■■■■■■■■■■■"
    assert found[-2] == "(the newest 312 are drawn)"
