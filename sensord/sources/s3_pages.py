"""One page of a listing, read from the XML that any S3 server answers with, in steps that are short for an event loop.

Most pages are taken by a pattern (`s3_usual`), of others whole columns by XPath, which costs a thirtieth of what
botocore's parser does. Servers differ in the order of the elements and in whether they name a namespace, so that
elements are found by their names alone; where one is missing or empty somewhere, each object is read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from math import inf
from typing import Any
from urllib.parse import quote, unquote_plus

from lxml import etree  # type: ignore[import-untyped]
from msgspec import Struct
from msgspec.structs import replace

from sensord.sources.s3_objects import UNVERSIONED, Marks, Version, tags_of
from sensord.sources.s3_usual import usual

# A usual page is a quarter of a megabyte. In one go it takes the parser up to four milliseconds, which is too long for
# others; in two slices it takes longer in all.
_SLICE = 128 * 1024
_MARKED, _READ = 250, 50
_OF_NEWEST = ("Key", "ETag", "Size", "LastModified")
_OF_VERSIONS = (*_OF_NEWEST, "VersionId", "IsLatest")
_VERSIONS = "ListVersionsResult"
_ITEMS = {"ListBucketResult": "Contents", _VERSIONS: "Version"}


class NotAPageError(ValueError):
    """An answer that is no page of a listing."""


class Page(Struct, frozen=True, kw_only=True):
    """What a page holds. The first seven are columns of the objects that are taken, in the order of their keys.

    `ids` and `latest` are empty where only the newest version of each key is listed; else the older of two versions of
    one key comes first. `last` is where the page ends: the last key, or common prefix, of which nothing is still to
    come, None if there is no such. `on` is the piece of a query that continues the listing, where the server gave one;
    without, it continues after `last`. `more` says whether there is more. `asked` is when it was asked for.
    """

    keys: Sequence[str]
    etags: Sequence[str]
    sizes: Sequence[str]
    moments: Sequence[str]
    ids: Sequence[str]
    latest: Sequence[str]
    marks: Sequence[int]
    prefixes: Sequence[str]
    last: str | None
    on: str | None
    more: bool
    count: int
    asked: float = inf

    def versions(self, places: Iterable[int]) -> Iterator[Version]:
        """What stands at these places of the columns."""
        for at in places:
            one = Version(self.keys[at], self.etags[at], int(self.sizes[at]), self.moments[at], asked=self.asked)
            if self.ids:
                known = None if self.ids[at] in UNVERSIONED else self.ids[at]
                one = replace(one, version=known, latest=self.latest[at] != "false")
            yield one


def read_page(
    body: bytes, among: Callable[[Sequence[str]], Sequence[int]], marks: Marks, after: str | None = None
) -> Generator[None, None, Page]:
    """The page that this answer is; NotAPageError if it is none.

    `among` gives the places of the keys to keep; `after` is the key that the page was asked for after.

    Between two steps, of half a millisecond and less but for the parser's of one, others may go on. A thread of
    its own would take nearly twice the processor time: measured, as the tree is made in memory that only it uses.
    """
    root, columns = yield from _taken(body)
    space = etree.QName(root).namespace or ""
    prefixes = [_text(one, space, "Prefix") for one in root.iterchildren(_tag(space, "CommonPrefixes"))]
    more = _text(root, space, "IsTruncated") == "true"
    url = _text(root, space, "EncodingType") == "url"
    yield
    if url:
        columns[0] = yield from _decoded_all(columns[0])
        prefixes = yield from _decoded_all(prefixes)
    last = max([*columns[0][-1:], *prefixes], default=None)
    on, end = _on(root, space, url=url)
    if len(columns) > len(_OF_NEWEST):
        cut = more and last is not None and last not in prefixes and (end or last) <= last
        columns, last, on = _in_order(columns, prefixes, last=last, on=on, cut=cut, after=after or "")
        yield
    count, kept = len(columns[0]), list[int]()
    for start in range(0, count, _READ):
        kept += [start + place for place in among(columns[0][start : start + _READ])]
        yield
    if len(kept) < count:
        columns = [[column[place] for place in kept] for column in columns]
    columns += [()] * (len(_OF_VERSIONS) - len(columns))
    keys, etags, sizes, moments, ids, latest = columns
    if not all(map(str.isdecimal, sizes)):
        raise NotAPageError("its answer has an object whose size is no number")
    etags = [etag.strip('"') for etag in etags]
    yield
    tags, marked = tags_of(etags, sizes, ids), list[int]()
    for start in range(0, len(keys), _MARKED):
        marked += marks(keys[start : start + _MARKED], tags[start : start + _MARKED])
        yield
    return Page(
        keys=keys,
        etags=etags,
        sizes=sizes,
        moments=moments,
        ids=ids,
        latest=latest,
        marks=marked,
        prefixes=sorted(prefixes),
        last=last,
        on=on,
        more=more,
        count=count,
    )


def _on(root: Any, space: str, *, url: bool) -> tuple[str | None, str | None]:
    """The piece of a query by which the server wants to be asked for the next page, and the key that it names."""
    token = _text(root, space, "NextContinuationToken")
    if token:
        return f"continuation-token={quote(token, safe='')}", None
    key, version = (_text(root, space, f"Next{name}Marker") for name in ("Key", "VersionId"))
    if not key or etree.QName(root).localname != _VERSIONS:
        return None, None
    key = _decoded(key) if url else key
    behind = f"&version-id-marker={quote(version, safe='')}" if version else ""
    return f"key-marker={quote(key, safe='')}{behind}", key


def _in_order(
    columns: list[Sequence[str]], prefixes: Sequence[str], *, last: str | None, on: str | None, cut: bool, after: str
) -> tuple[list[Sequence[str]], str | None, str | None]:
    """A page of versions, the older of a key first, where the server gives the newest first.

    `cut`: of its last key more versions may be to come. That key is left to the next page, so that its versions stay
    in their order, and so that a key alone says how far a listing got; unless nothing else on this page is new.
    """
    keys = columns[0]
    places = sorted(range(len(keys)), key=lambda place: (keys[place], -place))
    if cut:
        whole = max([*(key for key in keys if key != last), *prefixes], default=None)
        if whole is not None and whole > after:
            places = [place for place in places if keys[place] != last]
            on = None
        last = whole
    return [[column[place] for place in places] for column in columns], last, on


def read_error(body: bytes) -> tuple[str, str, str]:
    """The code and the message of an error, and the region that it names; empty where the answer has none."""
    try:
        root = etree.fromstring(body, _parser())
    except (etree.XMLSyntaxError, ValueError):
        return "", "", ""
    space = etree.QName(root).namespace or ""
    return _text(root, space, "Code"), _text(root, space, "Message"), _text(root, space, "Region")


def _taken(body: bytes) -> Generator[None, None, tuple[Any, list[Sequence[str]]]]:
    """The page's tree, and the columns of its objects, which the tree may be without."""
    found = yield from usual(body)
    if found is not None:
        root = yield from _root(found.rest)
        empty = list(root.iterchildren(_tag(etree.QName(root).namespace or "", "Contents")))
        if len(empty) == 1 and etree.QName(root).localname != _VERSIONS:
            return root, found.columns
    root = yield from _root(body)
    yield
    return root, (yield from _columns(root, etree.QName(root).namespace or ""))


def _root(body: bytes) -> Generator[None, None, Any]:
    parser = _parser()
    try:
        # Pages of long keys are megabytes.
        for start in range(0, len(body), _SLICE) if len(body) > _SLICE else ():
            parser.feed(body[start : start + _SLICE])
            yield
        root = parser.close() if len(body) > _SLICE else etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotAPageError(f"its answer is no XML: {error}") from None
    name = etree.QName(root).localname
    if name not in _ITEMS:
        raise NotAPageError(f"its answer is no listing but <{name}>")
    return root


def _parser() -> Any:
    # What comes from outside may name no files and no entities of its own.
    return etree.XMLParser(resolve_entities=False, no_network=True, collect_ids=False, remove_comments=True)


def _columns(root: Any, space: str) -> Generator[None, None, list[Sequence[str]]]:
    item = _ITEMS[etree.QName(root).localname]
    fields = _OF_VERSIONS if item == "Version" else _OF_NEWEST
    columns: list[Sequence[str]] = []
    for find in _finders(space, item, fields):
        columns.append(find(root))
        yield
    if len(set(map(len, columns))) == 1 and len(columns[0]) == _count(space, item)(root):
        return columns
    rows = list(_rows(root, space, item, fields))
    return [[row[place] for row in rows] for place in range(len(fields))]


def _rows(root: Any, space: str, item: str, fields: Sequence[str]) -> Iterator[Sequence[str]]:
    for one in root.iterchildren(_tag(space, item)):
        row = [_text(one, space, name) for name in fields]
        if not row[0]:
            raise NotAPageError("its answer has an object without a key")
        row[2] = row[2] or "0"
        yield row


@lru_cache(maxsize=8)
def _finders(space: str, item: str, fields: Sequence[str]) -> tuple[Callable[[Any], Sequence[str]], ...]:
    return tuple(
        etree.XPath(f"{_step(item, space)}/{_step(name, space)}/text()", smart_strings=False, **_named(space))
        for name in fields
    )


@lru_cache(maxsize=8)
def _count(space: str, item: str) -> Callable[[Any], float]:
    count: Callable[[Any], float] = etree.XPath(f"count({_step(item, space)})", **_named(space))
    return count


def _step(name: str, space: str) -> str:
    return f"s:{name}" if space else name


def _named(space: str) -> dict[str, Any]:
    return {"namespaces": {"s": space}} if space else {}


def _tag(space: str, name: str) -> str:
    return f"{{{space}}}{name}" if space else name


def _text(element: Any, space: str, name: str) -> str:
    return element.findtext(_tag(space, name)) or ""


def _decoded_all(texts: Sequence[str]) -> Generator[None, None, list[str]]:
    """Texts as they are: one that is not of ASCII takes ten times as long as another."""
    found: list[str] = []
    for start in range(0, len(texts), _READ):
        found += map(_decoded, texts[start : start + _READ])
        yield
    return found


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text
