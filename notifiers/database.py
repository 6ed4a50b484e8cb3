"""What the notifiers need of a database: declared by its user, provided by the daemon's ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite

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


def insert_rows(
    conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, conflict: tuple[str, ...] | None = None
) -> None:
    """Insert rows that all have the same columns; where `conflict` names a key's columns, what is there stays.

    The statement is Core's, compiled once; the rows go to the driver as they are, which costs a fifth of
    executing the statement with a list of dictionaries.
    """
    if not rows:
        return
    columns = tuple(rows[0])
    sql, names = _insert(table, columns, conflict, conn.dialect)
    if names is None:
        conn.exec_driver_sql(sql, [dict(row) for row in rows])
    elif len(names) == 1:
        conn.exec_driver_sql(sql, [(row[names[0]],) for row in rows])
    else:
        pick = itemgetter(*names)
        conn.exec_driver_sql(sql, [pick(row) for row in rows])


@lru_cache(maxsize=64)
def _insert(
    table: Table, columns: tuple[str, ...], conflict: tuple[str, ...] | None, dialect: Dialect
) -> tuple[str, tuple[str, ...] | None]:
    """The text of an INSERT, and the order of its values where the driver takes them by place."""
    maker = sqlite if dialect.name == "sqlite" else postgresql
    statement = maker.insert(table)
    if conflict is not None:
        statement = statement.on_conflict_do_nothing(index_elements=conflict or None)
    compiled = statement.compile(dialect=dialect, column_keys=list(columns))
    order = compiled.positiontup
    return str(compiled), None if order is None else tuple(order)
