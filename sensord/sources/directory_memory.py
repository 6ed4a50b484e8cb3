"""What a directory sensor remembers: the marks of the versions it emitted, and of which folder they are."""

from __future__ import annotations

from collections.abc import Iterable

_SEVERAL = "several"
_ROOM = 10_000
# One set of a million marks takes long to copy, and nobody else gets the interpreter meanwhile.
_SHARDS = 256


class Memory:
    """The marks of everything emitted and not forgotten.

    The cursor names the folder that the marks were emitted from (file system and inode). Marks are forgotten only
    while it is that very folder that is looked at: an unmounted disk leaves an empty folder behind, and its files
    must still be known when they are back. Once marks of two folders are mixed, none is forgotten.

    `has` and `add` may be called from any thread at any time, the others from one at a time.
    """

    def __init__(self, known: Iterable[int] = (), cursor: str | None = None) -> None:
        self.cursor = cursor
        self._known: dict[int, set[int]] = {}  # Shards come as they are needed: most sensors know few files.
        self._unseen: dict[int, set[int]] | None = None
        for mark in known:
            self.add(mark)
        self._floor = len(self)

    def __len__(self) -> int:
        return sum(map(len, list(self._known.values())))

    def has(self, mark: int) -> bool:
        """Whether this version is known; if so it was seen."""
        shard = mark % _SHARDS
        if mark not in self._known.get(shard, ()):
            return False
        if self._unseen is not None and (unseen := self._unseen.get(shard)) is not None:
            unseen.discard(mark)
        return True

    def add(self, mark: int) -> None:
        """Know this version."""
        self._known.setdefault(mark % _SHARDS, set()).add(mark)

    def cursor_at(self, identity: str) -> str:
        """The cursor to commit with what is emitted from this folder."""
        self.cursor = identity if self.cursor in {None, identity} else _SEVERAL
        return self.cursor

    def expect(self) -> None:
        """A full pass begins: whatever it does not meet may be gone."""
        self._unseen = {shard: set(known) for shard, known in list(self._known.items())}

    def take_gone(self, identity: str | None) -> list[int]:
        """Forget the marks that a full and undisturbed pass over this folder did not meet; `None`: it was not such."""
        gone: list[int] = []
        if identity is not None and identity == self.cursor:
            for shard, unseen in (self._unseen or {}).items():
                self._known[shard].difference_update(unseen)
                gone += unseen
        self._unseen = None
        self._floor = len(self)
        return gone

    @property
    def overgrown(self) -> bool:
        """Whether so much was added since the last full pass that many marks may be of files long gone."""
        return len(self) > 2 * self._floor + _ROOM
