"""What a person reads, as a structure. Markup is made by each channel and never stands in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, field

from rules.event import Severity


class Text(Struct, frozen=True):
    """A paragraph of plain text."""

    text: str


class Pre(Struct, frozen=True):
    """Text whose spaces and line ends matter: a log's end, a traceback. `title` is a word above it."""

    text: str
    title: str = ""


class Table(Struct, frozen=True):
    """Rows of plain cells under a header. Each row has as many cells as the header."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


class Link(Struct, frozen=True):
    """Somewhere to look further. `url` is http or https."""

    text: str
    url: str


class Button(Struct, frozen=True):
    """Something a reader can press; `nonce` is opaque, one-time and at most 64 bytes."""

    text: str
    nonce: str
    style: Literal["default", "primary", "danger"] = "default"


class Attachment(Struct, frozen=True):
    """A whole document beside the message, e.g. a log that is too long to read inline.

    `picture` says what it shows, where it is a picture (PNG) that is to be seen at once and not opened as a file.
    """

    name: str
    content: bytes
    picture: str = ""


Block = Text | Pre | Table


class Message(Struct, frozen=True, kw_only=True):
    """One message: a title, facts (label, value), a body, links, buttons. All strings are plain text.

    Any string may hold anything at all (markup, control characters, any length): each channel shows it as it
    is. `note` is said first and apart, e.g. that this may be a repeat.
    """

    title: str
    severity: Severity = Severity.info
    note: str = ""
    facts: Sequence[tuple[str, str]] = ()
    body: Sequence[Block] = ()
    links: Sequence[Link] = ()
    buttons: Sequence[Button] = ()
    attachments: Sequence[Attachment] = field(default_factory=tuple)
