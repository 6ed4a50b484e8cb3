"""The objects of a page as the usual servers write them, taken by one pattern: half of what a parser's tree costs.

A pattern is no parser, so it takes a page only where it accounts for every character between the first object and the
last, and the parser reads all the rest, with one empty object in the place of these: so they are where objects belong,
in no comment and below nothing else. Whatever else a page is (other elements, another order, spaces between them,
entities), the parser reads the whole of it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence

from msgspec import Struct

_BEGIN, _END = "<Contents>", "</Contents>"
_SLICE, _BLOCK = 64 * 1024, 512 * 1024
# What XML does not allow in a text, or reads as something else.
_CONTROLS = bytes({*range(32)} - {*b"\t\n"})
_ODD = ("]]>", "\ufffe", "\uffff")
_QUOTES = ("&quot;", "&#34;")


class Usual(Struct, frozen=True):
    """The columns of a page's objects (keys, ETags in their quotes, sizes, moments), and the page without them."""

    columns: list[Sequence[str]]
    rest: bytes


def usual(body: bytes) -> Generator[None, None, Usual | None]:
    """What the pattern takes of a page of newest versions, in short steps; None where the parser has to."""
    text = yield from _text(body)
    begin, end = text.find(_BEGIN), text.rfind(_END) + len(_END)
    if begin < 0 or end <= begin:
        return None
    yield
    found: list[tuple[str, ...]] = []
    start = begin
    while start < end:
        cut = text.find(_END, min(start + _SLICE, end - len(_END))) + len(_END)
        some = _OBJECT.findall(text, start, cut)
        if len("".join(map("".join, some))) + len(some) * _AROUND != cut - start:
            return None
        found += some
        start = cut
        yield
    keys, moments, quoted, checksums, sizes, others = zip(*found, strict=True)
    etags = "\r".join(quoted)
    for quote in _QUOTES:
        etags = etags.replace(quote, '"')
    if "&" in etags or any("&" in "".join(texts) for texts in (keys, moments, checksums, others)):
        return None
    yield
    rest = f"{text[:begin]}{_BEGIN}{_END}{text[end:]}"
    return Usual([keys, etags.split("\r"), sizes, moments], rest.encode())


def _text(body: bytes) -> Generator[None, None, str]:
    """The page as text; empty where its characters are not what they look like."""
    head = body[: body.find(b">") + 1].lower()
    if b"encoding" in head and b'encoding="utf-8"' not in head:
        return ""
    for start in range(0, len(body), _BLOCK):
        block = body[start : start + _BLOCK]
        if len(block.translate(None, _CONTROLS)) < len(block):
            return ""
        yield
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return ""
    # One character is found quickly, several are not.
    return "" if any(odd[0] in text and odd in text for odd in _ODD) else text


def _element(name: str, within: str = "[^<]*") -> str:
    return f"<{name}>{within}</{name}>"


def _some_of(*patterns: str) -> str:
    return f"(?:{'|'.join(patterns)})*"


# What stands in the groups, one behind the other, and `_AROUND` characters is the whole of a match.
_FIELDS = ("Key", "LastModified", "ETag", "Size")
_AROUND = len(_element("Contents", "".join(_element(name, "") for name in _FIELDS)))
_OWNER = _element("Owner", _some_of(_element("ID"), _element("DisplayName")))
_PATTERN = (
    _element("Key", "([^<]+)"),
    _element("LastModified", "([^<]*)"),
    _element("ETag", "([^<]*)"),
    f"({_some_of(_element('ChecksumAlgorithm'), _element('ChecksumType'))})",
    _element("Size", "([0-9]+)"),
    f"({_some_of(_element('StorageClass'), _element('Type'), _OWNER)})",
)
_OBJECT = re.compile(_element("Contents", "".join(_PATTERN)))
