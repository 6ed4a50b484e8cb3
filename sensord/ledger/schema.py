"""The database's schema, brought up to date at start."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Engine, inspect, text

_VERSIONS = Path(__file__).parent / "migrations" / "versions"


class SchemaError(Exception):
    """The database cannot be used by this version of the program; the text says what to do."""


def revisions() -> list[str]:
    """The revisions that this program knows, oldest first: the names of the files, which begin with a number."""
    return sorted(path.stem for path in _VERSIONS.glob("[0-9]*.py"))


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest revision, in one transaction. SchemaError where it is newer than that."""
    known = revisions()
    found = _revision(engine)
    if found == known[-1]:
        return
    if found is not None and found not in known:
        raise SchemaError(
            f"the database was written by a newer sensord (revision {found}; this one knows up to {known[-1]}): "
            "upgrade sensord, or restore a copy of the database from before"
        )
    _migrate(engine)


def _revision(engine: Engine) -> str | None:
    with engine.connect() as conn:
        if not inspect(conn).has_table("alembic_version"):
            return None
        found = conn.scalar(text("SELECT version_num FROM alembic_version"))
        return None if found is None else str(found)


def _migrate(engine: Engine) -> None:
    # Alembic is imported here alone: an up-to-date database does not pay for it.
    from alembic import command
    from alembic.config import Config

    # What it does is said by us where it matters; its own account of each step is noise in a daemon's log.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_VERSIONS.parent))
    with engine.connect() as conn:
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = conn
        command.upgrade(config, "head")
        conn.commit()
