"""One page of a listing, read from the XML that any S3 server answers with, in steps that are short for an event loop.

Whole columns are taken by XPath, which costs a thirtieth of what botocore's parser does. Servers differ in the order
of the elements and in whether they name a namespace, so that elements are found by their names alone; where one is
missing or empty somewhere, each object is read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from lxml import etree  # type: ignore[import-untyped]

from sensord.sources.s3_objects import Marks

_SLICE = 128 * 1024
_FIELDS = ("Key", "ETag", "Size", "LastModified")


class NotAPageError(ValueError):
    """An answer that is no page of a listing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page holds. The first five are columns of the objects that are taken, in the order of their keys.

    `last` is where the page ends: its last key, or its last common prefix. `token` continues the listing after it;
    `more` says whether there is more.
    """

    keys: Sequence[str]
    etags: Sequence[str]
    sizes: Sequence[str]
    moments: Sequence[str]
    marks: Sequence[int]
    prefixes: Sequence[str]
    last: str | None
    token: str | None
    more: bool
    count: int


def read_page(
    body: bytes, among: Callable[[Sequence[str]], Sequence[int]], marks: Marks
) -> Generator[None, None, Page]:
    """The page that this answer is; `among` gives the places of the keys to keep. NotAPageError if it is none.

    Between two steps, of 1 to 2 ms each for a usual page of 1,000 keys, others may go on. A thread of its own would
    take nearly twice the processor time: measured, as the tree is made in memory that only that thread uses.
    """
    root = yield from _root(body)
    yield
    space = etree.QName(root).namespace or ""
    columns = _columns(root, space)
    prefixes = [_text(one, space, "Prefix") for one in root.iterchildren(_tag(space, "CommonPrefixes"))]
    token = _text(root, space, "NextContinuationToken") or None
    more = _text(root, space, "IsTruncated") == "true"
    yield
    if _text(root, space, "EncodingType") == "url":
        columns[0] = [_decoded(key) for key in columns[0]]
        prefixes = [_decoded(prefix) for prefix in prefixes]
        yield
    keys = columns[0]
    last = max([*keys[-1:], *prefixes], default=None)
    count = len(keys)
    kept = among(keys)
    if len(kept) < count:
        columns = [[column[place] for place in kept] for column in columns]
    etags = [etag.strip('"') for etag in columns[1]]
    yield
    return Page(
        keys=columns[0],
        etags=etags,
        sizes=columns[2],
        moments=columns[3],
        marks=marks(columns[0], etags, columns[2]),
        prefixes=sorted(prefixes),
        last=last,
        token=token,
        more=more,
        count=count,
    )


def read_error(body: bytes) -> tuple[str, str]:
    """The code and the message of an error; empty where the answer has none."""
    try:
        root = etree.fromstring(body, _parser())
    except (etree.XMLSyntaxError, ValueError):
        return "", ""
    space = etree.QName(root).namespace or ""
    return _text(root, space, "Code"), _text(root, space, "Message")


def _root(body: bytes) -> Generator[None, None, Any]:
    parser = _parser()
    try:
        # A slice at a time costs more than all at once, but pages of long keys are megabytes.
        for start in range(0, len(body), _SLICE) if len(body) > _SLICE else ():
            parser.feed(body[start : start + _SLICE])
            yield
        root = parser.close() if len(body) > _SLICE else etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotAPageError(f"its answer is no XML: {error}") from None
    name = etree.QName(root).localname
    if name != "ListBucketResult":
        raise NotAPageError(f"its answer is no listing but <{name}>")
    return root


def _parser() -> Any:
    # What comes from outside may name no files and no entities of its own.
    return etree.XMLParser(resolve_entities=False, no_network=True, collect_ids=False, remove_comments=True)


def _columns(root: Any, space: str) -> list[Sequence[str]]:
    columns: list[Sequence[str]] = [find(root) for find in _finders(space)]
    if len(set(map(len, columns))) == 1 and len(columns[0]) == _count(space)(root):
        return columns
    rows = list(_rows(root, space))
    return [[row[place] for row in rows] for place in range(len(_FIELDS))]


def _rows(root: Any, space: str) -> Iterator[tuple[str, ...]]:
    for contents in root.iterchildren(_tag(space, "Contents")):
        row = tuple(_text(contents, space, name) for name in _FIELDS)
        if not row[0]:
            raise NotAPageError("its answer has an object without a key")
        yield (row[0], row[1], row[2] or "0", row[3])


@lru_cache(maxsize=8)
def _finders(space: str) -> tuple[Callable[[Any], Sequence[str]], ...]:
    return tuple(
        etree.XPath(f"{_step('Contents', space)}/{_step(name, space)}/text()", smart_strings=False, **_named(space))
        for name in _FIELDS
    )


@lru_cache(maxsize=8)
def _count(space: str) -> Callable[[Any], float]:
    count: Callable[[Any], float] = etree.XPath(f"count({_step('Contents', space)})", **_named(space))
    return count


def _step(name: str, space: str) -> str:
    return f"s:{name}" if space else name


def _named(space: str) -> dict[str, Any]:
    return {"namespaces": {"s": space}} if space else {}


def _tag(space: str, name: str) -> str:
    return f"{{{space}}}{name}" if space else name


def _text(element: Any, space: str, name: str) -> str:
    return element.findtext(_tag(space, name)) or ""


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text
