from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rules.commands import (
    COMMANDS,
    Command,
    CommandError,
    Invited,
    Shown,
    check,
    invitation,
    opened,
    parse,
    topic_payload,
    wanted,
)
from rules.conditions import compile_where
from rules.topics import check_pattern

pieces = st.sampled_from(
    ["/", "/subs", "/subscribe", "@bot", "@Other_bot", " ", "\n", "bp.>", "severity>=warning", "tag=a:b", "=", ">=",
     "≥", "\u202e", "\x00", "\ud800", "{{ 1 }}", "'; DROP TABLE runs; --", "<b>", "x" * 5000, "é"]
)  # fmt: skip
texts = st.lists(pieces, max_size=8).map("".join) | st.text(st.characters(codec=None), max_size=60)
patterns = st.lists(st.sampled_from(["a", "b-1", "*", "дом", "_"]), min_size=1, max_size=4).map(".".join)


def refusal(judge: Callable[[], object]) -> str:
    try:
        judge()
    except CommandError as error:
        return str(error)
    return ""


@given(texts, st.sampled_from(["bot", "Bot", None]))
def test_any_text_is_a_command_or_none_and_is_judged_without_another_error(text: str, me: str | None) -> None:
    command = parse(text, me)
    if command is None:
        return
    assert text.replace("\u00a0", " ").strip().lower().startswith(f"/{command.name}")
    assert command.name == command.name.lower()
    assert all(word and not set(word) & set(" \n") for word in command.words)
    for judge in (lambda: check(command), lambda: wanted(command.words)):
        assert len(refusal(judge)) < 2000


@given(st.sampled_from(sorted(COMMANDS)), st.sampled_from(["bot", "BOT", "other_bot"]))
def test_a_command_for_another_bot_is_none_of_ours(name: str, to: str) -> None:
    assert (parse(f"/{name}@{to}", "bot") is None) == (to == "other_bot")
    assert parse(f"/{name}", "bot") == Command(name)
    assert parse(f"/{name}@{to}", None) is None


@given(patterns, st.sampled_from([">=", "<", "!=", "="]), st.sampled_from(["warning", "error"]))
def test_what_subscribe_makes_of_its_words_is_a_subscription(pattern: str, sign: str, severity: str) -> None:
    found, where = wanted([pattern, f"severity{sign}{severity}", "tag=team:geo"])
    check_pattern(found)
    compile_where(where)
    assert found == pattern
    assert where == {"severity": severity if sign == "=" else f"{sign}{severity}", "tags.team": "geo"}


def test_signs_as_phones_write_them_are_understood() -> None:
    command = parse("/Subscribe\u00a0bp.> severity≥warning", "bot")
    assert command == Command("subscribe", ("bp.>", "severity>=warning"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Say which topic"),
        (["bp.>.x"], "`>` before its end"),
        (["bp..x"], "empty token"),
        (["bp.>", "warning"], "'warning' is no condition"),
        (["bp.>", "severity>=loud"], "'loud' is none of debug"),
        (["bp.>", "sevrity=error"], "did you mean severity"),
        (["bp.>", "tag=team"], "tag=NAME:VALUE"),
    ],
)
def test_what_is_wrong_with_a_subscription_is_said(words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said.replace(">", r"\>")):
        wanted(words)


def test_an_unknown_command_and_too_many_words_are_told_what_to_type() -> None:
    with pytest.raises(CommandError, match="Did you mean /subscribe"):
        check(Command("subscrib"))
    with pytest.raises(CommandError, match="/help lists them"):
        check(Command("zzz"))
    with pytest.raises(CommandError, match=r"Type: /runs \[JOB\]"):
        check(Command("runs", ("a", "b")))


@given(patterns | st.text("ab.>*", min_size=1, max_size=60))
@example("runs.*.failed")
@example("b" * 60)
def test_a_topic_that_fits_into_a_link_comes_out_of_it(pattern: str) -> None:
    payload = topic_payload(pattern)
    if payload is None:
        assert len(pattern) > 40
        return
    assert len(payload) <= 64
    try:
        check_pattern(pattern)
    except ValueError:
        assert opened(payload) is None
    else:
        assert opened(payload) == Shown(pattern)


@given(st.text(st.characters(codec=None), max_size=80) | st.text("it_-A9", max_size=70))
def test_any_payload_is_ours_or_none(payload: str) -> None:
    found = opened(payload)
    if isinstance(found, Invited):
        assert payload == invitation(found.token)
    elif isinstance(found, Shown):
        check_pattern(found.topic)
