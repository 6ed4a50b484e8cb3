"""A project with a job of daily partitions, for tests that type commands and kill daemons."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cli.project import Project

CONFIG = """
http: {port: 0, token: "${SENSORD_TOKEN}"}
jobs:
  load:
    command: [sh, -c, 'echo "$SENSORD_PARTITION_KEY" >> ran; exec {{ run.config.do }}']
    partitions: {every: daily, start: 2024-01-01}
    config_schema: {type: object, properties: {do: {type: string}, n: {type: integer}}}
  plain:
    command: ["true"]
"""


@contextmanager
def opened(folder: Path) -> Iterator[Project]:
    """A project that is stopped at the end; its daemon is started by whoever wants one."""
    one = Project(folder)
    (folder / "sensord.yaml").write_text(CONFIG)
    try:
        yield one
    finally:
        one.stop()


def begin(project: Project, first: str, last: str, do: str = "true", **body: Any) -> str:
    """A backfill, asked for over HTTP: its id."""
    url = json.loads((project.folder / ".sensord" / "daemon.json").read_text())["url"]
    headers = {"Authorization": f"Bearer {project.env['SENSORD_TOKEN']}", "Content-Type": "application/json"}
    data = json.dumps({"from": first, "to": last, "run_config": {"do": do}, **body}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/jobs/load/backfills", data, headers)) as answer:
        return str(json.loads(answer.read())["id"])


def state(project: Project, backfill: str) -> Any:
    return project.get(f"/api/backfills/{backfill}")


def ended(project: Project, backfill: str) -> Any:
    """The backfill once it has ended."""
    return project.until(lambda: found if (found := state(project, backfill))["ended_at"] else None)


def ran(project: Project) -> list[str]:
    """The partitions whose jobs began, in that order."""
    path = project.folder / "ran"
    return path.read_text().splitlines() if path.exists() else []
