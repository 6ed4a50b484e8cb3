"""Who is told of an event, and why the others are not; against a naive model."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.event import Event, Severity
from rules.routing import Router, Subscription, Verdict, compile_where, explain
from rules.topics import matches
from rules.values import glob

AT = datetime(2026, 11, 21, tzinfo=UTC)


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "id": "e1",
        "type": "run.failed",
        "topic": "runs.load.failed",
        "time": AT,
        "severity": Severity.error,
        "message": "load failed: disk full",
        "subject": "a.csv",
        "job": "load",
        "data": {"rows": 12, "text": "12.5", "ok": True, "none": None, "list": [{"a": 1}], "tags": {"team.x": "geo"}},
    }
    return Event(**fields | changes)


def why_not(where: dict[str, Any], **changes: Any) -> str | None:
    return compile_where(where).why_not(event(**changes))


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"severity": "error"},
        {"severity": ">=warning"},
        {"severity": "> warning"},
        {"severity": "<=error"},
        {"severity": "<critical"},
        {"severity": "!=info"},
        {"severity": ["info", ">=error"]},
        {"type": "run.failed"},
        {"type": "run.*"},
        {"job": ["x", "load"]},
        {"job": "l?ad"},
        {"sensor": None},
        {"sensor": "!=x"},
        {"source": "sensord"},
        {"subject": "*.csv"},
        {"topic": "runs.*"},
        {"message": "*disk full"},
        {"message": "*"},
        {"data.rows": 12},
        {"data.rows": 12.0},
        {"data.rows": "12"},
        {"data.rows": ">9"},
        {"data.rows": "<= 12"},
        {"data.rows": "!=13"},
        {"data.text": ">9"},
        {"data.text": 12.5},
        {"data.ok": True},
        {"data.ok": "true"},
        {"data.none": None},
        {"data.absent": None},
        {"data.absent.deeper": "!=1"},
        {"data.list.0.a": 1},
        {"tags.team.x": "geo"},
        {"tags.team.x": ">gen"},
        {"severity": ">=warning", "job": "load", "data.rows": ">0"},
    ],
)
def test_an_event_that_meets_every_condition_is_delivered(where: dict[str, Any]) -> None:
    assert why_not(where) is None


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"severity": "info"}, "severity error is not info"),
        ({"severity": ">=critical"}, "severity error is below critical"),
        ({"severity": ">error"}, "severity error is not above error"),
        ({"severity": "<=info"}, "severity error is above info"),
        ({"severity": "<error"}, "severity error is not below error"),
        ({"severity": "!=error"}, "severity error is exactly error"),
        ({"severity": ["info", "debug"]}, "severity error is none of info, debug"),
        ({"job": "load", "type": "run.succeeded"}, "type run.failed is not run.succeeded"),
        ({"sensor": "x"}, "sensor nothing is not x"),
        ({"run": "*"}, "run nothing does not match *"),
        ({"subject": "*.json"}, "subject a.csv does not match *.json"),
        ({"job": None}, "job load is not nothing"),
        ({"data.rows": ">100"}, "data.rows 12 is not above 100"),
        ({"data.rows": "012x"}, "data.rows 12 is not 012x"),
        ({"data.rows": True}, "data.rows 12 is not true"),
        ({"data.ok": 1}, "data.ok true is not 1"),
        ({"data.absent": ">1"}, "data.absent nothing cannot be compared with 1"),
        ({"data.list": "a"}, "data.list [{'a': 1}] is not a"),
        ({"tags.team": "geo"}, "tags.team nothing is not geo"),
        ({"topic": "bp.*"}, "topic runs.load.failed does not match bp.*"),
    ],
)
def test_an_event_that_does_not_is_told_why(where: dict[str, Any], reason: str) -> None:
    assert why_not(where) == reason


def test_two_texts_are_equal_as_texts_not_as_numbers() -> None:
    assert why_not({"job": "007"}, job="7") == "job 7 is not 007"
    assert why_not({"job": "1e3"}, job="1000") == "job 1000 is not 1e3"


def test_a_reason_is_one_printable_line() -> None:
    reason = why_not({"subject": "x"}, subject="a\n\x1b[31m" + "b" * 500)
    assert reason is not None
    assert reason.isprintable()
    assert len(reason) < 130


def test_any_of_the_events_topics_meets_a_condition_on_the_topic() -> None:
    assert why_not({"topic": "bp.*"}, also="bp.houses.fails") is None
    assert why_not({"topic": "x.*"}, also="bp.fails") == "topic runs.load.failed does not match x.*"


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"severty": "info"}, "'severty' is no key; did you mean severity.*data.<path>"),
        ({"data": 1}, "'data' is no key"),
        ({"data.": 1}, "is no key"),
        ({"data..a": 1}, "is no key"),
        ({"data." + "9" * 5000: 1}, "is no key"),
        ({5: 1}, "5 is no key"),
        ({"severity": "loud"}, "severity 'loud' is none of debug, info.*'>=warning'"),
        ({"severity": ">=loud"}, "severity 'loud' is none of"),
        ({"severity": 30}, "severity 30 is none of"),
        ({"severity": "warn*"}, "none of"),
        ({"severity": None}, "none of"),
        ({"data.a": ">="}, "data.a is '>=' without a value"),
        ({"data.a": "==5"}, "write the value alone"),
        ({"data.a": {"gt": 5}}, "data.a is a dict; possible are a text"),
        ({"data.a": []}, "empty list"),
        ({"data.a": [["x"]]}, "list inside a list"),
        ({"data.a": ["x", {"y": 1}]}, "data.a is a dict"),
        ({"data.a": "x" * 2000}, "2,000 characters; at most 1,024"),
    ],
)
def test_conditions_that_cannot_be_are_refused_with_what_can(where: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compile_where(where)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_a_glob_means_what_the_regular_expression_means(pattern: str, text: str) -> None:
    words = {"*": ".*", "?": "."}
    regex = "".join(words.get(character, re.escape(character)) for character in pattern)
    assert glob(pattern, text) == (re.fullmatch(regex, text, re.DOTALL) is not None)


class Counted(str):
    """A text that counts how often a character of it is looked at."""

    __slots__ = ("looks",)
    looks: int

    def __getitem__(self, at: Any) -> str:
        self.looks += 1
        return super().__getitem__(at)


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "a*" * 100 + "b", "?*" * 50 + "b", "*" * 1000 + "b"])
def test_no_glob_looks_at_a_text_more_often_than_its_length_allows(pattern: str) -> None:
    text = Counted("a" * 2_000)
    text.looks = 0
    assert not glob(pattern, text)
    assert text.looks <= len(pattern) * len(text)


def subscription(id_: str, topic: str, to: str = "inbox:", **where: Any) -> Subscription:
    return Subscription(id_, topic, to, compile_where(where))


def router(*subscriptions: Subscription) -> Router:
    made = Router()
    for each in subscriptions:
        made.add(each)
    return made


def test_a_subscription_to_both_topics_of_an_event_is_one_verdict() -> None:
    both = subscription("s1", ">")
    assert router(both).route(event(also="bp.fails")) == [Verdict(both, None)]


def test_one_destination_is_told_once_by_the_first_subscription_that_has_no_objection() -> None:
    quiet = subscription("s1", "runs.>", severity=">=critical")
    first, second = subscription("s2", "bp.*"), subscription("s3", "runs.*.failed")
    other = subscription("s4", ">", "console:")
    verdicts = router(other, second, first, quiet).route(event(also="bp.fails"))
    assert [(verdict.subscription.id, verdict.reason) for verdict in verdicts] == [
        ("s1", "severity error is below critical"),
        ("s2", None),
        ("s3", "inbox: is already told by subscription s2"),
        ("s4", None),
    ]


def test_a_subscription_added_again_takes_the_place_of_the_old() -> None:
    made = router(subscription("s1", "runs.>"), subscription("s1", "bp.>"))
    assert len(made) == 1
    assert made.route(event()) == []
    made.remove("s1")
    made.remove("s1")
    assert made.route(event(also="bp.x")) == []


def test_a_refused_pattern_leaves_the_old_subscription_in_place() -> None:
    made = router(subscription("s1", "runs.>"))
    with pytest.raises(ValueError, match="before its end"):
        made.add(subscription("s1", "a.>.b"))
    assert [verdict.subscription.id for verdict in made.route(event())] == ["s1"]


def test_every_silence_is_explained() -> None:
    assert explain(event(), subscription("s1", "runs.>")) == "is told to inbox:"
    assert explain(event(), subscription("s1", "bp.>")) == "topic runs.load.failed does not match bp.>"
    words = explain(event(also="bp.fails"), subscription("s1", "x"))
    assert words == "topic runs.load.failed nor bp.fails does not match x"
    assert explain(event(), subscription("s1", ">", severity="<error")) == "severity error is not below error"


TOPICS = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3).map(".".join)
PATTERNS = st.sampled_from(["a", "b", "*", ">", "a.*", "a.>", "*.b", "*.>", "a.b.*"])
WHERES: st.SearchStrategy[dict[str, str]] = st.sampled_from(
    [{}, {"severity": ">=warning"}, {"severity": "<error"}, {"job": "l*"}, {"data.n": ">1"}]
)


@st.composite
def subscriptions(draw: st.DrawFn) -> Subscription:
    to = draw(st.sampled_from(["inbox:", "console:"]))
    return subscription(f"s{draw(st.integers(0, 6))}", draw(PATTERNS), to, **draw(WHERES))


@st.composite
def events(draw: st.DrawFn) -> Event:
    return event(
        topic=draw(TOPICS),
        also=draw(st.none() | TOPICS),
        severity=draw(st.sampled_from(Severity)),
        job=draw(st.sampled_from(["load", "x"])),
        data={"n": draw(st.integers(0, 3))},
    )


@given(st.lists(subscriptions(), max_size=10), st.lists(st.integers(0, 6), max_size=2), events())
def test_routing_is_what_a_naive_model_says(added: list[Subscription], gone: list[int], happened: Event) -> None:
    made, whole = router(*added), router(*added)
    for number in gone:
        made.remove(f"s{number}")
    held = {each.id: each for each in added if each.id not in {f"s{number}" for number in gone}}
    wanted = [each for _, each in sorted(held.items()) if any(matches(each.topic, topic) for topic in happened.topics)]
    verdicts = made.route(happened)
    assert verdicts == whole.route(happened, {f"s{number}" for number in gone})
    assert [verdict.subscription for verdict in verdicts] == wanted
    willing = [each for each in wanted if naive(each.where.source, happened)]
    told = {each.destination: each for each in reversed(willing)}
    assert [verdict.subscription for verdict in verdicts if verdict.reason is None] == sorted(
        told.values(), key=lambda each: each.id
    )
    for verdict in verdicts:
        if verdict.subscription in willing and verdict.reason is not None:
            first = told[verdict.subscription.destination]
            assert verdict.reason.endswith(f"already told by subscription {first.id}")
        alone = explain(happened, verdict.subscription)
        assert alone.startswith("is told to") == (verdict.subscription in willing)


def naive(where: Any, happened: Event) -> bool:
    """The few conditions of this test, said in Python."""
    meaning: dict[str, Callable[[], bool]] = {
        ">=warning": lambda: happened.severity >= Severity.warning,
        "<error": lambda: happened.severity < Severity.error,
        "l*": lambda: str(happened.job).startswith("l"),
        ">1": lambda: happened.data["n"] > 1,
    }
    return all(meaning[value]() for value in where.values())
