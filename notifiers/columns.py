"""Columns of tables that are made without a mapped class."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column


def column(name: str, type_: Any, **options: Any) -> Column[Any]:
    """A column, NOT NULL unless said otherwise, whose name is plain text.

    SQLAlchemy makes a kind of `str` of it, which JSON's writer refuses as the key of a row.
    """
    options.setdefault("nullable", False)
    made = Column(name, type_, **options)
    made.name = made.key = name
    return made
