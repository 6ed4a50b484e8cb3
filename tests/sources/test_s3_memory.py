"""What an S3 sensor remembers: little, and exactly."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sensord.sources import s3_memory
from sensord.sources.s3 import S3Config
from sensord.sources.s3_memory import Known
from tests.sources.s3_kit import SECRET

MARKS = st.integers(0, 40).map(lambda number: number << 49 | number % 3)


@given(
    st.sets(MARKS),
    st.lists(st.tuples(st.sampled_from(["has", "new", "pass", "broken"]), st.lists(MARKS, max_size=20))),
)
async def test_it_is_a_set_that_forgets_what_two_complete_listings_did_not_meet(
    start: set[int], steps: list[tuple[str, list[int]]]
) -> None:
    known = Known(start)
    model = dict.fromkeys(start, 0)
    for step, marks in steps:
        if step in {"pass", "broken"}:
            await known.expect()
        met = set()
        for mark in marks:
            assert known.has(mark) == (mark in model)
            if step == "new" and mark not in model:
                known.add(mark)
                model[mark] = 0
            if mark in model:
                met.add(mark)
                model[mark] = 0
        if step == "broken":
            await known.excuse()
        elif step == "pass":
            model = {mark: 0 if mark in met else missed + 1 for mark, missed in model.items()}
            gone = {mark for mark, missed in model.items() if missed >= 2}
            assert {mark for some in known.take_gone() for mark in some} == gone
            model = {mark: missed for mark, missed in model.items() if mark not in gone}
        assert len(known) == len(model)


@given(st.lists(MARKS, unique=True, max_size=60), st.integers(0, 60), st.integers(0, 10))
def test_with_a_bound_it_keeps_those_that_came_last(marks: list[int], before: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_memory, "_TOO_MANY", 3)
        known = Known(marks[:before], most=most)
        for mark in marks[before:]:
            known.add(mark)
        gone: list[int] = []
        while old := known.take_old():
            gone += old
        assert len(known) == len(marks) - len(gone) < max(most + 3, 1)
        assert len(known) >= min(most, len(marks))
        assert set(gone).isdisjoint(marks[max(before, len(gone)) :])
        assert [known.has(mark) for mark in marks] == [mark not in gone for mark in marks]


def test_a_mark_takes_about_nine_bytes() -> None:
    marks = {(number * 0x9E3779B97F4A7C15) >> 1 & (1 << 63) - 1 for number in range(200_000)}
    tracemalloc.start()
    try:
        known = Known(marks)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(known) == len(marks)
    assert held / len(marks) < 20


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"bucket": "s3://data"}, "without s3://"),
        ({"bucket": "data/in"}, "without s3:// and without a prefix"),
        ({"bucket": "data--use1-az4--x-s3"}, "not listed in the order of its keys"),
        ({"ordered": True, "versions": True}, "a new version of an old key is never listed"),
        ({"access_key": "AKIA"}, "belong together"),
        ({"session_token": "x"}, "session_token belongs to"),
        ({"access_key": "a", "secret_key": "b", "profile": "p"}, "two ways to name credentials"),
        ({"listing": False}, "set queue_url"),
        ({"interval": "0s"}, "must be longer than nothing"),
        ({"endpoint_url": "127.0.0.1:9000"}, "begins with http"),
        ({"endpoint_url": "http://user:password@host"}, "without a password"),
        ({"pattern": "/a"}, "matches no object"),
        ({"pattern": ["a", ""]}, "matches no object"),
        ({"parallel": 0}, "greater than or equal to 1"),
        ({"buckets": "x"}, "Extra inputs"),
    ],
)
def test_a_wrong_key_is_refused_with_words_of_help(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        S3Config.model_validate({"bucket": "data", **keys})


def test_its_secrets_do_not_show() -> None:
    config = S3Config.model_validate({"bucket": "data", "access_key": "AKIASHOWNOT", "secret_key": SECRET})
    for text in (repr(config), str(config), config.model_dump_json()):
        assert SECRET not in text
        assert "AKIASHOWNOT" not in text


def test_prefixes_that_another_covers_are_not_listed_twice() -> None:
    def prefixes(*of: str) -> list[str]:
        return S3Config(bucket="data", prefix=list(of)).prefixes

    assert prefixes("b/", "a/", "a/b/", "a") == ["a", "b/"]
    assert prefixes() == prefixes("") == prefixes("a", "") == [""]
    assert S3Config(bucket="data").prefixes == [""]
