"""The pattern that takes usual pages: what it takes is what the parser reads, and of other pages it takes nothing."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any
from urllib.parse import quote, unquote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sensord.sources import s3_pages
from sensord.sources.s3_objects import marks_in
from sensord.sources.s3_pages import NotAPageError, Page, read_page
from sensord.sources.s3_usual import Usual, usual

PROLOG = '<?xml version="1.0" encoding="UTF-8"?>\n'
SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
# As AWS, MinIO and rclone write an object.
SERVERS = (
    (
        "<Contents><Key>{key}</Key><LastModified>2026-11-20T12:00:00.000Z</LastModified><ETag>&quot;{etag}&quot;</ETag>"
        "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    ),
    (
        "<Contents><Key>{key}</Key><LastModified>2026-11-20T12:00:00.000Z</LastModified><ETag>&#34;{etag}&#34;</ETag>"
        "<Size>{size}</Size><Owner><ID></ID><DisplayName></DisplayName></Owner><StorageClass>STANDARD</StorageClass>"
        "</Contents>"
    ),
    (
        '<Contents><Key>{key}</Key><LastModified>2026-11-20T12:00:00Z</LastModified><ETag>"{etag}"</ETag>'
        "<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    ),
)
# Whatever XML can do to a text, and what only looks like XML.
PIECES = (
    *("<!--", "-->", "<!-- -->", "<![CDATA[", "]]>", "<![CDATA[x]]>", "<?p i?>", "&amp;", "&quot;", "&#34;", "&#x41;"),
    *("<Contents>", "</Contents>", "<Contents/>", "<Contents a='1'>", "<Key>x</Key>", "<Size>7</Size>", "<x>", "</x>"),
    *("<Owner>", "</Owner>", "<ID>", "\n", "\r\n", "\t", "\x00", "\x01", "\x7f", "\x85", "\ufffe", "é", "\U0001f680"),
    *(" ", "]", ">", "<", "&", "'", '"', "-1", "٣", "<s:Key xmlns:s='u'>y</s:Key>", 'xmlns="u"', "<CommonPrefixes>"),
    *("<IsTruncated>true</IsTruncated>", "</ListBucketResult>", "<Contents><Key>z</Key><ETag>e</ETag></Contents>"),
)


def steps(body: bytes) -> Generator[None, None, Page]:
    return read_page(body, lambda keys: range(len(keys)), marks_in("data"))


def ended(reading: Generator[None, None, Any]) -> Any:
    try:
        while True:
            next(reading)
    except StopIteration as end:
        return end.value


def outcome(body: bytes) -> Page | None:
    """The page, or None where it is refused."""
    try:
        page: Page = ended(steps(body))
    except NotAPageError:
        return None
    return page


def parsed(body: bytes) -> Page | None:
    """The same by the parser alone."""

    def none(_: bytes) -> Generator[None, None, Usual | None]:
        yield
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_pages, "usual", none)
        return outcome(body)


def columns_of(page: Page | None) -> tuple[Any, ...] | None:
    if page is None:
        return None
    columns = (page.keys, page.etags, page.sizes, page.moments, page.marks, page.prefixes)
    return (*map(list, columns), page.last, page.on, page.more, page.count)


def page_of(objects: Sequence[str], prefixes: Sequence[str] = (), *, prolog: str = PROLOG, space: str = SPACE) -> str:
    common = "".join(f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>" for prefix in prefixes)
    head = "<Name>lab</Name><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
    return f"{prolog}<ListBucketResult{space}>{head}{''.join(objects)}{common}</ListBucketResult>"


OBJECTS = st.lists(
    st.builds(
        lambda shape, key, etag, size: shape.format(key=key, etag=etag, size=size),
        st.sampled_from(SERVERS),
        st.sampled_from(["a", "b/c.csv", "a+b%2Fc", "%26amp%3B", "ключ", "k" * 300]),
        st.sampled_from(["", "d41d8cd98f00b204e9800998ecf8427e", "e-7"]),
        st.sampled_from(["0", "1", "5497558138880", "007"]),
    ),
    min_size=1,
    max_size=5,
)


@given(OBJECTS, st.lists(st.sampled_from(["p/", "q%2F"]), max_size=2), st.sampled_from(["", PROLOG]))
def test_usual_pages_are_taken_by_it(objects: list[str], prefixes: list[str], prolog: str) -> None:
    body = page_of(objects, prefixes, prolog=prolog).encode()
    assert ended(usual(body)) is not None
    assert columns_of(outcome(body)) == columns_of(parsed(body)) != None  # noqa: E711 - one comparison of three


@settings(max_examples=2000)
@given(
    OBJECTS,
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from(["", *PIECES])), min_size=1, max_size=3),
    st.sampled_from(["", SPACE]),
)
@example([SERVERS[0].format(key="a", etag="e", size=1)], [(0.5, 0, "<![CDATA[x]]>")], SPACE)
def test_what_it_takes_of_a_mangled_page_is_what_the_parser_reads(
    objects: list[str], changes: list[tuple[float, int, str]], space: str
) -> None:
    text = page_of(objects, space=space)
    for place, gone, piece in changes:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + gone :]
    body = text.encode()
    assert columns_of(outcome(body)) == columns_of(parsed(body)), text


ONE = SERVERS[2].format(key="a", etag="e", size=1)


@pytest.mark.parametrize(
    "text",
    [
        page_of([]),
        page_of([ONE]).replace("<Contents>", "<!--<Contents>").replace("</Contents>", "</Contents>-->"),
        page_of([ONE]).replace("<Contents>", "<![CDATA[<Contents>").replace("</Contents>", "</Contents>]]>"),
        page_of([ONE]).replace("<Contents>", "<Old><Contents>").replace("</Contents>", "</Contents></Old>"),
        page_of([ONE]).replace("ListBucketResult", "ListVersionsResult"),
        page_of([ONE], space=' xmlns:s="u"').replace("ListBucketResult", "s:ListBucketResult"),
        page_of([ONE]).replace("<IsTruncated>", "<Contents/><IsTruncated>"),
        page_of([ONE]).replace("UTF-8", "ISO-8859-1").replace(">a<", ">\xc3\xa9<"),
        page_of([ONE]).replace(">a<", ">a&#x26;b<"),
        page_of([ONE]).replace(">a<", ">a]]>b<"),
        page_of([ONE]).replace(">a<", ">a\ufffeb<"),
        page_of([ONE]).replace(">a<", ">a\rb<"),
        page_of([ONE]).replace(">a<", ">a\tb\nc<"),
        page_of([ONE]).replace(">1<", "><"),
        page_of([ONE, "\n", ONE]),
        page_of([ONE.replace("<Contents>", "<!--Contents>"), ONE.replace("</Contents>", "")]),
    ],
)
def test_where_the_parser_is_needed_it_is_asked(text: str) -> None:
    body = text.encode()
    assert columns_of(outcome(body)) == columns_of(parsed(body))


def test_a_page_in_another_encoding_is_left_to_the_parser() -> None:
    body = page_of([ONE]).replace("UTF-8", "ISO-8859-1").replace(">a<", ">é<").encode("latin-1")
    page = outcome(body)
    assert page is not None
    assert list(page.keys) == ["é"]


def test_its_steps_are_short_and_it_says_soon_that_a_page_is_none_of_its() -> None:
    usual_page = page_of([ONE] * 20_000).encode()
    taken = list(usual(usual_page))
    assert len(taken) >= len(usual_page) // (128 * 1024)
    odd = page_of([ONE.replace("<Size>", "<Odd/><Size>")] * 20_000).encode()
    assert len(list(usual(odd))) <= len(odd) // (256 * 1024)


def test_no_step_does_the_work_of_a_whole_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """To decode a thousand keys that are not of ASCII, or to match them with a glob, takes longer than a step may."""
    done = {"decoded": 0, "matched": 0}

    def decoded(text: str) -> str:
        done["decoded"] += 1
        return unquote_plus(text)

    def among(keys: Sequence[str]) -> Sequence[int]:
        done["matched"] += len(keys)
        return range(0, len(keys), 2)

    monkeypatch.setattr(s3_pages, "_decoded", decoded)
    keys = [f"данные/часть {number}.csv" for number in range(1000)]
    body = page_of([SERVERS[0].format(key=quote(key), etag="e", size=1) for key in keys]).encode()
    most, before = dict(done), dict(done)
    for _ in read_page(body, among, marks_in("data")):
        most = {name: max(most[name], done[name] - before[name]) for name in done}
        before = dict(done)
    assert done == {"decoded": 1000, "matched": 1000}
    assert max(most.values()) <= 50
