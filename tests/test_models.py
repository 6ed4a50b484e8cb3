"""The ledger as SQLModel classes: every column is there, both databases are read, and nothing is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import NoneType
from typing import get_args

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel, col, select

from notifiers.clock import SYSTEM
from sensord import models
from sensord.config import ConfigError
from sensord.ledger.database import LedgerDatabase, open_database
from sensord.ledger.engine import DatabaseUnusable
from sensord.ledger.outcomes import commit_steps
from sensord.ledger.requests import request_runs
from sensord.ledger.schema import SchemaError
from sensord.models import Event, Run, RunKey, Sensor, open_ledger, utc
from tests.conftest import rows
from tests.ledger.test_outcomes import step
from tests.ledger.test_requests import wish
from tests.test_readme import block

CLASSES = [found for found in vars(models).values() if isinstance(found, type) and issubclass(found, SQLModel)]
MODELS = [model for model in CLASSES if model is not SQLModel]


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    path = tmp_path / "sensord.yaml"
    path.write_text(f"database: {database_url}\njobs: {{}}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_class_has_every_column_and_says_which_may_be_empty(model: type[SQLModel]) -> None:
    table = model.__table__  # type: ignore[attr-defined]
    mapped = {model.__mapper__.get_property_by_column(column).key: column for column in table.columns}  # type: ignore[attr-defined]
    assert mapped.keys() == model.model_fields.keys()
    for name, column in mapped.items():
        annotation = model.model_fields[name].annotation
        kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
        assert kinds == [column.type.python_type], name
        assert (NoneType in get_args(annotation)) == column.nullable, name


@pytest.mark.anyio
async def test_what_the_daemon_writes_is_read_while_it_holds_the_database(
    database: LedgerDatabase, config: Path
) -> None:
    asked = wish(run_key="a.csv")
    await database.write(request_runs, asked)
    with open_ledger(config) as ledger:
        held = ledger.exec(select(Run, RunKey).join(RunKey, col(RunKey.run) == Run.id)).one()
        assert (held[0].id, held[0].job, held[0].status) == (asked.id, asked.job, "queued")
        assert held[1].run_key == "a.csv"
        assert abs((SYSTEM.now() - utc(held[0].requested_at)).total_seconds()) < 60
        topics = ledger.exec(select(Event.topic).where(Event.run == asked.id)).all()
    assert topics == [row["topic"] for row in rows(database, "SELECT topic FROM events ORDER BY seq")] != []


@pytest.mark.anyio
async def test_nothing_can_be_written(database: LedgerDatabase, config: Path) -> None:
    with open_ledger(config) as ledger:
        ledger.add(Sensor(name="mine", state="active", since=0))
        with pytest.raises(DBAPIError, match=r"read-?only"):
            ledger.commit()
        ledger.rollback()
        with pytest.raises(DBAPIError, match=r"read-?only"):
            ledger.connection().execute(text("DELETE FROM sensors"))
    assert rows(database, "SELECT * FROM sensors") == []


@pytest.mark.anyio
async def test_the_readmes_lines_for_a_notebook_say_which_runs_failed(
    database: LedgerDatabase, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = wish(run_key="a.csv")
    await database.write(request_runs, asked)
    await database.write(commit_steps, step(asked, "failed", error="no map", ended_at=1_000_000))
    await database.write(request_runs, wish(run_key="b.csv"))
    monkeypatch.chdir(config.parent)
    exec(compile(block("test: notebook"), "README.md", "exec"), {})
    assert capsys.readouterr().out == f"1970-01-01 00:00:01+00:00 {asked.job} a.csv no map\n"


def test_where_there_is_no_database_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "sensord.yaml"
    path.write_text("database: sqlite:///none.db\njobs: {}\n", encoding="utf-8")
    with pytest.raises(DatabaseUnusable, match=r"none\.db yet: `sensord run` makes it"), open_ledger(path):
        pass
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "none.db").write_bytes(b"something else" * 100)
    with pytest.raises(DatabaseUnusable, match="not a database"), open_ledger(path):
        pass
    with pytest.raises(ConfigError, match="no such file"), open_ledger(tmp_path / "other.yaml"):
        pass


@pytest.mark.anyio
async def test_tables_of_another_version_are_refused(database_url: str, config: Path) -> None:
    async with open_database(database_url) as database:
        with database.engine.begin() as conn:
            conn.execute(text("UPDATE alembic_version SET version_num = '0001_first'"))
    said = "revision 0001_first, this program's of .*: `sensord run` upgrades"
    with pytest.raises(SchemaError, match=said), open_ledger(config):
        pass


def test_the_daemon_does_not_load_them() -> None:
    code = "import sys, sensord.daemon, sensord.web.api; print({'sqlmodel', 'sqlalchemy.orm'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "set()\n"
