"""What the tables are made of, and the one list of them all."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, MetaData

metadata = MetaData()
"""Every table of the database: the notifiers' and the ledger's."""


def column(name: str, type_: Any, **options: Any) -> Column[Any]:
    """A column, NOT NULL unless said otherwise, whose name is plain text.

    SQLAlchemy makes a kind of `str` of it, which JSON's writer refuses as the key of a row.
    """
    options.setdefault("nullable", False)
    made = Column(name, type_, **options)
    made.name = made.key = name
    return made
