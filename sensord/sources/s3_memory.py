"""What an S3 sensor remembers of the versions it emitted: their marks, nine bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from anyio.lowlevel import checkpoint

# Short sorted arrays: a new mark moves few others, and no step takes long.
_SHARD_BITS = 63 - 12
_SHARDS_A_STEP = 256
_GONE = 2
_TOO_MANY = 1000
_OLDER = bytes([*range(1, 256), 255])
_YOUNGER = bytes([0, *range(255)])


class Known:
    """The marks of everything emitted and not forgotten.

    A mark is forgotten when two complete listings in a row did not meet it: one alone may have looked at a bucket that
    is just coming back. With `most`, about so many are kept, those that were added last (of those before a restart,
    any): for where no listing meets everything. Everything but loading happens in the event loop.
    """

    def __init__(self, marks: Iterable[int] = (), *, most: int | None = None) -> None:
        self._most = most
        self._order = deque[int]()
        self._marks: dict[int, array[int]] = {}  # Shards come as they are needed: most sensors know few objects.
        self._missed: dict[int, bytearray] = {}  # How many complete listings in a row did not meet each mark.
        for mark in marks:
            self._marks.setdefault(mark >> _SHARD_BITS, array("Q")).append(mark)
        for shard, held in self._marks.items():
            self._marks[shard] = array("Q", sorted(held))
            self._missed[shard] = bytearray(len(held))
            if most is not None:
                self._order.extend(held)

    def __len__(self) -> int:
        return sum(map(len, self._marks.values()))

    def has(self, mark: int) -> bool:
        """Whether this version is known; if so it was met."""
        return not self.unknown([mark])

    def unknown(self, marks: Sequence[int]) -> list[int]:
        """The places of those that are not known; the others were met."""
        held, missed, bits = self._marks, self._missed, _SHARD_BITS
        places: list[int] = []
        for place, mark in enumerate(marks):
            shard = held.get(mark >> bits)
            if shard is not None:
                at = bisect_left(shard, mark)
                if at < len(shard) and shard[at] == mark:
                    missed[mark >> bits][at] = 0
                    continue
            places.append(place)
        return places

    def add(self, mark: int) -> None:
        """Know this version, which is not known yet."""
        shard = self._marks.setdefault(mark >> _SHARD_BITS, array("Q"))
        at = bisect_left(shard, mark)
        shard.insert(at, mark)
        self._missed.setdefault(mark >> _SHARD_BITS, bytearray()).insert(at, 0)
        if self._most is not None:
            self._order.append(mark)

    def take_old(self) -> list[int]:
        """Forget the oldest of too many, some at a time; none while there are only a few too many."""
        many = 0 if self._most is None else len(self._order) - self._most
        if many < _TOO_MANY:
            return []
        old = [self._order.popleft() for _ in range(min(many, 5 * _TOO_MANY))]
        for mark in old:
            shard = self._marks.get(mark >> _SHARD_BITS, array("Q"))
            at = bisect_left(shard, mark)
            if at < len(shard) and shard[at] == mark:
                del shard[at], self._missed[mark >> _SHARD_BITS][at]
        return old

    async def expect(self) -> None:
        """A complete listing begins: whatever it does not meet may be gone."""
        await self._translate(_OLDER)

    async def excuse(self) -> None:
        """The listing did not come to its end: it says nothing of what it did not meet."""
        await self._translate(_YOUNGER)

    async def _translate(self, table: bytes) -> None:
        for count, shard in enumerate(list(self._missed)):
            self._missed[shard] = self._missed[shard].translate(table)
            if not count % _SHARDS_A_STEP:
                await checkpoint()

    def take_gone(self) -> Iterator[list[int]]:
        """Forget what two complete listings in a row did not meet, a bounded piece at a time."""
        for shard, missed in list(self._missed.items()):
            if max(missed, default=0) < _GONE:
                continue
            held = self._marks[shard]
            gone = [mark for mark, times in zip(held, missed, strict=True) if times >= _GONE]
            kept = [(mark, times) for mark, times in zip(held, missed, strict=True) if times < _GONE]
            self._marks[shard] = array("Q", [mark for mark, _ in kept])
            self._missed[shard] = bytearray(times for _, times in kept)
            yield gone
