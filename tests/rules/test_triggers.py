"""A rule and something sensed: one request per job, a skip with its reason, or an error that names the key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.request import RunRequest, Sensed, SkipReason
from rules.triggers import RuleError, compile_rule, decide

AT = datetime(2026, 11, 21, tzinfo=UTC)
FILE = {"name": "a.csv", "path": "/in/a.csv", "size": 12}


def sensed(**changes: Any) -> Sensed:
    fields: dict[str, Any] = {"subject": "/in/a.csv", "key": "/in/a.csv@12", "at": AT, "context": {"file": FILE}}
    return Sensed(**fields | changes)


def test_a_rule_without_a_run_key_takes_the_sensed_things_own() -> None:
    assert decide(compile_rule(jobs=["load"]), sensed()) == (RunRequest(run_key="/in/a.csv@12", job_name="load"),)


def test_a_rule_makes_one_request_for_each_job() -> None:
    rule = compile_rule(
        jobs=["load", "check"],
        run_key="{{ file.name }}",
        run_config={"path": "{{ file.path }}", "size": "{{ file.size }}", "from": "{{ subject }} {{ key }}"},
        tags={"size": "{{ file.size }}", "team": "geo", "big": "{{ file.size > 100 }}", "n": 3, "file": "{{ file }}"},
        when="file.size > 0",
        partition_key="{{ file.name|stem }}",
        priority=7,
    )
    load, check = expect_requests(decide(rule, sensed()))
    assert load == RunRequest(
        run_key="a.csv",
        run_config={"path": "/in/a.csv", "size": 12, "from": "/in/a.csv /in/a.csv@12"},
        tags={
            "size": "12",
            "team": "geo",
            "big": "false",
            "n": "3",
            "file": '{"name":"a.csv","path":"/in/a.csv","size":12}',
        },
        job_name="load",
        partition_key="a",
        priority=7,
    )
    assert check.job_name == "check"
    assert (check.run_key, check.run_config, check.tags) == (load.run_key, load.run_config, load.tags)


def expect_requests(decision: tuple[RunRequest, ...] | SkipReason) -> tuple[RunRequest, ...]:
    assert isinstance(decision, tuple)
    return decision


def test_a_false_when_is_a_skip_with_its_reason() -> None:
    rule = compile_rule(jobs=["load"], when="file.size > 100")
    assert decide(rule, sensed()) == SkipReason("when: file.size > 100 is false")


def test_a_false_when_comes_before_keys_that_cannot_be_evaluated() -> None:
    rule = compile_rule(jobs=["load"], when="file.kind is defined", run_key="{{ file.kind }}")
    assert decide(rule, sensed()) == SkipReason("when: file.kind is defined is false")


def test_an_empty_partition_key_is_none() -> None:
    (request,) = expect_requests(decide(compile_rule(jobs=["load"], partition_key="{{ '' }}"), sensed()))
    assert request.partition_key is None


def test_run_config_may_be_the_payload_itself() -> None:
    rule = compile_rule(jobs=["load"], run_config="{{ file }}")
    (request,) = expect_requests(decide(rule, sensed()))
    assert request.run_config == FILE
    assert request.run_config is not FILE


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"run_key": "{{ file.nme }}"}, "^run_key: template .*nme is undefined"),
        ({"run_key": "{{ ' ' }}"}, r"^run_key: .* is empty for /in/a\.csv"),
        ({"run_config": {"a": {"b": "{{ nope }}"}}}, r"^run_config: a\.b: .*nope is undefined"),
        ({"run_config": "{{ file.size }}"}, "^run_config: it is int for .*; it must be a mapping"),
        ({"tags": {"a": "{{ nope }}"}}, "^tags: a: .*nope is undefined"),
        ({"when": "nope > 1"}, "^when: expression 'nope > 1': nope is undefined"),
        ({"when": "file.name > 1"}, "^when: .*not supported between"),
        ({"partition_key": "{{ nope }}"}, "^partition_key: .*nope is undefined"),
    ],
)
def test_a_rule_that_cannot_be_applied_names_the_key(rule: dict[str, Any], words: str) -> None:
    compiled = compile_rule(jobs=["load"], **rule)
    with pytest.raises(RuleError, match=words):
        decide(compiled, sensed())


def test_an_empty_key_of_the_source_is_an_error_too() -> None:
    with pytest.raises(RuleError, match=r"^run_key: the source's own key is empty"):
        decide(compile_rule(jobs=["load"]), sensed(key=""))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"run_key": "{{ file.name"}, "^run_key: "),
        ({"run_config": {"a": ["{{ 1 + }}"]}}, r"^run_config: a\.0: "),
        ({"run_config": {"day": AT}}, "^run_config: day: .* is a datetime"),
        ({"tags": {"a": "{% if %}"}}, "^tags: a: "),
        ({"when": "{{ file.size }}"}, "^when: .*without"),
        ({"partition_key": "{{ x|nope }}"}, "^partition_key: .*no filter nope"),
        ({"jobs": []}, "^jobs: name at least one"),
        ({"jobs": "load"}, "^jobs: name at least one"),
        ({"jobs": ["a", "a"]}, "^jobs: .*twice"),
    ],
)
def test_a_rule_that_cannot_be_compiled_names_the_key(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(RuleError, match=words):
        compile_rule(**{"jobs": ["load"]} | rule)


def test_two_rules_of_one_text_are_equal() -> None:
    text: dict[str, Any] = {"jobs": ["a"], "run_key": "{{ key }}", "when": "true", "run_config": {"a": "{{ key }}"}}
    assert compile_rule(**text) == compile_rule(**text)
    assert compile_rule(**text) != compile_rule(**{**text, "when": "false"})


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_the_same_thing_sensed_is_decided_the_same_twice(name: str, key: str) -> None:
    rule = compile_rule(jobs=["a", "b"], run_key="{{ key }}:{{ file.name }}", run_config={"n": "{{ file.name }}"})
    thing = sensed(key=key, context={"file": {"name": name}})
    first, second = expect_requests(decide(rule, thing)), expect_requests(decide(rule, thing))
    assert first == second
    assert first[0].run_key == f"{key}:{name}"
    assert first[0].run_config == {"n": name}
    assert first[0].run_config is not second[0].run_config


def test_what_a_source_decided_is_completed_by_its_rule() -> None:
    rule = compile_rule(jobs=["load", "check"], tags={"team": "geo", "of": "{{ subject }}"}, priority=3)
    wanted = RunRequest("a", {"n": 1}, {"team": "own"}, partition_key="p")
    load, check = expect_requests(decide(rule, sensed(decided=(wanted,))))
    tags = {"team": "own", "of": "/in/a.csv"}
    assert load == RunRequest("a", {"n": 1}, tags, "load", partition_key="p", priority=3)
    assert check == RunRequest("a", {"n": 1}, tags, "check", partition_key="p", priority=3)
    always = RunRequest(job_name="check", priority=9)
    assert expect_requests(decide(compile_rule(jobs=["load", "check"]), sensed(decided=(always,)))) == (always,)
    assert decide(rule, sensed(decided=())) == ()
    assert decide(rule, sensed(decided=SkipReason("no news"))) == SkipReason("no news")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (RunRequest(job_name="other"), "job: 'other' is asked for, and the sensor's are load"),
        (RunRequest(" "), "run_key: it is empty"),
    ],
)
def test_what_a_source_decided_must_fit_its_rule(request_: RunRequest, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        decide(compile_rule(jobs=["load"]), sensed(decided=(request_,)))
    with pytest.raises(RuleError, match="tags: "):
        decide(compile_rule(jobs=["load"], tags={"t": "{{ nothing }}"}), sensed(decided=(RunRequest("a"),)))
