"""Phrases are English texts, and say the same in another language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rules.phrases import changed, joined, lines, phrase, plural, sentence, spoken, why


class Backwards:
    """A language in which words are said backwards, with three forms of the plural."""

    def text(self, source: str) -> str:
        return {"no {what}": "{what} on", "red": "der"}.get(source, source)

    def forms(self, one: str, other: str) -> Sequence[str]:
        return (f"0 {one}", f"1 {other}", f"2 {other}")

    def form(self, count: int) -> int:
        return count % 3

    def number(self, value: Any) -> str:
        return f"<{value}>"


def test_a_phrase_is_its_english_text_and_says_the_same_in_another_language() -> None:
    said = phrase("no {what}", what=phrase("red"))
    assert said == "no red"
    assert spoken(said, Backwards()) == "der on"
    assert spoken("no {what}", Backwards()) == "no {what}"
    assert spoken(lines(said, "red"), Backwards()) == "der on\nred"
    assert spoken(sentence(said), Backwards()) == "Der on."
    assert why(ValueError(said)) is said


def test_a_counted_phrase_has_the_forms_of_the_language() -> None:
    assert [plural("{count} run", "{count} runs", count) for count in (1, 2, 1200)] == ["1 run", "2 runs", "1,200 runs"]
    assert spoken(plural("{count} run", "{count} runs", 2), Backwards()) == "2 <2> runs"


@given(st.text(), st.text())
def test_what_fills_a_phrase_in_is_data_and_never_a_sentence(one: str, other: str) -> None:
    said = joined(": ", [phrase("no {what}", what=one), other])
    assert said == f"no {one}: {other}"
    assert spoken(said, Backwards()) == f"{one} on: {other}"


def test_every_text_that_fills_a_phrase_can_be_changed_in_both_languages() -> None:
    said = changed(sentence(joined(", ", [phrase("no {what}", what="secret"), "secret"])), lambda _: "***")
    assert said == "No ***, ***."
    assert spoken(said, Backwards()) == "*** on, ***."
