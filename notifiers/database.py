"""What the notifiers need of a database: declared by its user, provided by the daemon's ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import orjson
from sqlalchemy import Connection, Dialect, Row, Select, Table, func, select
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

T = TypeVar("T")
R = TypeVar("R")

Op = Callable[[Connection, Sequence[T]], Sequence[R]]
"""A step of a transaction over a batch: one result per item, in order. Runs on the writer's thread, so it must
not block on anything but the database. May be called again with the same items after a rollback."""


class Database(Protocol):
    """Group commit: what is written at the same moment by many shares one durable transaction."""

    async def write(self, op: Op[T, R], item: T, *, patient: bool = False) -> R:
        """Run `op` for this item and return its result once the transaction is durable.

        `patient`: nothing waits for it, so that under load it may wait a little longer for company.

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
) -> int:
    """Insert rows that all have the same columns; where `conflict` names a key's columns, what is there stays.

    Returns how many were inserted.

    The statement is Core's, compiled once. On SQLite many rows go in one statement: its driver lets go of the
    interpreter's lock at each step, and beside a busy thread every row of an `executemany` waits to get it back.
    """
    if not rows:
        return 0
    columns = tuple(rows[0])
    sql, values, names = _insert(table, columns, conflict, conn.dialect)
    if names is None:
        return conn.exec_driver_sql(sql, [dict(row) for row in rows]).rowcount
    in_order = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
    inserted = 0
    for chunk in _chunks(rows):
        flat = tuple(chain.from_iterable(map(in_order, chunk)))
        inserted += conn.exec_driver_sql(sql.replace(values, ", ".join([values] * len(chunk))), flat).rowcount
    return inserted


def execute_rows(conn: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> list[Row[Any]]:
    """Run a statement that holds `VALUES {rows}` for rows of equal length; return all that it returns.

    It is one statement for many rows, on both databases; braces in it that are not `{rows}` are doubled.
    """
    found: list[Row[Any]] = []
    mark = "?" if conn.dialect.name == "sqlite" else "%s"
    for chunk in _chunks(rows):
        values = f"({', '.join([mark] * len(chunk[0]))})"
        text = sql.format(rows=", ".join([values] * len(chunk)))
        found += conn.exec_driver_sql(text, tuple(chain.from_iterable(chunk))).all()
    return found


class AtOnce:
    """A query whose rows (of numbers, texts and NULL) all come in one step, in no certain order.

    SQLite's driver lets go of the interpreter's lock at each row, and beside a busy thread each waits to get it back:
    there the rows are one JSON text. PostgreSQL's brings them all together anyway.
    """

    def __init__(self, query: Select[Any]) -> None:
        self._rows = query
        inner = query.subquery()
        self._text = select(func.json_group_array(func.json_array(*inner.c)))

    def rows(self, conn: Connection, values: Mapping[str, Any]) -> list[list[Any]]:
        """The rows, for these values of the query's parameters."""
        if conn.dialect.name == "sqlite":
            found: list[list[Any]] = orjson.loads(conn.scalar(self._text, values) or "[]")
            return found
        return [list(row) for row in conn.execute(self._rows, values)]


# Between two statements the thread may wait for the interpreter's lock, which costs more than to prepare one: what
# comes at once is mostly few rows, and they are one statement. Of many the sizes are few, so that each stays prepared.
_SIZES = (128, 64, *range(32, 0, -1))


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def insert_into(table: Table, dialect: Dialect) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows `on_conflict_…`, which each of the two databases says in its own way."""
    if dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # Slow to load, and not needed by most.

    return postgresql.insert(table)


@lru_cache(maxsize=64)
def _insert(
    table: Table, columns: tuple[str, ...], conflict: tuple[str, ...] | None, dialect: Dialect
) -> tuple[str, str, tuple[str, ...] | None]:
    """The text of an INSERT, its list of values, and their order where the driver takes them by place."""
    statement = insert_into(table, dialect)
    if conflict is not None:
        statement = statement.on_conflict_do_nothing(index_elements=conflict)
    compiled = statement.compile(dialect=dialect, column_keys=list(columns))
    order = compiled.positiontup
    values = f"({', '.join('?' * len(columns))})"
    return str(compiled), values, None if order is None else tuple(order)
