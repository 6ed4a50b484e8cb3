from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifiers.message import Link, Message, Pre, Table, Text
from notifiers.wording import to_message
from rules.event import Event, Severity

TIME = datetime(2026, 11, 21, tzinfo=UTC)


def of(type_: str, **fields: Any) -> Event:
    return Event(id="e1", type=type_, topic="t", time=TIME, **fields)


def test_a_failed_run_says_what_failed_on_which_file_and_why() -> None:
    event = of(
        "run.failed",
        job="load_houses",
        run="r 1",
        severity=Severity.error,
        message="load_houses failed",
        subject="incoming/a.csv",
        data={
            "subject": "incoming/a.csv",
            "run_key": "a.csv",
            "attempt": 3,
            "duration_s": 83.2,
            "error": "exit status 1",
            "metadata": {"rows_read": 12},
            "log_tail": ["Traceback", "KeyError: 'price'"],
        },
    )

    assert to_message(event, base_url="http://host:8300/") == Message(
        title="load_houses failed after 3 attempts",
        severity=Severity.error,
        facts=[
            ("file", "incoming/a.csv"),
            ("key", "a.csv"),
            ("attempt", "3"),
            ("duration", "1 min 23 s"),
            ("rows read", "12"),
        ],
        body=[Pre("exit status 1", "error"), Pre("Traceback\nKeyError: 'price'", "end of the log")],
        links=[Link("run", "http://host:8300/runs/r%201")],
    )


def test_a_first_attempt_and_a_key_that_is_the_file_are_not_worth_a_line() -> None:
    event = of("run.succeeded", job="x", data={"subject": "a.csv", "run_key": "a.csv", "attempt": 1})

    assert to_message(event).facts == [("file", "a.csv")]
    assert to_message(event).links == []


def test_a_failed_check_shows_its_detail_its_figures_and_a_sample() -> None:
    event = of(
        "quality.failed",
        job="load_houses",
        data={
            "check": "price_positive",
            "detail": "2 rows",
            "metrics": {"share": 0.5},
            "sample": [{"id": 1, "price": -3}, {"id": 2, "note": None}],
        },
    )
    message = to_message(event)

    assert message.title == "load_houses: check price_positive failed"
    assert message.facts == [("share", "0.5")]
    assert message.body == [
        Text("2 rows"),
        Table(["id", "price", "note"], [["1", "-3", ""], ["2", "", ""]], "sample"),
    ]


def test_a_sensor_that_failed_says_why() -> None:
    message = to_message(of("sensor.failed", sensor="drop", data={"sensor": "drop", "reason": "no such folder"}))

    assert (message.title, message.body) == ("sensor drop failed", [Text("no such folder")])


def test_a_published_message_is_its_first_line_and_the_rest_with_its_data() -> None:
    message = to_message(of("message", message="Done.\nAll of it.", data={"rows": 3, "ok": True, "by": {"a": 1}}))

    assert message.title == "Done."
    assert message.facts == [("rows", "3"), ("ok", "yes")]
    assert message.body == [Text("All of it."), Pre('{\n  "a": 1\n}', "by")]
    assert to_message(of("message")).title == "t"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "250 ms"),
        (1, "1 s"),
        (2.34, "2.3 s"),
        (59.6, "1 min"),
        (3661, "1 h 1 min 1 s"),
        (90000, "1 d"),
        ("?", "?"),
    ],
)
def test_durations_are_read_by_people(seconds: Any, text: str) -> None:
    facts = to_message(of("run.failed", job="x", data={"duration_s": seconds})).facts

    assert facts == [("duration", text)]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)
KEYS = [
    "subject",
    "run_key",
    "attempt",
    "duration_s",
    "metadata",
    "error",
    "log_tail",
    "check",
    "detail",
    "metrics",
    "sample",
    "reason",
    "x",
]


@pytest.mark.parametrize("value", [10**5000, [10**5000]], ids=["an integer", "a list"])
def test_what_cannot_be_shown_is_said_to_be_so(value: Any) -> None:
    message = to_message(of("run.failed", job="x", data={"metadata": {"big": value}}))

    assert message.facts == [("big", f"({type(value).__name__} that cannot be shown)")]


@given(
    st.sampled_from(["run.failed", "run.", "quality.failed", "sensor.failed", "message", "", "a.b.c"]),
    st.dictionaries(st.sampled_from(KEYS) | st.text(), anything, max_size=8),
    st.text(st.characters()),
    st.none() | st.text(st.characters()),
)
def test_every_event_has_a_message_of_strings(type_: str, data: dict[str, Any], text: str, run: str | None) -> None:
    event = of(type_, data=data, message=text, run=run, job=run, subject=run)
    message = to_message(event, base_url="http://h")

    assert message.title
    assert all(isinstance(part, str) for fact in message.facts for part in fact)
    for block in message.body:
        if isinstance(block, Table):
            assert all(len(row) == len(block.header) for row in block.rows)
            assert all(isinstance(cell, str) for row in block.rows for cell in row)
        else:
            assert isinstance(block.text, str)


def test_a_run_under_way_says_how_far_it_is() -> None:
    said = {"progress": 0.4, "text": "1200 of 3000", "run_key": "a.csv"}
    message = to_message(of("run.progress", job="x", data=said))

    assert message.title == "x running, 40%"
    assert message.body == [Text("1200 of 3000")]
    assert to_message(of("run.progress", job="x", data={"progress": None, "text": ""})).title == "x running"
