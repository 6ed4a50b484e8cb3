"""What is wrong with a configuration, and where: one problem is one line for a person."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from msgspec import Struct

from sensord.secrets import one_line

Loc = tuple[str | int, ...]
"""Where a value stands in the merged configuration: `("jobs", "load", "command", 0)`."""

_BARE = re.compile(r"[\w-]+")


class Place(Struct, frozen=True):
    """A spot in a file as it was named on the way in; lines and columns count from 1, 0 is the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(Struct, frozen=True, kw_only=True):
    """One thing to mend. With `expected`, `found` is a value; without, it is what is wrong, in words.

    No field holds the value of a secret, nor of anything that `${…}` put in.
    """

    file: str
    line: int = 0
    column: int = 0
    key: str = ""
    found: str
    expected: str = ""
    hint: str = ""

    def __str__(self) -> str:
        """`FILE:LINE:COLUMN: KEY: what is wrong; what to do`, on one line."""
        where = f"{Place(self.file, self.line, self.column)}: " + (f"{self.key}: " if self.key else "")
        what = f"expected {self.expected}, found {self.found}" if self.expected else self.found
        return one_line(where + what + (f"; {self.hint}" if self.hint else ""))


class ConfigError(Exception):
    """A configuration that cannot be used. `problems` are all that were found, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def problem(place: Place, loc: Loc, found: str, *, expected: str = "", hint: str = "") -> Problem:
    """A problem at `place` with the key that `loc` leads to."""
    return Problem(
        file=place.file,
        line=place.line,
        column=place.column,
        key=dotted(loc),
        found=found,
        expected=expected,
        hint=hint,
    )


def dotted(loc: Loc) -> str:
    """`("subscriptions", 0, "to")` → `subscriptions[0].to`; a key that is no plain word is quoted."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else repr(part[:100]))
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be, if any comes close."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str], kind: str) -> str:
    """A hint for a word that is not known: the nearest one, else all there are (named by `kind`)."""
    names = sorted(known)
    if match := nearest(word[:100], names):
        return f"did you mean {match!r}?"
    return f"{kind}: {', '.join(names) if names else 'none'}"
