"""Text as the chats measure, cut and show it: UTF-16 units, cut points, visible control characters, tables."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Sequence

TAB = 4
MAX_CELL = 40
MAX_ROWS = 50

_JOINER = "\u200d"
_GRAPHEME_REACH = 64


def _pictures() -> dict[int, str]:
    """What stands for a character that a chat would swallow, hide behind, or turn the line with."""
    shown = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t\r"}
    shown[0x7F] = "\u2421"
    shown |= {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
    shown |= dict.fromkeys((0x85, 0x2028, 0x2029), "\n")
    shown |= {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    return shown


_PICTURES = _pictures()
_PICTURED = re.compile(f"[{re.escape(''.join(map(chr, _PICTURES)))}]")


def visible(text: str) -> str:
    r"""The text with nothing hidden in it, so that what arrives can be foretold.

    Every line end (CR LF, CR, NEL, U+2028, U+2029) becomes `\n`; tabs become spaces up to the next column of
    4; control characters become their pictures (ESC is shown as U+241B) or `\x9b`; characters that turn the
    direction of a line (U+202A-202E, U+2066-2069) become `\u202e`; a lone surrogate becomes U+FFFD. The
    result can be encoded, and is its own `visible`.
    """
    if text.isprintable():
        return text  # Nearly all are; and of what is not ASCII, to translate a character takes as long as to find 50.
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() or _PICTURED.search(text):
        text = text.translate(_PICTURES)
    return text.expandtabs(TAB)


def utf16_len(text: str) -> int:
    """Length in UTF-16 code units: how Telegram counts text and places entities."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf8_len(text: str) -> int:
    """Length in bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def split_text(text: str, limit: int, measure: Callable[[str], int] = utf16_len) -> list[str]:
    """Cut a text into pieces that each measure at most `limit`; together they are the text, unchanged.

    `measure` must be a sum over characters in which each counts at least one. A piece ends after a line end
    where its second half has one, else after a space, else between two graphemes. A single character that
    measures more than the limit is a piece of its own. No text, no pieces.
    """
    pieces = []
    start = 0
    while start < len(text):
        cut = cut_point(text, start, longest_fit(text, start, limit, measure))
        pieces.append(text[start:cut])
        start = cut
    return pieces


def longest_fit(text: str, start: int, limit: int, measure: Callable[[str], int] = utf16_len) -> int:
    """The greatest end for which `text[start:end]` measures at most `limit`, but at least one character."""
    most = min(len(text), start + max(limit, 1))
    if measure(text[start:most]) <= limit:
        return most
    low, high = start + 1, most
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[start:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def cut_point(text: str, start: int, end: int) -> int:
    """Where best to cut `text[start:]`, at `end` or somewhat before it; always after `start`."""
    if end >= len(text):
        return len(text)
    half = start + (end - start) // 2
    for mark in ("\n", " "):
        found = text.rfind(mark, half, end)
        if found >= 0 and not _joined(text, found + 1):
            return found + 1
    for cut in range(end, max(half, end - _GRAPHEME_REACH), -1):
        if not _joined(text, cut):
            return cut
    return end


def _joined(text: str, at: int) -> bool:
    """Whether the characters on both sides of `at` belong to one grapheme (the common cases of UAX 29)."""
    before, after = text[at - 1], text[at]
    if before.isascii() and after.isascii():
        return before == "\r" and after == "\n"
    if _JOINER in (before, after) or unicodedata.category(after) in ("Mn", "Mc", "Me"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True
    if "\u1160" <= after <= "\u11ff":
        return True
    if not _regional(after):
        return False
    run = 0
    while run < at and _regional(text[at - 1 - run]):
        run += 1
    return run % 2 == 1


def _regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def display_width(text: str) -> int:
    """Columns that a text takes in a fixed-width font: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def plain_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    max_cell: int = MAX_CELL,
    max_rows: int = MAX_ROWS,
) -> str:
    """The table as aligned lines: header, a rule, rows; a column of numbers is set to the right.

    A cell is one line of at most `max_cell` columns, a longer one ends in `…`; after `max_rows` rows a last
    line says how many more there are. `table_fits` tells whether anything was left out.
    """
    shown = [[_cell(text, max_cell) for text in row] for row in (header, *rows[:max_rows])]
    columns = max(map(len, shown))
    shown = [row + [""] * (columns - len(row)) for row in shown]
    widths = [max(display_width(row[index]) for row in shown) for index in range(columns)]
    numeric = [all(_is_number(row[index]) for row in shown[1:]) and len(shown) > 1 for index in range(columns)]
    lines = ["  ".join(map(_pad, row, widths, numeric)).rstrip() for row in shown]
    lines.insert(1, "  ".join("-" * width for width in widths))
    if len(rows) > max_rows:
        lines.append(f"… {len(rows) - max_rows:,} more rows")
    return "\n".join(lines)


def table_fits(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    max_cell: int = MAX_CELL,
    max_rows: int = MAX_ROWS,
) -> bool:
    """Whether `plain_table` with the same bounds shows every row and every cell whole."""
    cells = (cell for row in (header, *rows[:max_rows]) for cell in row)
    return len(rows) <= max_rows and all(display_width(_one_line(cell)) <= max_cell for cell in cells)


def csv_file(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """The table as a CSV file (RFC 4180, UTF-8).

    A cell that a spreadsheet would run as a formula (it begins with `=`, `+`, `-` or `@` and is no number)
    gets an apostrophe in front.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([_harmless(cell) for cell in row] for row in (header, *rows))
    return out.getvalue().encode("utf-8", "replace")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(cell) else cell


def _one_line(text: str) -> str:
    return visible(text).replace("\n", " ").strip()


def _cell(text: str, most: int) -> str:
    line = _one_line(text)
    if display_width(line) <= most:
        return line
    kept, width = [], 0
    for character in line:
        width += _columns(character)
        if width > most - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def _pad(cell: str, width: int, right: bool) -> str:
    blank = " " * (width - display_width(cell))
    return blank + cell if right else cell + blank


def _is_number(text: str) -> bool:
    digits = text.removesuffix("%").replace(",", "").replace("_", "")
    try:
        float(digits or "0")
    except ValueError:
        return False
    return True
