"""Ids that are made of names: UUIDv5 by hand, since uuid.UUID takes five times as long to make one."""

from __future__ import annotations

from hashlib import sha1
from uuid import UUID

_VARIANT = {f"{digit:x}": f"{digit & 3 | 8:x}" for digit in range(16)}


def named_id(namespace: UUID, name: str) -> str:
    """`str(uuid.uuid5(namespace, name))`."""
    told = sha1(namespace.bytes + name.encode(), usedforsecurity=False).hexdigest()
    return f"{told[:8]}-{told[8:12]}-5{told[13:16]}-{_VARIANT[told[16]]}{told[17:20]}-{told[20:32]}"
