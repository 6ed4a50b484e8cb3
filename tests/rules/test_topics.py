"""Topics, patterns and the trie, against a naive matcher and against regular expressions."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.topics import MAX_TOKEN, Trie, as_token, check_pattern, check_topic, matches

WORDS = st.sampled_from(["a", "b", "c"])
TOPICS = st.lists(WORDS, min_size=1, max_size=5).map(".".join)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    tokens = draw(st.lists(st.sampled_from(["a", "b", "c", "*", "*"]), max_size=5))
    if not tokens or draw(st.booleans()):
        tokens.append(">")
    return ".".join(tokens)


def as_regex(pattern: str) -> re.Pattern[str]:
    """The wildcards' meaning said another way."""
    words = {"*": r"[^.]+", ">": r"[^.]+(?:\.[^.]+)*"}
    return re.compile(r"\.".join(words.get(token, re.escape(token)) for token in pattern.split(".")))


@pytest.mark.parametrize(
    "topic", ["a", "runs.load_houses.failed", "bp.дома.oks", "a-b.c_d", "x%20y.$z", "数据.q", "a" * 255, "(1).#2"]
)
def test_a_topic_of_printable_tokens_is_legal(topic: str) -> None:
    check_topic(topic)
    check_pattern(topic)


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("", "is empty"),
        (".a", "empty token"),
        ("a.", "empty token"),
        ("a..b", "empty token"),
        ("a b", "holds ' '"),
        ("a\nb", r"holds '\\n'"),
        ("a\x00", r"holds '\\x00'"),
        ("a\u00a0b", "holds"),
        ("a\u202eb", "holds"),
        ("a\udcffb", "holds"),
        ("a" * 256, "256 characters; at most 255"),
        ("a.>", "wildcard"),
        ("*", "wildcard"),
        ("a.b*", "wildcard"),
        ("a.>.b", "wildcard"),
    ],
)
def test_what_is_no_topic_is_refused_with_the_reason(topic: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_topic(topic)


@pytest.mark.parametrize("pattern", [">", "*", "a.*.b", "a.>", "*.*.>", "*.a"])
def test_wildcards_are_legal_as_whole_tokens(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a.>.b", "before its end"),
        (">.>", "before its end"),
        ("a*", "inside the token"),
        ("a.**", "inside the token"),
        ("a.>>", "inside the token"),
        ("a.b>", "inside the token"),
        ("a..*", "empty token"),
        ("", "empty"),
        ("a. *", "holds ' '"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_pattern(pattern)


@given(st.text(max_size=8))
def test_a_legal_topic_is_a_pattern_that_takes_just_itself(text: str) -> None:
    try:
        check_topic(text)
    except ValueError:
        trie: Trie[int] = Trie()
        with pytest.raises(ValueError, match="topic"):
            trie.match(text)
        return
    check_pattern(text)
    assert matches(text, text)
    assert matches(">", text)
    assert not matches(f"{text}.x", text)
    assert not matches(text, f"{text}.x")


@given(patterns(), TOPICS)
def test_wildcards_mean_what_the_regular_expression_means(pattern: str, topic: str) -> None:
    check_pattern(pattern)
    assert matches(pattern, topic) == (as_regex(pattern).fullmatch(topic) is not None)


@pytest.mark.parametrize(
    ("pattern", "topic", "taken"),
    [("a.>", "a", False), ("a.>", "a.b.c", True), ("a.*", "a.b.c", False), ("*.b", "a.b", True), (">", "a", True)],
)
def test_wildcards_are_those_of_nats(pattern: str, topic: str, taken: bool) -> None:
    assert matches(pattern, topic) is taken


PAIRS = st.lists(st.tuples(patterns(), st.integers(0, 4)), max_size=25)


@given(PAIRS, PAIRS, TOPICS)
def test_the_trie_is_a_quick_naive_matcher_whatever_the_order(
    added: list[tuple[str, int]], removed: list[tuple[str, int]], topic: str
) -> None:
    tries: list[Trie[int]] = [Trie(), Trie()]
    for trie, order in zip(tries, (added, added[::-1]), strict=True):
        for pair in order:
            trie.add(*pair)
    held = set(added)
    for pair in removed:
        for trie in tries:
            if pair in held:
                trie.remove(*pair)
            else:
                with pytest.raises(KeyError):
                    trie.remove(*pair)
        held.discard(pair)
    naive = sorted(value for pattern, value in held if matches(pattern, topic))
    assert [trie.match(topic) for trie in tries] == [naive, naive]
    assert {len(trie) for trie in tries} == {len(held)}


@given(PAIRS)
def test_a_trie_that_everything_was_removed_from_holds_no_node(added: list[tuple[str, int]]) -> None:
    trie: Trie[int] = Trie()
    for pair in added:
        trie.add(*pair)
    for pair in set(added):
        trie.remove(*pair)
    assert len(trie) == 0
    assert trie._root.children is None


def test_a_trie_holds_lists_as_values_too() -> None:
    trie: Trie[list[int]] = Trie()
    trie.add("a", [2])
    trie.add("a", [1])
    trie.add("a", [1])
    assert trie.match("a") == [[1], [2]]
    trie.remove("a", [2])
    assert trie.match("a") == [[1]]


def test_a_topic_with_a_wildcard_reaches_no_subscription() -> None:
    trie: Trie[str] = Trie()
    trie.add("runs.*.failed", "x")
    with pytest.raises(ValueError, match="wildcard"):
        trie.match("runs.*.failed")


ANY_TEXT = st.text(st.characters(), max_size=60)


@given(ANY_TEXT)
def test_any_text_becomes_one_legal_token(text: str) -> None:
    token = as_token(text)
    check_topic(f"sensors.{token}.failed")
    assert "." not in token
    assert len(token) <= MAX_TOKEN
    if text and "%~" not in token:
        assert unquote(token, errors="surrogatepass") == text


@given(ANY_TEXT, ANY_TEXT)
def test_two_texts_become_two_tokens(one: str, other: str) -> None:
    assert (as_token(one) == as_token(other)) == (one == other)


def test_a_token_stays_readable() -> None:
    assert as_token("load_houses") == "load_houses"
    assert as_token("a.> *.csv") == "a%2E%3E%20%2A%2Ecsv"
    assert as_token("дом\udcff") == "дом%ED%B3%BF"
    assert as_token("") == "%"
    long = {as_token("x" * 500), as_token("x" * 501), as_token("." * 300)}
    assert {len(token) for token in long} == {MAX_TOKEN}
    assert len(long) == 3
