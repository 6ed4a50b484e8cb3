"""What a database is, seen without owning or changing it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from sensord.ledger.engine import advice
from sensord.ledger.schema import SchemaError, revisions, state_of


def promises(conn: Connection) -> dict[str, str]:
    """What the database is, and how durable what it acknowledges."""
    if conn.dialect.name == "sqlite":
        sync = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}[int(conn.scalar(text("PRAGMA synchronous")) or 0)]
        mode = conn.scalar(text("PRAGMA journal_mode"))
        return {"database": f"SQLite {sqlite3.sqlite_version}", "durable": f"journal {mode}, synchronous {sync}"}
    version = conn.scalar(text("SHOW server_version"))
    return {
        "database": f"PostgreSQL {version}",
        "durable": f"synchronous_commit {conn.scalar(text('SHOW synchronous_commit'))}",
    }


def look_at(url: str) -> tuple[bool, str]:
    """Whether the database at `url` can be used, and what there is to say of it; nothing in it is changed."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database)).absolute()
        if not path.exists():
            return True, f"{path} will be made"
        name = f"file:{quote(str(path))}?mode=ro"
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(name, uri=True, timeout=5))
    else:
        engine = create_engine(parsed.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": 5})
    try:
        found = state_of(engine)
        with engine.connect() as conn:
            said = promises(conn)
    except DBAPIError as error:
        return False, advice(parsed, error)
    except SchemaError as error:
        return False, str(error)
    finally:
        engine.dispose()
    newest = revisions()[-1]
    age = {None: "empty, to be filled at the start", newest: f"schema {newest}"}.get(
        found, f"schema {found}, to be brought up to {newest} at the start"
    )
    return True, f"{said['database']}, {said['durable']}, {age}"
