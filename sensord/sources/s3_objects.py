"""Objects of a bucket: which are taken, how one version is told from another, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from math import inf
from struct import unpack
from typing import Protocol

from msgspec import Struct

from rules.globs import Globs
from rules.printable import printable
from rules.request import Sensed
from sensord.sources.s3 import S3Config

UNVERSIONED = frozenset({None, "", "null"})
"""What stands for the version id of an object that was uploaded while its bucket kept no versions."""


class Marks(Protocol):
    """Makes the marks of several versions, given their keys and what tells each from others of its key."""

    def __call__(self, keys: Iterable[str], tags: Iterable[str], /) -> list[int]:
        """One for each."""
        ...


class Version(Struct, frozen=True):
    """One version of one object.

    `etag` has no quotes; `modified` is RFC 3339, or empty; `version` is None where the bucket keeps no versions, or it
    is not known; `latest`: it was the newest of its key when it was heard of. `asked` is when the bucket was asked,
    by the monotonic clock; where a notice is believed it is not.
    """

    key: str
    etag: str
    size: int
    modified: str = ""
    version: str | None = None
    latest: bool = True
    asked: float = inf


def tag_of(config: S3Config, version: Version) -> str:
    """What tells this version from others of its key, the same by whatever way it was heard of.

    Listings of newest versions know no version ids, so that it is the ETag unless all versions are listed. What was
    uploaded while a bucket kept no versions has none, and may be replaced: again its ETag tells.
    """
    if config.versions and version.version not in UNVERSIONED:
        return version.version or ""
    return version.etag or str(version.size)


def tags_of(etags: Sequence[str], sizes: Sequence[str], ids: Sequence[str]) -> Sequence[str]:
    """The same for columns of a listing; `ids` is empty where they have no version ids."""
    if "" in etags:
        etags = [etag or size for etag, size in zip(etags, sizes, strict=True)]
    if not ids:
        return etags
    return [etag if one in UNVERSIONED else one for etag, one in zip(etags, ids, strict=True)]


def marks_in(bucket: str) -> Marks:
    """What makes the marks of versions in that bucket: 63 bits of key and tag, equal over restarts."""
    start = blake2b(f"{bucket}/".encode(), digest_size=8).copy

    def marks(keys: Iterable[str], tags: Iterable[str]) -> list[int]:
        made: list[bytes] = []
        for key, tag in zip(keys, tags, strict=True):
            digest = start()
            digest.update(f"{key}\0{tag}".encode())
            made.append(digest.digest())
        return [number >> 1 for number in unpack(f">{len(made)}Q", b"".join(made))]

    return marks


def shown(text: str) -> str:
    """Any key as text that can be shown: one text for one key, which is itself unless it is odd."""
    return text if text.isprintable() and "\\" not in text else printable(text.encode("utf-8", "surrogatepass"))


def sensed(config: S3Config, version: Version, mark: int | None, at: datetime) -> Sensed:
    """What is emitted for a version. Its key ends in the version's tag, by which an overwritten object is a new one."""
    bucket, key = config.bucket, version.key
    name = shown(f"{bucket}/{key}")
    return Sensed(
        subject=f"s3://{name}",
        key=f"{name}@{tag_of(config, version)}",
        at=at,
        context={
            "object": {
                "bucket": bucket,
                "key": key,
                "name": key.rpartition("/")[2],
                "size": version.size,
                "etag": version.etag,
                "version": version.version,
                "latest": version.latest,
                "last_modified": version.modified,
                "uri": f"s3://{bucket}/{key}",
            }
        },
        mark=mark,
        newest=version.latest,
    )


class Names:
    """Which keys a sensor takes."""

    def __init__(self, config: S3Config) -> None:
        self._prefixes = tuple(config.prefixes)
        self._suffixes = config.suffixes
        self._after = config.start_after or ""
        self._globs = Globs(config.patterns)
        self._any = "*" in self._globs.globs
        self._all = self._any and "" in self._suffixes and not self._after

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
            return f"its key does not match {_either(self._globs.globs)}"
        return None

    def _matches(self, key: str) -> bool:
        folder, slash, name = key.rpartition("/")
        return self._globs.match(folder + slash, name)


def _either(texts: Sequence[str]) -> str:
    return " or ".join(map(repr, texts))
