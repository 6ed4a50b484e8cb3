"""Globs over names and paths, in time that nobody can blow up."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

_WILD = re.compile(r"[*?\[]")
_NOTHING = re.compile(r"(?!)")


class Globs:
    """Several globs, of which any may match.

    `*`, `?` and `[…]` stay within one name. A glob without a slash is matched against the name; one with a slash
    against the whole path below the folder, where a component `**` stands for any number of folders, none
    included. Matching takes time proportional to name times glob, whatever the glob.
    """

    def __init__(self, globs: Sequence[str]) -> None:
        self.globs = tuple(globs)
        names = [glob for glob in globs if "/" not in glob]
        # Nearly all globs are `*`, `*.csv` or `.*`, and every file of a listing is asked about each.
        self._heads = tuple(glob[:-1] for glob in names if glob[-1:] == "*" and not _WILD.search(glob[:-1]))
        self._tails = tuple(glob[1:] for glob in names if glob[:1] == "*" and not _WILD.search(glob[1:]))
        others = [glob for glob in names if glob[:-1] not in self._heads and glob[1:] not in self._tails]
        self._name = re.compile("|".join(map(fnmatch.translate, others))).match if others else None
        self._paths = [_components(glob) for glob in globs if "/" in glob]

    def match(self, prefix: str, name: str) -> bool:
        """Whether any glob takes `name` in the folder `prefix` (its path below the folder, "" or ending in /)."""
        if name.startswith(self._heads) or name.endswith(self._tails):
            return True
        if self._name is not None and self._name(name):
            return True
        if not self._paths:
            return False
        parts = f"{prefix}{name}".split("/")
        return any(_match_path(glob, parts) for glob in self._paths)

    def which(self, prefix: str, name: str) -> str | None:
        """The first glob that takes it."""
        return next((glob for glob in self.globs if Globs([glob]).match(prefix, name)), None)


_Component = re.Pattern[str] | None


def _components(glob: str) -> list[_Component]:
    return [None if part == "**" else re.compile(fnmatch.translate(part)) for part in glob.split("/")]


def _match_path(glob: Sequence[_Component], parts: Sequence[str]) -> bool:
    """Greedy, with a way back to the last `**` only: each earlier `**` already took as little as it could."""
    at = part = 0
    star, resume = -1, 0
    while part < len(parts):
        component = glob[at] if at < len(glob) else _NOTHING
        if component is None:
            star, resume = at, part
            at += 1
        elif component.match(parts[part]):
            at, part = at + 1, part + 1
        elif star >= 0:
            resume += 1
            at, part = star + 1, resume
        else:
            return False
    return all(component is None for component in glob[at:])
