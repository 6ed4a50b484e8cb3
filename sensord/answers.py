"""The body of another server's HTTP answer: nobody knows how long it will be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


async def bounded(answer: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The body; None where it has more than `most` bytes, and then no more of it is read. Raises aiohttp's errors."""
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > most:
            return None
        pieces.append(piece)
    return b"".join(pieces)
