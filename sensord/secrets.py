"""Keeps secrets out of everything that is written: one redactor of the process knows them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
SHORTEST = 6
"""Shorter values are not looked for inside text: they would blank out half of it and hide nothing."""

# Cc, the line and paragraph separators, what turns writing round or is invisible, and halves of characters.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    r"""Text without control characters: each is written as `\n`, `\x1b` or `\u202e`; the rest stays."""
    return _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    return _NAMED.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


class Redactor:
    """Replaces the secrets it was told by `***`, in the forms that URLs, JSON and reprs give them."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"

    def register(self, secrets: Iterable[str]) -> None:
        """Know these values from now on. Of a value of several lines, each long line is a secret by itself."""
        new = {secret for value in secrets for secret in (value, value.strip(), *_long_lines(value))}
        new = {secret for secret in new if len(secret) >= SHORTEST} - self._secrets
        if new:
            self._secrets |= new
            forms = {form for secret in self._secrets for form in _forms(secret)}
            # The longest first, so that a secret that contains another one goes as a whole.
            self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))

    def redact(self, text: str) -> str:
        """The text with every known secret replaced."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)


def _long_lines(value: str) -> Iterator[str]:
    lines = value.splitlines()
    return (line.strip() for line in lines if len(lines) > 1 and len(line.strip()) >= 2 * SHORTEST)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    decoded = unquote(secret)
    if len(decoded) >= SHORTEST:
        yield decoded
    for quoted in (quote(secret, safe=""), quote(secret), quote(secret, safe=":@!$&'()*+,;=~"), quote_plus(secret)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    for escaped in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield escaped
        yield escaped.replace("/", "\\/")
    yield repr(secret)[1:-1]
    yield repr(secret.encode())[2:-1]
    yield one_line(secret)


REDACTOR = Redactor()
"""The one of this process; `sensord.config.load` tells it what it read."""


def redact(text: str) -> str:
    """The text with every secret of this process replaced by `***`."""
    return REDACTOR.redact(text)


def redacted(value: Any, depth: int = 8) -> Any:
    """A value of the same shape whose every text is redacted; what JSON does not know becomes its redacted repr."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return redact(str(value))
    if isinstance(value, int | float):
        text = str(value)
        return value if math.isfinite(value) and redact(text) == text else redact(text)
    if depth and isinstance(value, Mapping):
        return {redact(str(key)): redacted(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [redacted(item, depth - 1) for item in value]
    return redact(repr(value))
