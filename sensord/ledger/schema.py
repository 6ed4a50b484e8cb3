"""The database's schema, brought up to date at start."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from notifiers import check_tables as checking
from notifiers import living_tables as living
from notifiers import noise_tables as noise
from notifiers import tables as notifying
from notifiers.chat import button_tables as pressing
from notifiers.chat import dialogue_tables as asking
from notifiers.chat import tables as chatting
from notifiers.columns import metadata
from sensord.ledger import tables as running

_TABLES = (
    *(notifying.events, notifying.subscriptions, notifying.deliveries, notifying.destinations),
    *(notifying.inbox, notifying.bus_cursors, notifying.backlogs, living.living, checking.checks),
    *(noise.mutes, noise.quiet_hours, noise.digests),
    *(chatting.chat_cursors, chatting.chat_answers, chatting.chat_invites, chatting.chat_guests, chatting.chat_acts),
    *(chatting.chat_heard, chatting.chat_readings, chatting.chat_granted),
    *(pressing.chat_numbers, pressing.chat_buttons, pressing.chat_changes, asking.chat_dialogues, asking.chat_choices),
    *(running.runs, running.run_keys, running.ticks, running.seen, running.sensors, running.tokens),
    *(running.backfills, running.backfill_partitions),
)
_VERSIONS = Path(__file__).parent / "migrations" / "versions"


class SchemaError(Exception):
    """The database cannot be used by this version of the program; the text says what to do."""


def revisions() -> list[str]:
    """The revisions that this program knows, oldest first: the names of the files, which begin with a number."""
    return sorted(path.stem for path in _VERSIONS.glob("[0-9]*.py"))


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest revision, in one transaction. SchemaError where it is newer than that."""
    newest = revisions()[-1]
    found = state_of(engine)
    if found is None:
        _create(engine, newest)
    elif found != newest:
        _migrate(engine)


def state_of(engine: Engine) -> str | None:
    """The database's revision; None for one in which there is nothing of ours. SchemaError where it is not usable."""
    known = revisions()
    with engine.connect() as conn:
        there = set(inspect(conn).get_table_names())
        if "alembic_version" in there:
            found = str(conn.scalar(text("SELECT version_num FROM alembic_version")))
            if found in known:
                return found
            raise SchemaError(
                f"the database was written by a newer sensord (revision {found}; this one knows up to {known[-1]}): "
                "upgrade sensord, or restore a copy of the database from before"
            )
    if taken := sorted(there & {table.name for table in _TABLES}):
        raise SchemaError(
            f"the database has tables named {', '.join(taken)} that sensord did not make: give it a database of its own"
        )
    return None


def _create(engine: Engine, revision: str) -> None:
    """Make the newest schema at once: the same as every revision in turn would, and Alembic need not be loaded."""
    if engine.dialect.name == "postgresql":
        notifying.prepare_postgresql()
        running.prepare_postgresql()
    with _transaction(engine) as conn:
        metadata.create_all(conn, tables=_TABLES)
        conn.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        conn.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as conn:
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("BEGIN IMMEDIATE")
        yield conn
        conn.commit()


def _migrate(engine: Engine) -> None:
    # What it does is said by us where it matters; its own account of each step, and of its import, is noise in a log.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Alembic is imported here alone: a new or an up-to-date database does not pay for it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_VERSIONS.parent))
    with _transaction(engine) as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "head")
