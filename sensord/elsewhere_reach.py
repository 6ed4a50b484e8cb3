"""Whether somebody listens at an address: asked before an attempt whose last try found nobody there.

A try is made durable before it goes out, and again when it surely came to nothing. While the other side is away for
minutes and hundreds of runs wait, that alone would keep the disk busy, and hold up those who wait when it is back.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import anyio

from sensord.elsewhere_side import AwayError


async def reach(address: str, name: str, seconds: float) -> None:
    """Connect and let go; nothing is sent. AwayError: `name` cannot be reached within so many seconds."""
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with anyio.fail_after(seconds):
            stream = await anyio.connect_tcp(parts.hostname or "", port)
            await stream.aclose()
    except OSError as error:  # A TimeoutError is one as well.
        raise AwayError(f"{name} cannot be reached") from error
