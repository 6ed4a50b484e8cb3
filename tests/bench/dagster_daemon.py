"""`dagster dev` as a benchmark measures it: with the tutorial's directory sensor, and what it records of its ticks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.dagster.environment import dagster_python

DEFINITIONS = """
import os, time
from dagster import Config, DefaultSensorStatus, Definitions, RunConfig, RunRequest
from dagster import in_process_executor, job, op, sensor

MY_DIRECTORY, OUT = os.environ["IN"], os.environ["OUT"]

class FileConfig(Config):
    filename: str

@op
def process_file(config: FileConfig):
    now = time.time()
    with open(os.path.join(OUT, config.filename), "w") as out:
        out.write(str(now))

@job(executor_def=in_process_executor)
def log_file_job():
    process_file()

@sensor(job=log_file_job, default_status=DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def my_directory_sensor():
    for filename in os.listdir(MY_DIRECTORY):
        if os.path.isfile(os.path.join(MY_DIRECTORY, filename)):
            config = RunConfig(ops={"process_file": FileConfig(filename=filename)})
            yield RunRequest(run_key=filename, run_config=config)

defs = Definitions(jobs=[log_file_job], sensors=[my_directory_sensor])
"""
INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""


class Dagster:
    """`dagster dev` on a home of its own: web server, daemon and code server."""

    def __init__(self, folder: Path, watched: Path) -> None:
        self.home, self.out = folder / "home", folder / "out"
        for path in (self.home, self.out):
            path.mkdir(parents=True)
        (self.home / "dagster.yaml").write_text(INSTANCE)
        (folder / "definitions.py").write_text(DEFINITIONS)
        self._folder = folder
        self._env = {**os.environ, "DAGSTER_HOME": str(self.home), "IN": str(watched), "OUT": str(self.out)}

    @contextlib.contextmanager
    def running(self) -> Iterator[psutil.Process]:
        """Until the block ends."""
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        command = [str(dagster_python().with_name("dagster")), "dev", "-f", "definitions.py", "-p", str(port)]
        with (self._folder / "dev.log").open("ab") as log:
            process = psutil.Popen(
                command, cwd=self._folder, env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield process
        finally:
            family = [process, *process.children(recursive=True)]
            os.killpg(process.pid, signal.SIGINT)
            for one in psutil.wait_procs(family, 15)[1]:
                one.kill()
            process.wait()

    def ticks(self) -> list[tuple[float, float]]:
        """Start and end of every tick that ended."""
        bodies = [json.loads(body) for (body,) in rows(self.home / "schedules/schedules.db", _TICKS)]
        return sorted((one["timestamp"], one["end_timestamp"]) for one in bodies if one.get("end_timestamp"))

    def started(self) -> dict[str, float]:
        """When the run of each run_key started, as Dagster recorded it."""
        return {key: at for key, at in rows(self.home / "history/runs.db", _STARTED) if at is not None}

    def remember(self, names: list[str]) -> None:
        """Have these run_keys known, by copying its one finished run: to make 10,000 of them takes Dagster hours."""
        with contextlib.closing(sqlite3.connect(self.home / "history/runs.db")) as runs:
            runs.row_factory = sqlite3.Row
            run = dict(runs.execute("SELECT * FROM runs").fetchone())
            tags = [dict(row) for row in runs.execute("SELECT * FROM run_tags WHERE run_id = ?", (run["run_id"],))]
            (known,) = (tag["value"] for tag in tags if tag["key"] == "dagster/run_key")
            for name in names:
                new = str(uuid.uuid4())
                body = run["run_body"].replace(run["run_id"], new).replace(known, name)
                _insert(runs, "runs", run | {"id": None, "run_id": new, "run_body": body})
                for tag in tags:
                    _insert(
                        runs, "run_tags", tag | {"id": None, "run_id": new, "value": tag["value"].replace(known, name)}
                    )
            runs.commit()


_TICKS = "SELECT tick_body FROM job_ticks"
_STARTED = """
SELECT run_tags.value, runs.start_time FROM runs JOIN run_tags ON run_tags.run_id = runs.run_id
WHERE run_tags.key = 'dagster/run_key'
"""


def rows(path: Path, query: str) -> list[Any]:
    """What a query of an SQLite file gives; nothing while the file or its tables are still being made."""
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        try:
            return database.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # It is still being made.
                return []
            raise


def _insert(database: sqlite3.Connection, name: str, row: dict[str, Any]) -> None:
    holders = ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({holders})", list(row.values()))
