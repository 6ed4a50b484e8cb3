"""What a directory sensor remembers: the marks of the versions it emitted, and of which folder they are."""

from __future__ import annotations

from collections.abc import Collection

_SEVERAL = "several"
_ROOM = 10_000


class Memory:
    """The marks of everything emitted and not forgotten.

    The cursor names the folder that the marks were emitted from (file system and inode). Marks are forgotten only
    while it is that very folder that is looked at: an unmounted disk leaves an empty folder behind, and its files
    must still be known when they are back. Once marks of two folders are mixed, none is forgotten.
    """

    def __init__(self, known: set[int], cursor: str | None = None) -> None:
        self.known = known
        self.cursor = cursor
        self.unseen: set[int] | None = None
        self._floor = len(known)

    def has(self, mark: int) -> bool:
        """Whether this version is known; if so it was seen."""
        if mark not in self.known:
            return False
        if self.unseen is not None:
            self.unseen.discard(mark)
        return True

    def cursor_at(self, identity: str) -> str:
        """The cursor to commit with what is emitted from this folder."""
        self.cursor = identity if self.cursor in {None, identity} else _SEVERAL
        return self.cursor

    def expect(self) -> None:
        """A full pass begins: whatever it does not meet may be gone."""
        self.unseen = set(self.known)

    def take_gone(self, identity: str | None) -> Collection[int]:
        """Forget the marks that a full and undisturbed pass over this folder did not meet; `None`: it was not such."""
        gone: set[int] = set()
        if identity is not None and identity == self.cursor and self.unseen:
            gone = self.unseen
            self.known -= gone
        self.unseen = None
        self._floor = len(self.known)
        return gone

    @property
    def overgrown(self) -> bool:
        """Whether so much was added since the last full pass that many marks may be of files long gone."""
        return len(self.known) > 2 * self._floor + _ROOM
