"""Whether a request is Slack's: its signature over the raw body, and that it is new.

docs.slack.dev, authentication/verifying-requests-from-slack: `v0=` and the HMAC-SHA256 of `v0:TIMESTAMP:BODY`. The
SDK's own verifier raises at timestamps, bodies and signatures that are no text of the right kind, so this is ours.
"""

from __future__ import annotations

import hmac
import re
from collections import OrderedDict

SECONDS = 300.0
"""How far a request's timestamp may be from our clock, either way."""

_MOST = 10_000
_TIMESTAMP = re.compile("[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile("v0=[0-9a-f]{64}", re.ASCII)


class Signatures:
    """Checks requests, and remembers those that were taken for as long as they would be fresh."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._taken: OrderedDict[str, float] = OrderedDict()

    def stale(self, timestamp: str, signature: str, now: float) -> str | None:
        """Why a request is refused by its headers alone, before its body is read; None where it may be read.

        `now` in seconds since 1970.
        """
        if not _SIGNATURE.fullmatch(signature):
            return "this is no request of Slack's: it has no signature"
        if not _TIMESTAMP.fullmatch(timestamp) or abs(now - int(timestamp)) > SECONDS:
            return "the signature's time is more than 5 minutes away: check this machine's clock"
        if self._taken.get(signature, 0.0) >= now:
            return "this request was taken already"
        return None

    def wrong(self, timestamp: str, signature: str, body: bytes) -> str | None:
        """Why a request is refused by its body; None where Slack signed it. Takes equally long for all of a length."""
        made = hmac.new(self._secret, b"v0:" + timestamp.encode() + b":" + body, "sha256").hexdigest()
        if hmac.compare_digest(f"v0={made}".encode(), signature.encode()):
            return None
        return "the signature is not that of slack.signing_secret"

    def take(self, signature: str, now: float) -> None:
        """A request was carried out: the same one again is refused. Memory is bounded."""
        self._taken[signature] = now + 2 * SECONDS
        while self._taken and (len(self._taken) > _MOST or next(iter(self._taken.values())) < now):
            self._taken.popitem(last=False)
