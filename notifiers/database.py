"""What the notifiers need of a database: declared by its user, provided by the daemon's ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
R = TypeVar("R")

Op = Callable[[Connection, Sequence[T]], Sequence[R]]
"""A step of a transaction over a batch: one result per item, in order. Runs on the writer's thread, so it must
not block on anything but the database. May be called again with the same items after a rollback."""


class Database(Protocol):
    """Group commit: what is written at the same moment by many shares one durable transaction."""

    async def write(self, op: Op[T, R], item: T) -> R:
        """Run `op` for this item and return its result once the transaction is durable.

        Items of one batch share a transaction; if that fails, each item gets one of its own, so that one item's
        error is raised to its own caller alone. Cancelling the caller does not undo what was handed over.
        """
        ...

    async def write_many(self, op: Op[T, R], items: Sequence[T]) -> Sequence[R]:
        """The same for several items that stand or fall together."""
        ...

    async def read(self, query: Callable[[Connection], R]) -> R:
        """Run a query on a reading connection: sees everything whose write has returned."""
        ...
