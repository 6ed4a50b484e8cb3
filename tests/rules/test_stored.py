"""Reasons that were kept in English, told in another language: what fills them in stays, whatever it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifiers.bursts import WHY
from notifiers.outcomes import A_COPY_MAY_EXIST
from notifiers.routing import NO_PROGRESS
from rules.event import Event, Severity
from rules.phrases import Phrase, spoken
from rules.routing import Router, Subscription, compile_where
from rules.stored import recalled

UNTIL = "2026-11-22 10:00 UTC"


class Marked:
    """A language that says every sentence in brackets, so that it is seen what was taken for one."""

    def text(self, source: str) -> str:
        return f"[{source}]"

    def forms(self, one: str, other: str) -> Sequence[str]:
        return (one, other)

    def form(self, count: int) -> int:
        return min(count, 1)

    def number(self, value: Any) -> str:
        return str(value)


def told(text: str) -> str:
    said: str = spoken(recalled(text), Marked())
    return said


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {"id": "e", "type": "run.failed", "topic": "runs.load.failed", "job": "load"}
    fields |= {"time": datetime(2026, 11, 22, tzinfo=UTC), "severity": Severity.error, "data": {"rows": 12}}
    return Event(**fields | changes)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"severity": ">=critical"}, "[severity error is below critical]"),
        ({"severity": ">error"}, "[severity error is not above error]"),
        ({"severity": "<error"}, "[severity error is not below error]"),
        ({"severity": "<=info"}, "[severity error is above info]"),
        ({"severity": "!=error"}, "[severity error is exactly error]"),
        ({"severity": ["info", "debug"]}, "[severity error is none of info, debug]"),
        ({"type": "run.succeeded"}, "[type run.failed is not run.succeeded]"),
        ({"subject": "*.json"}, "[subject [nothing] does not match *.json]"),
        ({"job": None}, "[job load is not [nothing]]"),
        ({"data.absent": ">1"}, "[data.absent [nothing] cannot be compared with 1]"),
        ({"data.rows": ">100"}, "[data.rows 12 is not above 100]"),
    ],
)
def test_what_a_condition_says_is_known(where: dict[str, Any], said: str) -> None:
    reason = compile_where(where).why_not(event())
    assert reason is not None
    assert told(reason) == said


def test_what_the_router_says_is_known() -> None:
    router = Router()
    for one in ("a", "b"):
        router.add(Subscription(one, "runs.>", "telegram:1"))
    reason = router.route(event())[1].reason
    assert reason is not None
    assert told(reason) == "[telegram:1 is already told by subscription a]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NO_PROGRESS, f"[{NO_PROGRESS}]"),
        (WHY, f"[{WHY}]"),
        (A_COPY_MAY_EXIST, f"[{A_COPY_MAY_EXIST}]"),
        (f"server_error: 502; {A_COPY_MAY_EXIST}", f"[server_error: 502; {A_COPY_MAY_EXIST}]"),
        (
            f"everything is muted until {UNTIL} by Anna: too loud",
            f"[[everything] is muted until {UNTIL} by Anna: too loud]",
        ),
        (f"bp.> is muted until {UNTIL} by Anna", f"[bp.> is muted until {UNTIL} by Anna]"),
        ("job load is muted until it succeeds by Anna", "[[job load] is muted until it succeeds by Anna]"),
        ("put off: quiet hours: 22:00-08:00 Europe/Lisbon", "[put off: [quiet hours: 22:00-08:00 Europe/Lisbon]]"),
        ("when: {{ file.size }} > 0 is false", "[when: {{ file.size }} > 0 is false]"),
        ("run 019a holds this run_key", "[run 019a holds this run_key]"),
        ("Forbidden: bot was kicked from the group chat", "Forbidden: bot was kicked from the group chat"),
    ],
)
def test_what_a_delivery_or_a_tick_keeps_is_known(text: str, said: str) -> None:
    # The sentence's own braces are of data here, and stay.
    assert told(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "message a is not b is not c",
        "message a is above b is below c",
        "message a is none of b is exactly c",
    ],
)
def test_what_could_be_two_sentences_stays_as_it_is(text: str) -> None:
    assert not isinstance(recalled(text), Phrase)
    assert told(text) == text


@given(
    st.text()
    | st.text("ab :;is not{}[]")
    | st.lists(st.sampled_from(["is", "not", "above", "none of", "a", ": ", "x"])).map(" ".join)
)
def test_in_english_nothing_changes(text: str) -> None:
    assert recalled(text) == text


VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(VALUES, VALUES, st.sampled_from(["", "!=", "*"]))
def test_what_is_told_of_a_condition_holds_both_values_unchanged(value: str, wanted: str, sign: str) -> None:
    wanted = f"{sign}{value}" if sign == "!=" else f"{wanted}{sign}"
    try:
        reason = compile_where({"message": wanted}).why_not(event(message=value))
    except ValueError:
        return  # Not every text is a condition.
    if reason is not None:
        assert told(reason).replace("[", "").replace("]", "") == reason.replace("[", "").replace("]", "")
