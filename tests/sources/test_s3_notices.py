"""Messages of a queue, read: what was made, in every form in which servers say it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensord.sources.s3 import S3Config
from sensord.sources.s3_notices import Notice, read_news
from sensord.sources.s3_objects import Version, sensed, shown, tag_of
from tests.sources.directory_kit import HandClock

RECORD = {
    "eventSource": "aws:s3",
    "eventName": "ObjectCreated:Put",
    "eventTime": "2026-11-20T12:00:00.000Z",
    "s3": {
        "bucket": {"name": "data"},
        "object": {"key": "in/a+b%2Bc%C3%A9.csv", "size": 7, "eTag": "e1", "versionId": "v1", "sequencer": "0055AED6"},
    },
}
NOTICE = Notice("data", "in/a b+cé.csv", "e1", 7, "v1", "2026-11-20T12:00:00.000Z", "0055AED6")
EVENT = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "time": "2026-11-20T12:00:00Z",
    "detail": {"bucket": {"name": "data"}, "object": {"key": "in/a b+c%é.csv", "size": 7, "etag": "e1"}},
}
TEST = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "data", "RequestId": "1"}


def changed(**fields: Any) -> str:
    return json.dumps({"Records": [RECORD | fields]})


def made(body: str) -> list[Notice]:
    news = read_news(body)
    assert news is not None
    assert news.buckets == {"data"}
    return list(news.made)


def test_the_three_forms_of_a_notice_say_the_same() -> None:
    own = json.dumps({"Records": [RECORD]})
    assert made(own) == [NOTICE]
    assert made(json.dumps({"Type": "Notification", "Message": own})) == [NOTICE]
    [event] = made(json.dumps(EVENT))
    assert event == Notice("data", "in/a b+c%é.csv", "e1", 7, None, "2026-11-20T12:00:00Z")
    assert made(json.dumps({"Type": "Notification", "Message": json.dumps(EVENT)})) == [event]
    assert made(changed(eventSource="minio:s3", eventName="s3:ObjectCreated:Put")) == [NOTICE]
    [plain] = made(changed(eventSource="ceph:s3"))
    assert plain.key == "in/a+b%2Bc%C3%A9.csv"
    assert made(json.dumps({"Records": [1, RECORD, {"eventName": "ObjectCreated:Put"}]})) == [NOTICE]


def test_other_news_of_a_bucket_makes_no_object() -> None:
    for name in ("ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated", "ObjectTagging:Put"):
        assert made(changed(eventName=name)) == []
    assert made(json.dumps(EVENT | {"detail-type": "Object Deleted"})) == []
    assert made(json.dumps(TEST)) == []


def test_news_names_every_bucket_that_it_is_of() -> None:
    other = RECORD | {"s3": {"bucket": {"name": "other"}, "object": {"key": "b"}}}
    news = read_news(json.dumps({"Records": [RECORD, other]}))
    assert news is not None
    assert news.buckets == {"data", "other"}


def test_what_a_notice_leaves_out_is_none() -> None:
    bare = {"bucket": {"name": "data"}, "object": {"key": "a"}}
    assert made(changed(s3=bare)) == [Notice("data", "a", None, None, None, "2026-11-20T12:00:00.000Z")]


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=6)
)
@example({"Event": "s3:TestEvent"})
@example({"Records": []})
@example({"Records": [None]})
@example({"Records": [{"s3": 1}]})
@example({"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": 1, "object": {"key": 1}}}]})
@example({"Records": [RECORD | {"s3": {"bucket": {"name": "data"}, "object": {"key": "half\ud800"}}}]})
@example({"Records": [RECORD | {"s3": {"bucket": {"name": "data"}, "object": {"key": "a", "size": "big"}}}]})
@example({"source": "aws.s3", "detail": {}})
@example({"Message": '{"Message": "{"}'})
def test_anything_else_is_no_notice(body: Any) -> None:
    assert read_news(json.dumps(body)) is None
    assert read_news(str(body)) is None


def test_a_message_that_nests_without_end_is_no_notice() -> None:
    assert read_news("[" * 100_000) is None


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2, unique=True))
@example(["a\nb", "a\\nb"])
@example(["\\", "\\\\"])
def test_a_key_is_shown_printably_and_as_no_other(keys: list[str]) -> None:
    one, other = map(shown, keys)
    assert one.isprintable()
    assert one != other


@pytest.mark.parametrize(
    ("versions", "version", "tag"),
    [
        (False, Version("a", "e", 7, version="v"), "e"),
        (False, Version("a", "", 7), "7"),
        (True, Version("a", "e", 7, version="v"), "v"),
        (True, Version("a", "e", 7, version="null"), "e"),
        (True, Version("a", "e", 7), "e"),
    ],
)
def test_a_run_key_ends_in_what_tells_a_version(versions: bool, version: Version, tag: str) -> None:
    config = S3Config(bucket="data", versions=versions)
    assert tag_of(config, version) == tag
    assert sensed(config, version, None, HandClock().now()).key == f"data/a@{tag}"
