"""One pass over a bucket: parts of its keys, listed side by side, each from where it was left.

The first page of a part says whether there is more. If so, and if somebody has nothing to do, the part is cut at the
"folders" below it, a bounded number of pieces of neighbours each, so that a pass takes few requests more than one
listing alone would.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from math import inf

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import Struct

from sensord.sources.s3_listing import Bucket
from sensord.sources.s3_pages import Page
from sensord.sources.s3_trouble import S3Trouble

_PIECES_EACH = 4
# No key sorts behind it that begins with what stands before it.
_LAST = "\U0010ffff"


class Part(Struct, eq=False):
    """Keys that begin with `prefix`, after the key `after`, up to those that begin with `last` (None: all)."""

    prefix: str
    after: str | None = None
    last: str | None = None
    whole: bool = False  # Not to be cut (again).

    def ends_before(self, key: str) -> bool:
        """Whether this key is beyond the part."""
        return self.last is not None and key > self.last and not key.startswith(self.last)


@dataclass(kw_only=True)
class Walk:
    """Lists `parts` until none is left, or all that are left are in trouble; what is done leaves the list.

    `take` is given each page with the part whose position it moves, None where it moves none; it sets `after`.
    `said` is told of a part in trouble, and of one that came to its end: a page that answers is followed, for ever
    perhaps, by one that does not.
    """

    bucket: Bucket
    parts: list[Part]
    parallel: int
    take: Callable[[Part | None, Page], Awaitable[None]]
    said: Callable[[Part, S3Trouble | None], Awaitable[None]]
    pages: int = 0
    _open: int = field(default=0, init=False)

    async def run(self) -> Sequence[S3Trouble]:
        """The troubles of the parts that are left; none if the pass is complete."""
        troubles: list[S3Trouble] = []
        send, receive = anyio.create_memory_object_stream[Part](inf)
        with send, receive:
            self._open = len(self.parts)
            for part in self.parts:
                send.send_nowait(part)
            async with anyio.create_task_group() as tasks:
                for _ in range(self.parallel):
                    tasks.start_soon(self._work, send, receive, troubles)
        return troubles

    async def _work(
        self,
        send: MemoryObjectSendStream[Part],
        receive: MemoryObjectReceiveStream[Part],
        troubles: list[S3Trouble],
    ) -> None:
        async for part in receive:
            try:
                pieces = await self._list(part, receive)
            except S3Trouble as trouble:
                troubles.append(trouble)
                await self.said(part, trouble)
            else:
                await self.said(part, None)
                self.parts.remove(part)
                self.parts += pieces
                self._open += len(pieces)
                for piece in pieces:
                    send.send_nowait(piece)
            self._open -= 1
            if not self._open:
                send.close()

    async def _list(self, part: Part, receive: MemoryObjectReceiveStream[Part]) -> list[Part]:
        """List the part to its end, or until it is cut: then what is left of it, in pieces."""
        on: str | None = None
        while True:
            page = await self._page(part.prefix, on=on, after=part.after)
            await self.take(part, page)
            if not page.more or (page.last is not None and part.ends_before(page.last)):
                return []
            on = page.on
            if not part.whole and receive.statistics().tasks_waiting_receive:
                part.whole = True
                pieces = await self._cut(part)
                if pieces is not None:
                    return pieces

    async def _cut(self, part: Part) -> list[Part] | None:
        """Look at what is left from above: its pieces (none if nothing is left), or None if it has no folders."""
        prefix = part.prefix
        while True:
            page = await self._page(prefix, after=part.after, delimiter="/")
            await self.take(None, page)
            if page.more and not page.prefixes:
                return None
            # Servers differ in whether they still name the folder that the position is in.
            folders = sorted({*page.prefixes, *_folder_of(prefix, part.after)})
            if page.more or len(folders) != 1:
                break
            prefix = folders[0]
        size = max(1, -(-len(folders) // (_PIECES_EACH * self.parallel)))
        pieces = [_piece(folders[start : start + size], part.after) for start in range(0, len(folders), size)]
        if page.more:
            pieces.append(Part(prefix, after=max(page.last or "", folders[-1] + _LAST)))
        return pieces

    async def _page(
        self, prefix: str, *, on: str | None = None, after: str | None, delimiter: str | None = None
    ) -> Page:
        page = await self.bucket.page(prefix, on=on, after=after, delimiter=delimiter)
        if page.more and page.on in {None, on} and (page.last or "") <= (after or ""):
            words = "it says that there is more and gives the same page again; check endpoint_url"
            raise S3Trouble(f"{self.bucket.name} cannot be listed: {words}")
        self.pages += 1
        return page


def _folder_of(prefix: str, after: str | None) -> list[str]:
    """The folder below the prefix that this position is in, if it is in one."""
    if after is None or not after.startswith(prefix):
        return []
    name, slash, _ = after[len(prefix) :].partition("/")
    return [prefix + name + slash] if slash else []


def _piece(folders: Sequence[str], after: str | None) -> Part:
    """The keys of neighbouring folders. Objects between the folders were met when they were looked at from above."""
    if len(folders) == 1:
        inside = after is not None and after.startswith(folders[0])
        return Part(folders[0], after=after if inside else None)
    start = max(after or "", folders[0])
    return Part(_shared(folders[0], folders[-1]), after=start, last=folders[-1], whole=True)


def _shared(first: str, last: str) -> str:
    """What all texts begin with that sort between these two."""
    same = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(same, min(len(first), len(last)))]
