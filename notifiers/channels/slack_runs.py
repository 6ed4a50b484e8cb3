"""A message as runs of text, each with one look: what Slack's posts are then cut from, and the files beside them.

What is longer than people read is shown by its ends, and the whole of it becomes a file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from notifiers.message import Attachment, Link, Message, Pre, Table, Text
from notifiers.text import csv_file, plain_table, table_fits, utf16_len, visible
from rules.event import Severity

POST = 8_000
"""Units of text in one post. Slack refuses sums near 13,200, and was seen to refuse 11,341 in rich text."""
WHOLE = 2 * POST
"""A log or table longer than this is shown by its ends, with the whole of it as a file."""
WHOLE_TEXT = 200_000
"""The same for a paragraph, which a person wrote: it is worth more posts."""
HEAD, TAIL = 1_500, 5_000
HEADER = 150
TABLE_COLUMNS, TABLE_TEXT = 20, 6_000
NATIVE = {"max_cell": 200, "max_rows": 99}
"""What of a table may stand in Slack's own: 100 rows with the header."""
URL = 3_000

MARKS = {Severity.warning: "⚠️ ", Severity.error: "🔴 ", Severity.critical: "🚨 "}
ADDRESS = re.compile(r"https?://[A-Za-z0-9\[][!-;=?-~]*")
"""What Slack takes as the address of a link."""
Style = Literal["plain", "bold", "italic", "header", "pre", "link", "table"]


class Run(Struct, frozen=True):
    """A stretch of plain text with one look. `data` is a link's address, or a native table's cells."""

    text: str
    style: Style = "plain"
    data: Any = None


def units(text: str) -> int:
    """The strictest reading of Slack's "characters": UTF-16 units, after escaping."""
    return utf16_len(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def runs_of(message: Message) -> tuple[list[Run], list[Attachment]]:
    """The runs that say all of it, and the files of what they show by its ends."""
    runs: list[Run] = []
    files: list[Attachment] = []
    if message.note:
        runs += [Run(visible(message.note), "italic"), Run("\n")]
    if (title := visible(message.title)).strip():
        runs += [_title(MARKS.get(message.severity, "") + title), Run("\n")]
    for label, value in message.facts:
        runs += [Run(visible(label), "bold"), Run(f": {visible(value)}\n")]
    native = False
    for block in message.body:
        if isinstance(block, Table):
            cells = [] if native else _native_cells(block)
            native = native or bool(cells)  # Slack takes one table a message.
            runs += _table(block, cells, files)
        else:
            runs += _body(block, files)
    for link in message.links:
        runs += [*_link(link), Run("\n")]
    return runs, files


def _title(text: str) -> Run:
    """A title as a header where a header can hold it whole."""
    return Run(text, "header" if units(text) <= HEADER and "\n" not in text else "bold")


def _heading(title: str) -> list[Run]:
    return [Run(visible(title), "bold"), Run("\n")] if title else []


def _body(block: Text | Pre, files: list[Attachment]) -> list[Run]:
    if isinstance(block, Text):
        return [Run(_abridged(visible(block.text), WHOLE_TEXT, "text", files)), Run("\n")]
    text = _abridged(visible(block.text), WHOLE, block.title, files)
    return [*_heading(block.title), Run(text, "pre"), Run("\n")]


def _table(table: Table, cells: list[list[str]], files: list[Attachment]) -> list[Run]:
    """A table as Slack's own where `cells` says so, else as aligned text, and whole as a file if that cuts it."""
    if cells:
        run = Run(plain_table(table.header, table.rows, **NATIVE), "table", cells)
    else:
        run = Run(_abridged(plain_table(table.header, table.rows), WHOLE, table.title, files), "pre")
        if not table_fits(table.header, table.rows):
            files.append(
                Attachment(_file_name(table.title or "table", files, "csv"), csv_file(table.header, table.rows))
            )
            run = Run(f"{run.text}\n… all of it is in {files[-1].name} …", "pre")
    return [*_heading(table.title), run, Run("\n")]


def _native_cells(table: Table) -> list[list[str]]:
    """The cells for a table block, the header first; empty where one cannot hold this table."""
    rows = [table.header, *table.rows]
    width = max(len(row) for row in rows)
    if not 0 < width <= TABLE_COLUMNS or not table_fits(table.header, table.rows, **NATIVE):
        return []
    cells = [[*(visible(cell) for cell in row), *[""] * (width - len(row))] for row in rows]
    text = sum(units(cell) for row in cells for cell in row)
    whole = units(plain_table(table.header, table.rows, **NATIVE))
    return cells if text <= TABLE_TEXT and 0 < whole <= POST else []


def _file_name(title: str, files: Sequence[Attachment], suffix: str) -> str:
    slug = re.sub(r"\W+", "-", title).strip("-")[:60] or "text"
    return f"{slug}-{len(files) + 1}.{suffix}"


def _abridged(text: str, limit: int, name: str, files: list[Attachment]) -> str:
    """`text`, or its ends where it is longer than `limit`; the whole of it then joins `files`."""
    if units(text) <= limit:
        return text
    file = Attachment(_file_name(name, files, "txt"), text.encode())
    files.append(file)
    head, tail = text[:HEAD], text[-TAIL:]
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n… {left_out:,} characters left out here, all of it is in {file.name} …\n{tail}"


def _link(link: Link) -> list[Run]:
    label, url = visible(link.text), visible(link.url)
    if not ADDRESS.fullmatch(url) or units(url) > URL:
        return [Run(f"{label}: {url}")]
    return [Run(f"{label}: "), Run(url, "link")] if label.strip() else [Run(url, "link")]
