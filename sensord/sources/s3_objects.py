"""Objects of a bucket: which are taken, how one version is told from another, and what is said of it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Protocol

from rules.request import Sensed
from sensord.sources.s3 import S3Config

_Component = re.Pattern[str] | None


class Marks(Protocol):
    """Makes the marks of several versions, given their keys, ETags and sizes."""

    def __call__(self, keys: Iterable[str], etags: Iterable[str], sizes: Iterable[int | str], /) -> list[int]:
        """One for each."""
        ...


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one object. `etag` has no quotes; `modified` is RFC 3339, or empty."""

    key: str
    etag: str
    size: int
    modified: str = ""
    version: str | None = None


def marks_in(bucket: str) -> Marks:
    """What makes the marks of versions in that bucket: 63 bits of key, ETag and size, equal over restarts."""
    start = blake2b(f"{bucket}/".encode(), digest_size=8).copy
    number = int.from_bytes

    def marks(keys: Iterable[str], etags: Iterable[str], sizes: Iterable[int | str]) -> list[int]:
        made: list[int] = []
        for key, etag, size in zip(keys, etags, sizes, strict=True):
            digest = start()
            digest.update(f"{key}\0{etag}\0{size}".encode())
            made.append(number(digest.digest(), "big") >> 1)
        return made

    return marks


def printable(text: str) -> str:
    """Any key as text that can be shown: one text for one key, which is itself unless it is odd."""
    return text if text.isprintable() and "\\" not in text else text.encode("unicode_escape").decode("ascii")


def sensed(config: S3Config, version: Version, mark: int | None, at: datetime) -> Sensed:
    """What is emitted for a version. Its key ends in the ETag, by which an overwritten object is a new one."""
    bucket, key = config.bucket, version.key
    shown = printable(f"{bucket}/{key}")
    return Sensed(
        subject=f"s3://{shown}",
        key=f"{shown}@{version.etag or version.size}",
        at=at,
        context={
            "object": {
                "bucket": bucket,
                "key": key,
                "name": key.rpartition("/")[2],
                "size": version.size,
                "etag": version.etag,
                "version": version.version,
                "last_modified": version.modified,
                "uri": f"s3://{bucket}/{key}",
            }
        },
        mark=mark,
    )


class Names:
    """Which keys a sensor takes."""

    def __init__(self, config: S3Config) -> None:
        self._prefixes = tuple(config.prefixes)
        self._suffixes = config.suffixes
        self._after = config.start_after or ""
        self._globs = config.patterns
        patterns = [re.compile(fnmatch.translate(glob)).match for glob in self._globs if "/" not in glob]
        self._any = "*" in self._globs
        self._all = self._any and "" in self._suffixes and not self._after
        self._names = patterns
        self._paths = [_components(glob) for glob in self._globs if "/" in glob]

    def takes(self, key: str) -> bool:
        """Whether an object of this key is taken."""
        if not key.endswith(self._suffixes) or key.endswith("/") or key <= self._after:
            return False
        return key.startswith(self._prefixes) and (self._any or self._matches(key))

    def among(self, keys: Sequence[str]) -> Sequence[int]:
        """The places of the keys that are taken; they all begin with one of the prefixes."""
        if self._all and "/" not in {key[-1:] for key in keys}:
            return range(len(keys))
        return [place for place, key in enumerate(keys) if self.takes(key)]

    def refuses(self, key: str) -> str | None:
        """Why it is not taken, else None."""
        if key.endswith("/"):
            return "its key ends in a slash: it stands for a folder"
        if not key.startswith(self._prefixes):
            return f"its key does not begin with {_either(self._prefixes)}"
        if not key.endswith(self._suffixes):
            return f"its key does not end with {_either(self._suffixes)}"
        if key <= self._after:
            return f"its key does not sort after {self._after!r} (`start_after`)"
        if not self.takes(key):
            return f"its key does not match {_either(self._globs)}"
        return None

    def _matches(self, key: str) -> bool:
        parts = key.split("/")
        return any(name(parts[-1]) for name in self._names) or any(_match(path, parts) for path in self._paths)


def _either(texts: Sequence[str]) -> str:
    return " or ".join(map(repr, texts))


def _components(glob: str) -> list[_Component]:
    """One expression for each part between slashes; None stands for any number of parts (`**`)."""
    return [None if part == "**" else re.compile(fnmatch.translate(part)) for part in glob.split("/")]


def _match(path: Sequence[_Component], parts: Sequence[str]) -> bool:
    if not path:
        return not parts
    first, rest = path[0], path[1:]
    if first is None:
        return any(_match(rest, parts[start:]) for start in range(len(parts) + 1))
    return bool(parts) and first.match(parts[0]) is not None and _match(rest, parts[1:])
