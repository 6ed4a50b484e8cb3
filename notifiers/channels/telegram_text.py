r"""A message as Telegram texts: plain text with entities, cut into parts. Never a parse mode, so nothing to escape.

What arrives is predictable, because everything that Telegram's servers would change is changed here first,
visibly (TDLib, `clean_input_string` and `fix_formatted_text`): control characters become pictures, line ends
`\n`, tabs spaces, direction overrides `\u202e`; of U+030A a composed letter is made where there is one, and
the rest of U+030A, U+0333, U+033F, which Telegram drops, is dropped; more than 256 blank characters in a row
become 128 and a note of how many. Telegram drops spaces and line ends at both ends of a message.

How much goes inline (units are UTF-16 code units, the stricter reading of Telegram's 4096 characters; a part
of 4096 of them has at most 12,288 bytes, so the limit of 32,768 bytes cannot be met):
- a paragraph, fact or title of at most 200,000 characters arrives whole, over as many parts as it takes, while
  the message has at most 300,000; beyond either it is shown as its head and tail, and is sent whole as a file;
- a `Pre` of more than 7,500 units is shown as its first 1,000 and last 2,000, and is sent whole as a file;
- a table is shown as aligned text of at most 50 rows and 40 columns a cell; where that leaves something out,
  the whole goes along as CSV;
- attachments follow as files; one that is empty or above 50 MB is named in the text instead.

A part has at most 100 entities, more are ignored by Telegram. A cut prefers line ends, then spaces, keeps
graphemes whole, and an entity that it goes through continues in the next part.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct, field

from notifiers.channels import Part
from notifiers.message import Attachment, Button, Link, Message, Pre, Table, Text
from notifiers.text import csv_file, cut_point, longest_fit, plain_table, table_fits, utf8_len, utf16_len, visible
from rules.event import Severity

TEXT_UNITS = 4096
CAPTION_UNITS = 1024
ENTITIES = 100
INLINE = 200_000
MESSAGE = 300_000
PRE_UNITS = 7_500
HEAD, TAIL = 1_000, 2_000
FILE_BYTES = 50_000_000
PHOTO_BYTES = 10_000_000
BUTTONS, BUTTONS_A_ROW, BUTTON_UNITS, NONCE_BYTES = 100, 3, 64, 64
CODE_UNITS = 200

# Shapes, not only colours.
SYMBOLS = {
    Severity.debug: "🔹",
    Severity.info: "ℹ️",  # noqa: RUF001
    Severity.warning: "⚠️",
    Severity.error: "❌",
    Severity.critical: "🚨",
}

# What TDLib's `strip_empty_characters` and `is_empty_string` take for nothing.
_BLANK = r"[ \n\u00a0\u1680\u180e\u2000-\u200f\u202e\u202f\u205f\u2800\u3000\ufeff\ufffc\U000e0000-\U000e007f]"
_ALL_BLANK = re.compile(f"{_BLANK}*")
BLANKS = 256
_BLANK_RUN = re.compile(f"{_BLANK}{{{BLANKS + 1},}}")
_BLANKS = " \n\u00a0\u1680\u180e\u202e\u202f\u205f\u2800\u3000\ufeff\ufffc" + "".join(
    map(chr, (*range(0x2000, 0x2010), *range(0xE0000, 0xE0080)))
)
_DIRECTION_RUN = re.compile("[\u200e\u200f]+(?=[\u200e\u200f])")
_RING = re.compile("(.)\u030a")
_DROPPED = "\u030a\u0333\u033f"
# Stricter than TDLib's `parse_url`: any other URL is shown as text, which loses nothing.
_URL = re.compile(
    r"https?://(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)+)(?::(?P<port>\d{1,5}))?(?:[/?#][!-~]*)?", re.IGNORECASE
)


class _Span(Struct, frozen=True):
    """A stretch of the whole text, in characters, that is shown as `kind`."""

    start: int
    end: int
    kind: str
    url: str = ""


class _Flow(Struct):
    """The whole text as it grows, with its spans, and the files that go along."""

    pieces: list[str] = field(default_factory=list)
    spans: list[_Span] = field(default_factory=list)
    files: list[Attachment] = field(default_factory=list)
    at: int = 0

    def add(self, text: str, kind: str = "", url: str = "") -> None:
        if kind and not is_blank(text):
            self.spans.append(_Span(self.at, self.at + len(text), kind, url))
        self.pieces.append(text)
        self.at += len(text)

    def line(self, text: str, kind: str = "") -> None:
        self.add(text, kind)
        self.add("\n")

    def shorten(self, text: str, name: str, most: int = INLINE, measure: Callable[[str], int] = len) -> str:
        """The text as it is shown: whole, or its head and tail with the whole as a file."""
        if len(text) <= 2 * most:
            shown = clean(text)
            fits = measure(shown) <= most and self.at + len(shown) <= MESSAGE
            if fits or utf16_len(shown) <= HEAD + TAIL:
                return shown
        # Only what is shown is cleaned: a log may have many megabytes.
        head, tail = clean(text[: 2 * HEAD]), clean(text[-2 * TAIL :])
        head = head[: cut_point(head, 0, longest_fit(head, 0, HEAD))]
        first = len(tail) - longest_fit(tail[-TAIL:][::-1], 0, TAIL)
        tail = tail[cut_point(tail, first, first + TAIL // 4) :]
        file = self.attach(name, text.encode("utf-8", "replace"))
        return f"{head.rstrip()}\n[… {file} has it whole: {len(text):,} characters …]\n{tail}"

    def attach(self, name: str, content: bytes, picture: str = "") -> str:
        """Send a file along; return its name, which no other file of this message has."""
        name = _file_name(name, {file.name for file in self.files})
        self.files.append(Attachment(name, content, picture if len(content) <= PHOTO_BYTES else ""))
        return name


def clean(text: str) -> str:
    """The text without anything that Telegram would silently change; see the module's words."""
    text = visible(text)
    if "\u030a" in text:
        text = _RING.sub(lambda match: unicodedata.normalize("NFC", match[0]), text)
    for mark in _DROPPED:
        text = text.replace(mark, "")
    if "\u200e" in text or "\u200f" in text:
        text = _DIRECTION_RUN.sub("", text)
    return _BLANK_RUN.sub(_shorter_blank, text) if len(text) > BLANKS else text


def _shorter_blank(match: re.Match[str]) -> str:
    run = match[0]
    return f"{run[:64]}[{len(run) - 128:,} blank characters]{run[-64:]}"


def is_blank(text: str) -> bool:
    """Whether Telegram would call a message of this text empty."""
    return _ALL_BLANK.fullmatch(text) is not None


def render(message: Message) -> list[Part]:
    """At least one part with text, then one for each file; pure, and total over every message.

    A text part's payload is `entities` (the Bot API's MessageEntity objects; offsets in UTF-16 units) and, in
    the last of them, `buttons` (rows of `text`, `nonce`, `style`). The texts of these parts, joined, are the
    whole text. A file's payload is `document`, a picture's `photo`: `name` and `content` (base64); its text is the
    caption. A message that is nothing but a picture of that title is that one part. A button whose nonce breaks
    the 64 bytes of its contract, or that is the 101st, is left out.
    """
    flow = _Flow()
    if _is_picture(message):
        _add_attachments(flow, message.attachments)
        return [_document(flow.files[0])]
    _add_head(flow, message)
    for block in message.body:
        _add_block(flow, block)
    _add_links(flow, message.links)
    _add_attachments(flow, message.attachments)
    text = "".join(flow.pieces).rstrip(_BLANKS)
    parts = [
        Part(text=text[start:end], payload={"entities": _entities(text, spans, start, end)})
        for start, end, spans in _cuts(text, flow.spans)
    ]
    if rows := _button_rows(message.buttons):
        parts[-1] = Part(text=parts[-1].text, payload={**parts[-1].payload, "buttons": rows})
    return parts + [_document(file) for file in flow.files]


def _is_picture(message: Message) -> bool:
    files = message.attachments
    alone = not (message.note or message.facts or message.body or message.links or message.buttons)
    if not alone or len(files) != 1 or not files[0].picture or files[0].picture != message.title:
        return False
    return 0 < len(files[0].content) <= PHOTO_BYTES


def _add_head(flow: _Flow, message: Message) -> None:
    if not is_blank(message.note):
        flow.line(flow.shorten(message.note, "note.txt"), "italic")
        flow.add("\n")
    flow.add(f"{SYMBOLS[message.severity]} ")
    title = flow.shorten(message.title, "title.txt")
    flow.line(message.severity.name if is_blank(title) else title, "bold")
    for label, value in message.facts:
        flow.add(flow.shorten(label, "label.txt"), "bold")
        flow.add(": ")
        shown = flow.shorten(value, f"{label}.txt")
        # As code a value is never taken for a command, a hashtag or a person to notify; but a URL stays a link.
        literal = "\n" not in shown and "://" not in shown and utf16_len(shown) <= CODE_UNITS
        flow.line(shown, "code" if literal else "")


def _add_block(flow: _Flow, block: Text | Pre | Table) -> None:
    if isinstance(block, Text):
        if not is_blank(block.text):
            flow.add("\n")
            flow.line(flow.shorten(block.text, "text.txt").rstrip("\n"))
        return
    flow.add("\n")
    if not is_blank(block.title):
        flow.line(flow.shorten(block.title, "title.txt"), "bold")
    if isinstance(block, Pre):
        flow.line(flow.shorten(block.text, f"{block.title or 'log'}.txt", PRE_UNITS, utf16_len).rstrip("\n"), "pre")
        return
    name = block.title or "table"
    flow.line(flow.shorten(plain_table(block.header, block.rows), f"{name}.txt", PRE_UNITS, utf16_len), "pre")
    if not table_fits(block.header, block.rows):
        flow.line(f"whole table: {flow.attach(f'{name}.csv', csv_file(block.header, block.rows))}")


def _add_links(flow: _Flow, links: Sequence[Link]) -> None:
    for link in links:
        flow.add("\n")
        text = flow.shorten(link.text, "link.txt")
        if is_blank(text):
            flow.add(flow.shorten(link.url, "link.txt"))
        elif is_linkable(link.url):
            flow.add(text, "text_link", link.url)
        else:
            flow.add(f"{text}: {flow.shorten(link.url, 'link.txt')}")


def is_linkable(url: str) -> bool:
    """Whether Telegram takes the URL behind a word. It refuses hosts without a dot, e.g. `localhost`."""
    match = _URL.fullmatch(url)
    return match is not None and len(url) <= 2048 and int(match["port"] or 0) <= 65535  # noqa: PLR2004 - a port's greatest number


def _add_attachments(flow: _Flow, attachments: Sequence[Attachment]) -> None:
    for attachment in attachments:
        size = len(attachment.content)
        if 0 < size <= FILE_BYTES:
            flow.attach(attachment.name, attachment.content, attachment.picture)
        else:
            why = "is empty" if not size else f"has {size / 1e6:,.0f} MB, more than the 50 MB that Telegram takes"
            flow.line(f"\n{_file_name(attachment.name, set())} {why}")


def _cuts(text: str, spans: Sequence[_Span]) -> Iterator[tuple[int, int, Sequence[_Span]]]:
    """Where each part starts and ends, and the spans it touches. The text is not blank at its end."""
    start = first = 0
    while start < len(text):
        end = longest_fit(text, start, TEXT_UNITS)
        while first < len(spans) and spans[first].end <= start:
            first += 1
        if first + ENTITIES < len(spans):
            end = min(end, max(start + 1, spans[first + ENTITIES].start))
        cut = cut_point(text, start, end)
        last = first
        while last < len(spans) and spans[last].start < cut:
            last += 1
        crossed = spans[last - 1] if last > first else None
        if crossed and crossed.kind != "pre" and start < crossed.start < cut < crossed.end:
            cut = crossed.start if crossed.end - crossed.start < TEXT_UNITS // 2 else cut
        if is_blank(text[start:cut]):
            cut = end
        yield start, cut, spans[first:last]
        start = cut


def _entities(text: str, spans: Sequence[_Span], start: int, end: int) -> list[dict[str, Any]]:
    entities = []
    for span in spans:
        first, last = max(span.start, start), min(span.end, end)
        if is_blank(text[first:last]):
            continue
        entity = {"type": span.kind, "offset": utf16_len(text[start:first]), "length": utf16_len(text[first:last])}
        entities.append(entity | ({"url": span.url} if span.url else {}))
    return entities


def _button_rows(buttons: Sequence[Button]) -> list[list[dict[str, str]]]:
    taken = [button for button in buttons if 0 < utf8_len(visible(button.nonce)) <= NONCE_BYTES]
    shown = [
        {"text": _short(button.text, BUTTON_UNITS) or "…", "nonce": visible(button.nonce), "style": button.style}
        for button in taken[:BUTTONS]
    ]
    return [shown[index : index + BUTTONS_A_ROW] for index in range(0, len(shown), BUTTONS_A_ROW)]


def _document(file: Attachment) -> Part:
    content = base64.b64encode(file.content).decode("ascii")
    if file.picture:
        caption = _short(file.picture, CAPTION_UNITS)
        return Part(text=caption, payload={"photo": {"name": file.name, "content": content}})
    caption = _short(f"{file.name}, {len(file.content):,} bytes", CAPTION_UNITS)
    return Part(text=caption, payload={"document": {"name": file.name, "content": content}})


def _short(text: str, units: int) -> str:
    """One line of at most so many units, an empty one if the text is blank."""
    line = clean(text[: units * 2]).replace("\n", " ").strip()
    if is_blank(line):
        return ""
    return line if utf16_len(line) <= units else line[: longest_fit(line, 0, units - 1)] + "…"


def _file_name(name: str, taken: set[str]) -> str:
    """A file name with nothing in it that a form, a shell or a file system would trip over, unlike those taken."""
    stem, dot, suffix = re.split(r"[\\/]", _short(name, 200))[-1].rpartition(".")
    stem = re.sub(r"[^\w.-]+", "_", stem if dot else suffix).strip("._")[:60] or "file"
    suffix = re.sub(r"\W+", "", suffix)[:10] if dot else ""
    names = [
        f"{stem}{number}{f'.{suffix}' if suffix else ''}" for number in ("", *(f"-{n + 2}" for n in range(len(taken))))
    ]
    return next(candidate for candidate in names if candidate not in taken)
