"""Pages of a listing, read: what botocore reads in a page, we read."""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs, quote_plus
from xml.sax.saxutils import escape

import botocore.parsers  # type: ignore[import-untyped]
import botocore.session  # type: ignore[import-untyped]
import pytest
from botocore.compat import unquote_str  # type: ignore[import-untyped]
from hypothesis import example, given
from hypothesis import strategies as st

from sensord.sources.s3_objects import marks_in
from sensord.sources.s3_pages import NotAPageError, Page, read_error, read_page

SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
SHAPE = botocore.session.get_session().get_service_model("s3").operation_model("ListObjectsV2").output_shape
BOTOCORE = botocore.parsers.create_parser("rest-xml")


def read(body: str | bytes, after: str | None = None) -> Page:
    text = body if isinstance(body, bytes) else body.encode()
    steps = read_page(text, lambda keys: range(len(keys)), marks_in("data"), after)
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
    assert page.more == found["IsTruncated"]
    assert parse_qs(page.on or "") == ({"continuation-token": [token]} if token else {})
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
        b"<ListBucketResult><Contents><Key>a</Key><Size>many</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
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
    assert read_error(b"<Error><Code>SlowDown</Code><Message>go easy</Message></Error>") == ("SlowDown", "go easy", "")
    assert read_error(b"<Error><Code>X</Code><Region>eu-west-1</Region></Error>") == ("X", "", "eu-west-1")
    assert read_error(b"") == read_error(b"<html>") == read_error(b"not even") == ("", "", "")


def versions_page(*versions: str, end: str = "", more: bool = False, prefixes: str = "") -> str:
    """`a2 a1 b1` are versions 2 and 1 of a and one of b, in the order of the server."""
    inner = "".join(
        f"<Version><Key>{one[0]}</Key><VersionId>{one[1]}</VersionId><IsLatest>false</IsLatest><ETag>e</ETag>"
        "<Size>1</Size><LastModified>2026-11-20T12:00:00.000Z</LastModified></Version>"
        for one in versions
    )
    inner += "".join(f"<CommonPrefixes><Prefix>{one}/</Prefix></CommonPrefixes>" for one in prefixes)
    if end:
        inner += f"<NextKeyMarker>{end[0]}</NextKeyMarker><NextVersionIdMarker>{end[1:]}</NextVersionIdMarker>"
    return f"<ListVersionsResult>{inner}<IsTruncated>{str(more).lower()}</IsTruncated></ListVersionsResult>"


@pytest.mark.parametrize(
    ("body", "after", "met", "last", "on"),
    [
        (versions_page("a2", "a1", "b1"), None, "a1 a2 b1", "b", None),
        # The last key may go on: it is left to the next page.
        (versions_page("a2", "a1", "b2", end="b2", more=True), None, "a1 a2", "a", None),
        (versions_page("a2", "a1", "b2", more=True), None, "a1 a2", "a", None),
        # It was the last key's last version, or a marker of a deletion ended the page.
        (
            versions_page("a2", "a1", "b2", end="c1", more=True),
            None,
            "a1 a2 b2",
            "b",
            "key-marker=c&version-id-marker=1",
        ),
        # Nothing but one key, or nothing else that is new: it goes on in the middle.
        (versions_page("a3", "a2", end="a2", more=True), None, "a2 a3", None, "key-marker=a&version-id-marker=2"),
        (
            versions_page("a1", "b3", "b2", end="b2", more=True),
            "a",
            "a1 b2 b3",
            "a",
            "key-marker=b&version-id-marker=2",
        ),
        (versions_page(end="a9", more=True), None, "", None, "key-marker=a&version-id-marker=9"),
        # Seen from above: the key before a folder is whole.
        (
            versions_page("a1", prefixes="b", end="b/", more=True),
            None,
            "a1",
            "b/",
            "key-marker=b&version-id-marker=%2F",
        ),
        (versions_page("a1", "c1", prefixes="b", end="c1", more=True), None, "a1", "b/", None),
    ],
)
def test_a_page_of_versions_is_whole_up_to_its_last_key(
    body: str, after: str | None, met: str, last: str | None, on: str | None
) -> None:
    page = read(body, after)
    assert " ".join(f"{key}{one}" for key, one in zip(page.keys, page.ids, strict=True)) == met
    assert (page.last, page.on) == (last, on)


def test_a_version_is_told_by_its_id_where_it_has_one() -> None:
    body = (
        versions_page("a2", "a1")
        .replace("<VersionId>1<", "<VersionId>null<")
        .replace("<IsLatest>false", "<IsLatest>true", 1)
    )
    page = read(body)
    old, new = page.versions([0, 1])
    assert (old.version, old.latest, new.version, new.latest) == (None, False, "2", True)
    assert page.marks == marks_in("data")(["a", "a"], ["e", "2"])


def test_marks_are_the_same_over_restarts_and_versions_of_the_program() -> None:
    digests = [blake2b(text.encode(), digest_size=8).digest() for text in ("lab/a.csv\0t", "lab/ü\0")]
    assert marks_in("lab")(["a.csv", "ü"], ["t", ""]) == [int.from_bytes(one, "big") >> 1 for one in digests]
    assert marks_in("lab")([], []) == []
