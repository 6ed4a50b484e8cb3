"""Ids that are made of names: UUIDs by hand, since uuid.UUID takes five times as long to make one."""

from __future__ import annotations

import re
from hashlib import sha1
from uuid import UUID

_LENGTH = 36
_TIME = re.compile("[0-9a-f]{8}-[0-9a-f]{4}")
_VARIANT = {f"{digit:x}": f"{digit & 3 | 8:x}" for digit in range(16)}


def named_id(namespace: UUID, name: str) -> str:
    """`str(uuid.uuid5(namespace, name))`."""
    told = sha1(namespace.bytes + name.encode(), usedforsecurity=False).hexdigest()
    return f"{told[:8]}-{told[8:12]}-5{told[13:16]}-{_VARIANT[told[16]]}{told[17:20]}-{told[20:32]}"


def timed_id(of: str, namespace: UUID, name: str) -> str:
    """A UUIDv8 that begins with the time of the UUIDv7 `of`, and is made of the name in what follows; else `named_id`.

    What happens at the same time has ids that are near each other, so that the index over them is written to in one
    place. Those of random ids are all over it, and each is a page of the database to write.
    """
    told = named_id(namespace, name)
    if len(of) != _LENGTH or of[14] != "7" or not _TIME.fullmatch(of, 0, 13):
        return told
    return f"{of[:13]}-8{told[15:]}"
