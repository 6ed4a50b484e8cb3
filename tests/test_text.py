"""Cutting, measuring and showing text, with Python's own codecs and TDLib as the second opinion."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifiers.text import (
    csv_file,
    display_width,
    plain_table,
    split_text,
    table_fits,
    utf8_len,
    utf16_len,
    visible,
)

FAMILY = "👨‍👩‍👧‍👦"
FLAG = "🇺🇦"
ANY_TEXT = st.text(st.characters(codec=None, categories=None))
ALPHABET = st.sampled_from(
    ["a", " ", "\n", "\r\n", "ж", "é", "e\u0301", "😀", "👍🏽", FAMILY, FLAG, "\u0600", "한", "`"]
)
WORDS = st.lists(ALPHABET, max_size=400).map("".join)


@given(ANY_TEXT)
def test_utf16_units_are_those_of_the_codec(text: str) -> None:
    assert utf16_len(text) == len(text.encode("utf-16-be", "surrogatepass")) / 2
    assert utf8_len(text) == len(text.encode("utf-8", "surrogatepass"))


@given(WORDS | ANY_TEXT, st.integers(2, 60), st.sampled_from([utf16_len, len]))
def test_pieces_fit_and_together_are_the_text(text: str, limit: int, measure: object) -> None:
    pieces = split_text(text, limit, utf16_len if measure is utf16_len else len)
    assert "".join(pieces) == text
    assert all(0 < (utf16_len(piece) if measure is utf16_len else len(piece)) <= limit for piece in pieces)


@given(st.lists(st.sampled_from([FAMILY, FLAG, "e\u0301\u0323", "👍🏽", "\r\n", "ab"]), min_size=1, max_size=200))
def test_a_cut_never_goes_through_a_grapheme_while_one_fits(graphemes: list[str]) -> None:
    longest = 40  # The family takes 11 units; a piece may be cut anywhere in its second half.
    pieces = split_text("".join(graphemes), longest)
    starts = set()
    at = 0
    for grapheme in graphemes:
        starts.add(at)
        at += len(grapheme)
    at = 0
    for piece in pieces:
        # Two flags in a row are four letters: any pair of them is a flag, so any even distance is a start.
        assert at in starts or unicodedata.category(piece[0]) == "Ll"
        at += len(piece)


def test_a_piece_ends_at_a_line_end_rather_than_a_space_rather_than_anywhere() -> None:
    assert split_text("aaaa bbbb\ncccc dddd", 12) == ["aaaa bbbb\n", "cccc dddd"]
    assert split_text("aaaa bbbb cccc", 12) == ["aaaa bbbb ", "cccc"]
    assert split_text("aaaabbbbcccc", 5) == ["aaaab", "bbbcc", "cc"]


def test_a_line_end_in_the_first_half_is_too_early_to_cut_at() -> None:
    assert split_text("a\n" + "b" * 20, 12) == ["a\n" + "b" * 10, "b" * 10]


def test_a_character_above_the_limit_is_a_piece_of_its_own() -> None:
    assert split_text("a😀b", 1) == ["a", "😀", "b"]
    assert split_text("", 10) == []


@given(ANY_TEXT)
def test_visible_text_can_be_encoded_and_hides_nothing(text: str) -> None:
    shown = visible(text)
    assert shown.encode().decode() == shown
    assert visible(shown) == shown
    assert not {unicodedata.category(character) for character in shown.replace("\n", "")} & {"Cc", "Cs", "Zl", "Zp"}
    assert {unicodedata.bidirectional(character) for character in shown}.isdisjoint(
        {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    )


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("a\r\nb\rc\x85d\u2028e\u2029f", "a\nb\nc\nd\ne\nf"),
        ("a\tb\n\tc", "a   b\n    c"),
        ("\x00\x1b[31m\x7f\x9b", "␀␛[31m␡\\x9b"),
        ("invoice\u202efdp.exe", "invoice\\u202efdp.exe"),
        ("\ud83d\ude00 and \ud83d alone", "😀 and \ufffd alone"),
        ("plain <b> & *text*", "plain <b> & *text*"),
    ],
)
def test_what_a_chat_would_swallow_is_shown(given_text: str, shown: str) -> None:
    assert visible(given_text) == shown


def test_a_table_is_aligned_with_numbers_to_the_right() -> None:
    table = plain_table(["check", "failed"], [["not_null", "7"], ["日本", "1,234"], ["e\u0301", ""]])
    assert table == "check     failed\n--------  ------\nnot_null       7\n日本       1,234\ne\u0301"


@given(st.lists(st.lists(ANY_TEXT, min_size=3, max_size=3), max_size=8))
def test_every_row_of_a_table_is_one_line_and_no_wider_than_its_cells_may_be(rows: list[list[str]]) -> None:
    lines = plain_table(["a", "b", "c"], rows, max_cell=10, max_rows=5).split("\n")
    assert len(lines) == 2 + min(len(rows), 5) + (len(rows) > 5)
    assert all(display_width(line) <= 3 * 10 + 2 * 2 for line in lines)


def test_a_table_that_was_cut_says_so() -> None:
    long = [["x" * 41]] + [["y"]] * 50
    assert plain_table(["name"], long).split("\n")[2] == "x" * 39 + "…"
    assert plain_table(["name"], long).endswith("\n… 1 more rows")
    assert not table_fits(["name"], long)
    assert not table_fits(["name"], long[:1])
    assert table_fits(["name"], long[1:])
    assert plain_table([], []) == "\n"


@given(st.lists(st.lists(st.text('ab,"\n\r =+-@1', max_size=6), min_size=2, max_size=2), max_size=6))
def test_a_csv_file_reads_back_and_runs_no_formula(rows: list[list[str]]) -> None:
    back = list(csv.reader(io.StringIO(csv_file(["a", "b"], rows).decode(), newline="")))
    assert [[cell.removeprefix("'") for cell in row] for row in back] == [["a", "b"], *rows]
    assert not [cell for row in back for cell in row if cell[:1] in ("=", "@")]


def test_a_negative_number_stays_a_number_in_csv() -> None:
    assert csv_file(["n"], [["-1.5"], ["-1+1"], ["=1"]]) == b"n\r\n-1.5\r\n'-1+1\r\n'=1\r\n"
