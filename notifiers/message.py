"""What a person reads, as a structure. Markup is made by each channel and never stands in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rules.event import Severity


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Pre:
    """Text whose spaces and line ends matter: a log's end, a traceback. `title` is a word above it."""

    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of plain cells under a header. Each row has as many cells as the header."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """Somewhere to look further. `url` is http or https."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Button:
    """Something a reader can press; `nonce` is opaque, one-time and at most 64 bytes."""

    text: str
    nonce: str
    style: Literal["default", "primary", "danger"] = "default"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A whole document beside the message, e.g. a log that is too long to read inline.

    `picture` says what it shows, where it is a picture (PNG) that is to be seen at once and not opened as a file.
    """

    name: str
    content: bytes
    picture: str = ""


Block = Text | Pre | Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
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
