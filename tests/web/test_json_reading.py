"""The quick look at a body finds what a slow reader finds, whatever the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensord.web.body import parse_json
from sensord.web.problems import Problem

REFUSED = object()
TOKENS = (
    "{", "}", "[", "]", ":", ",", '"a"', '"a"', '"b:c"', '"\\u003a"', '":"', "1", "-0", "1e5", "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "-9223372036854775809", "null", "true", '"\\\\"', '"\\":"', " ",
    "1.5", "1e300", "1e400", "NaN", '"é"',
)  # fmt: skip
KEYS = st.sampled_from(("a", "b", ":", "a:", "é", ""))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | KEYS
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=4).map(tuple),
    max_leaves=15,
)


def strictly(raw: bytes) -> Any:
    """What a reader makes of it that looks at every key, number and character; REFUSED where it is in doubt."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    def whole(text: str) -> int:
        if not -(2**63) <= int(text) < 2**63:
            raise ValueError("beyond 64 bits")
        return int(text)

    def finite(text: str) -> float:
        if abs(value := float(text)) == float("inf"):
            raise ValueError("beyond a float")
        return value

    try:
        value = json.loads(raw, object_pairs_hook=once, parse_int=whole, parse_float=finite, parse_constant=whole)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return REFUSED
    return value


def text_of(document: Any) -> str:
    """JSON in which a key may come twice: a tuple is the pairs of an object."""
    if isinstance(document, tuple):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}: {text_of(value)}" for key, value in document)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(document, list):
        return "[" + ", ".join(map(text_of, document)) + "]"
    return json.dumps(document, ensure_ascii=False)


def agree(raw: bytes) -> None:
    try:
        found = parse_json(raw)
    except Problem:
        found = REFUSED
    assert repr(found) == repr(strictly(raw))


@settings(max_examples=300)
@given(DOCUMENTS)
def test_a_document_is_read_as_a_strict_reader_reads_it(document: Any) -> None:
    agree(text_of(document).encode("utf-8", "surrogatepass"))


@settings(max_examples=300)
@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
def test_bytes_that_are_nearly_json_are_taken_as_a_strict_reader_takes_them(text: str) -> None:
    agree(text.encode())


@pytest.mark.parametrize(
    "raw",
    ['{"a": 1, "a": "\\u003a"}', '{"a": ":", "a": 1}', '{"\\u0061": ":", "a": 1}', '[{"a": 1, "a": 2}, ":"]',
     '{"a:": 1, "a:": 2}', "18446744073709551616", "-9223372036854775808", "[1e19]", "-0", "[-0.0]", '{"": {"": []}}'],
)  # fmt: skip
def test_what_hides_from_a_quick_look_is_found(raw: str) -> None:
    agree(raw.encode())


@pytest.mark.parametrize("inner", ["", "1", '{"a": 1}', "[]"])
@pytest.mark.parametrize("depth", [62, 63, 64, 65, 66])
def test_64_levels_are_taken_and_not_one_more(depth: int, inner: str) -> None:
    raw = ("[" * depth + inner + "]" * depth).encode()
    if depth + inner.startswith(("[", "{")) <= 64:
        agree(raw)
    else:
        with pytest.raises(Problem, match="nested deeper"):
            parse_json(raw)
