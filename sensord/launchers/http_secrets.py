"""The secret of each attempt by which the other side proves that it was told to call back."""

from __future__ import annotations

import hmac
import os
from contextlib import suppress
from pathlib import Path

_NAME = "callback.key"
_BYTES = 32


class Secrets:
    """Made from a key in the state folder, which is made when it is first needed, so that none need be kept."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._key: bytes | None = None

    def of(self, token: str) -> str:
        """The secret of an attempt. OSError where there is no key to be had."""
        if self._key is None:
            self._key = _key(self._state)
        return hmac.digest(self._key, f"callback {token}".encode(), "sha256").hex()

    def matches(self, token: str, secret: str) -> bool:
        """Whether this is it."""
        return hmac.compare_digest(self.of(token).encode(), secret.encode("utf-8", "surrogateescape"))


def _key(state: Path) -> bytes:
    path = state / _NAME
    with suppress(FileExistsError):
        spare = state / f"{_NAME}.{os.getpid()}"
        file = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, os.urandom(_BYTES))
            os.fsync(file)
        finally:
            os.close(file)
        try:
            os.link(spare, path)  # Whole, and only where there is none.
        finally:
            spare.unlink()
    key = path.read_bytes()
    if len(key) != _BYTES:
        raise OSError(f"{path} is damaged; remove it, and what is under way cannot call back")
    return key
