"""Pages of a listing and messages of a queue, read: what botocore reads in a page, we read."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import botocore.parsers  # type: ignore[import-untyped]
import botocore.session  # type: ignore[import-untyped]
import pytest
from botocore.compat import unquote_str  # type: ignore[import-untyped]
from hypothesis import example, given
from hypothesis import strategies as st

from sensord.sources.s3_notices import Notice, read_notices
from sensord.sources.s3_objects import marks_in, printable
from sensord.sources.s3_pages import NotAPageError, Page, read_error, read_page

SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
SHAPE = botocore.session.get_session().get_service_model("s3").operation_model("ListObjectsV2").output_shape
BOTOCORE = botocore.parsers.create_parser("rest-xml")


def read(body: str | bytes) -> Page:
    steps = read_page(
        body if isinstance(body, bytes) else body.encode(), lambda keys: range(len(keys)), marks_in("data")
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            page: Page = end.value
            return page


# What XML 1.0 can hold, which is what S3 keys may hold of characters where they are not encoded.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1).map(
    lambda text: f"k{text}"
)
OBJECTS = st.fixed_dictionaries(
    {"Key": TEXTS},
    optional={
        "ETag": st.sampled_from(["", '"abc"', "abc", '"d41d8cd98f00b204e9800998ecf8427e-7"']),
        "Size": st.integers(0, 5 * 2**40).map(str),
        "LastModified": st.just("2026-11-20T12:00:00.000Z"),
        "StorageClass": st.sampled_from(["STANDARD", ""]),
        "Owner": st.just("<ID>1</ID><DisplayName>who</DisplayName>"),
        "ChecksumAlgorithm": st.just("CRC64NVME"),
    },
)


@given(
    st.lists(OBJECTS, max_size=6),
    st.lists(TEXTS, max_size=3),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "a+b/==", "x"]),
    st.randoms(use_true_random=False),
)
@example([{"Key": "a"}, {"Key": "b", "ETag": '"e"', "Size": "1"}], ["p"], True, True, "t", random.Random(1))
def test_a_page_says_what_botocore_finds_in_it(
    objects: list[dict[str, str]], prefixes: list[str], url: bool, pretty: bool, token: str | None, chance: Any
) -> None:
    def text(value: str) -> str:
        return escape(quote_plus(value) if url else value, {'"': "&quot;"})

    pieces = []
    for one in objects:
        fields = [
            f"<{name}>{value if name == 'Owner' else text(value) if name == 'Key' else escape(value)}</{name}>"
            for name, value in one.items()
        ]
        chance.shuffle(fields)
        pieces.append(f"<Contents>{''.join(fields)}</Contents>")
    pieces += [f"<CommonPrefixes><Prefix>{text(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes]
    pieces.append("<EncodingType>url</EncodingType>" if url else "")
    pieces.append(f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>")
    pieces.append(f"<NextContinuationToken>{token}</NextContinuationToken>" if token else "")
    chance.shuffle(pieces)
    between = "\n  " if pretty else ""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{SPACE}>{between.join(pieces)}</ListBucketResult>'
    found = BOTOCORE.parse({"body": body.encode(), "headers": {}, "status_code": 200}, SHAPE)
    decode = unquote_str if url else str
    page = read(body)
    theirs = found.get("Contents", [])
    assert list(page.keys) == [decode(one["Key"]) for one in theirs]
    assert list(page.etags) == [one.get("ETag", "").strip('"') for one in theirs]
    assert list(page.sizes) == [str(one.get("Size", 0)) for one in theirs]
    assert list(page.prefixes) == sorted(decode(one["Prefix"]) for one in found.get("CommonPrefixes", []))
    assert (page.more, page.token) == (found["IsTruncated"], found.get("NextContinuationToken"))
    assert page.last == max([*page.keys[-1:], *page.prefixes], default=None)


def test_the_namespace_and_its_absence_are_the_same_to_it() -> None:
    inner = "<Contents><Size>3</Size><Key>a</Key><ETag>&#34;e&#34;</ETag></Contents><IsTruncated>false</IsTruncated>"
    with_it, without = (read(f"<ListBucketResult{space}>{inner}</ListBucketResult>") for space in (SPACE, ""))
    assert with_it == without
    assert (with_it.keys, with_it.etags, with_it.sizes, with_it.count) == (["a"], ["e"], ["3"], 1)


def test_a_page_of_megabytes_is_read_in_steps() -> None:
    keys = [f"{number:04}" + "x" * 1_000 for number in range(1_000)]
    contents = "".join(f"<Contents><Key>{key}</Key><ETag>e</ETag><Size>1</Size></Contents>" for key in keys)
    body = f"<ListBucketResult>{contents}</ListBucketResult>".encode()
    assert read(body).keys == keys
    assert len(list(read_page(body, lambda keys: range(len(keys)), marks_in("data")))) >= 4
    with pytest.raises(NotAPageError):
        read(body[:-5])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no XML",
        b"<html/>",
        b"<Error><Code>X</Code></Error>",
        b"<ListBucketResult><Contents>",
        b"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>\x01</Key></Contents></ListBucketResult>",
    ],
)
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(NotAPageError, match="its answer"):
        read(body)


def test_nothing_is_fetched_or_expanded_for_a_page(tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("planted")
    body = (
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}"><!ENTITY b "bbbb">]>'
        "<ListBucketResult><Contents><Key>k&e;&b;</Key></Contents></ListBucketResult>"
    )
    assert read(body).keys == ["k"]


def test_an_error_is_read_as_far_as_it_is_one() -> None:
    assert read_error(b"<Error><Code>SlowDown</Code><Message>go easy</Message></Error>") == ("SlowDown", "go easy")
    assert read_error(b"<Error><Code>SlowDown</Code></Error>") == ("SlowDown", "")
    assert read_error(b"") == read_error(b"<html>") == read_error(b"not even") == ("", "")


RECORD = {
    "eventSource": "aws:s3",
    "eventName": "ObjectCreated:Put",
    "eventTime": "2026-11-20T12:00:00.000Z",
    "s3": {
        "bucket": {"name": "data"},
        "object": {"key": "in/a+b%2Bc%C3%A9.csv", "size": 7, "eTag": "e1", "versionId": "v1"},
    },
}
NOTICE = Notice("data", "in/a b+cé.csv", "e1", 7, "v1", "2026-11-20T12:00:00.000Z")
EVENT = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "time": "2026-11-20T12:00:00Z",
    "detail": {"bucket": {"name": "data"}, "object": {"key": "in/a b+c%é.csv", "size": 7, "etag": "e1"}},
}


def changed(**fields: Any) -> str:
    return json.dumps({"Records": [RECORD | fields]})


def test_the_three_forms_of_a_notice_say_the_same() -> None:
    own = json.dumps({"Records": [RECORD]})
    assert read_notices(own) == [NOTICE]
    assert read_notices(json.dumps({"Type": "Notification", "Message": own})) == [NOTICE]
    [event] = read_notices(json.dumps(EVENT)) or []
    assert event == Notice("data", "in/a b+c%é.csv", "e1", 7, None, "2026-11-20T12:00:00Z")
    assert read_notices(json.dumps({"Type": "Notification", "Message": json.dumps(EVENT)})) == [event]
    assert read_notices(changed(eventSource="minio:s3", eventName="s3:ObjectCreated:Put")) == [NOTICE]
    [plain] = read_notices(changed(eventSource="ceph:s3")) or []
    assert plain.key == "in/a+b%2Bc%C3%A9.csv"
    assert read_notices(json.dumps({"Records": [1, RECORD, {"eventName": "ObjectCreated:Put"}]})) == [NOTICE]


def test_what_was_not_made_is_no_news_of_objects() -> None:
    for name in ("ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated", "ObjectTagging:Put"):
        assert read_notices(changed(eventName=name)) == []
    assert read_notices(json.dumps(EVENT | {"detail-type": "Object Deleted"})) == []


def test_what_a_notice_leaves_out_is_asked_for() -> None:
    bare = {"bucket": {"name": "data"}, "object": {"key": "a"}}
    assert read_notices(changed(s3=bare)) == [Notice("data", "a", None, None, None, RECORD["eventTime"])]  # type: ignore[arg-type]


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
@example({"Event": "s3:TestEvent", "Bucket": "data"})
@example({"Records": []})
@example({"Records": [None]})
@example({"Records": [{"s3": 1}]})
@example({"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": 1, "object": {"key": 1}}}]})
@example({"source": "aws.s3", "detail": {}})
@example({"Message": '{"Message": "{"}'})
def test_anything_else_is_no_notice(body: Any) -> None:
    assert read_notices(json.dumps(body)) is None
    assert read_notices(str(body)) is None


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2, unique=True))
@example(["a\nb", "a\\nb"])
@example(["\\", "\\\\"])
def test_a_key_is_shown_printably_and_as_no_other(keys: list[str]) -> None:
    one, other = map(printable, keys)
    assert one.isprintable()
    assert one != other
