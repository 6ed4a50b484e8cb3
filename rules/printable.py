"""Names as people read them: any legal name of a file or an object as printable text, and back."""

from __future__ import annotations

import re

_ASCII, _PLANE = 0x80, 0x10000
_SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPED = re.compile(rb"\\(?:(\\)|(n)|(r)|(t)|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|)")


def printable(path: bytes) -> str:
    r"""Any path or key as text that can be shown, stored and read back by `unprintable`: one text for one path.

    A backslash is doubled; newline, carriage return and tab are `\n \r \t`; other unprintable characters (control,
    direction overrides, odd spaces) are `\xNN` below 128, else `\uNNNN` or `\UNNNNNNNN`; a byte that is no UTF-8 is
    `\xNN` from 80 to ff.
    """
    text = path.decode("utf-8", "surrogateescape")
    return text if text.isprintable() and "\\" not in text else "".join(map(_show, text))


def _show(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if char.isprintable():
        return char
    point = ord(char)
    if point < _ASCII or "\udc80" <= char <= "\udcff":
        return f"\\x{point & 0xFF:02x}"
    return f"\\u{point:04x}" if point < _PLANE else f"\\U{point:08x}"


def unprintable(text: str) -> bytes:
    """The path that `printable` made this text of; ValueError if it made it of none."""

    def replace(match: re.Match[bytes]) -> bytes:
        backslash, newline, carriage, tab, byte, short, long = match.groups()
        if byte:
            return bytes.fromhex(byte.decode())
        if short or long:
            return chr(int(short or long, 16)).encode("utf-8", "surrogatepass")
        for group, value in ((backslash, b"\\"), (newline, b"\n"), (carriage, b"\r"), (tab, b"\t")):
            if group:
                return value
        raise ValueError(f"{text!r} holds a backslash that starts no known escape; write it twice")

    return _ESCAPED.sub(replace, text.encode("utf-8", "surrogateescape"))
