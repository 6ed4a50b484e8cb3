"""Many patterns are found as a naive matcher finds them, whether their shape is looked up or goes to the trie."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import matching
from rules.matching import Patterns
from rules.topics import matches
from tests.rules.test_topics import PAIRS, TOPICS


@pytest.fixture(params=[0, 2, matching.SHAPES], scope="module")
def shapes(request: pytest.FixtureRequest) -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "SHAPES", request.param)
        patch.setattr(matching, "RECENT", 3)
        patch.setattr(matching, "FEW", 2)
        yield request.param


def itself(value: int) -> int:
    return value


def naive(held: set[tuple[str, int]], topic: str) -> list[int]:
    return sorted(value for pattern, value in held if matches(pattern, topic))


@settings(max_examples=40)
@given(PAIRS, PAIRS, st.lists(TOPICS, min_size=1, max_size=6))
def test_patterns_are_a_quick_naive_matcher_after_every_change(
    shapes: int, added: list[tuple[str, int]], removed: list[tuple[str, int]], topics: list[str]
) -> None:
    patterns, held = Patterns(key=itself), set[tuple[str, int]]()
    for pair in added:
        patterns.add(*pair)
        held.add(pair)
        assert [list(patterns.match(topic)) for topic in topics] == [naive(held, topic) for topic in topics]
    for pair in removed:
        if pair in held:
            patterns.remove(*pair)
        else:
            with pytest.raises(KeyError):
                patterns.remove(*pair)
        held.discard(pair)
        assert [list(patterns.match(topic)) for topic in topics] == [naive(held, topic) for topic in topics]
    assert len(patterns) == len(held)
    assert sum(use.looked_up for use in patterns._uses.values()) <= shapes


@given(PAIRS)
def test_nothing_is_held_once_everything_was_removed(added: list[tuple[str, int]]) -> None:
    patterns = Patterns(key=itself)
    for pair in added:
        patterns.add(*pair)
    for pair in set(added):
        patterns.remove(*pair)
    assert len(patterns) == len(patterns._others) == 0
    assert not [each for each in (patterns._held, patterns._uses, patterns._lengths, patterns._recent) if each]


def test_patterns_of_more_shapes_than_are_looked_up_are_all_found() -> None:
    patterns = Patterns(key=itself)
    every = [".".join(words) for words in product("a*", repeat=7)]
    for number, pattern in enumerate(every):
        patterns.add(pattern, number)
    assert sum(use.looked_up for use in patterns._uses.values()) == matching.SHAPES < len(every)
    assert patterns.match("a.a.a.a.a.a.a") == list(range(len(every)))
    assert list(patterns.match("b.b.b.b.b.b.b")) == [len(every) - 1]


def test_a_topic_with_many_takers_is_not_remembered() -> None:
    patterns = Patterns(key=itself)
    for number in range(matching.FEW + 1):
        patterns.add(">", number)
    assert len(patterns.match("a")) == matching.FEW + 1
    assert not patterns._recent


def test_what_is_no_topic_and_no_pattern_is_refused() -> None:
    patterns = Patterns(key=itself)
    with pytest.raises(ValueError, match="wildcard"):
        patterns.match("a.*")
    with pytest.raises(ValueError, match="before its end"):
        patterns.add("a.>.b", 1)
