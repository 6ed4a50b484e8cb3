"""What tests of Python jobs share: a module of jobs in a folder, and its launchers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from notifiers.clock import SYSTEM
from sensord.config import load
from sensord.launchers import Launcher, Outcome, Run
from sensord.launchers.command import Commands, open_commands
from sensord.launchers.command_log import read_log
from sensord.launching import open_launchers
from tests.launchers.command_kit import new_run

JOBS = """
import asyncio, os, sys, time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

@dataclass
class Rows:
    rows: int
    day: date

def plain(): return 3
def rows() -> Rows: return Rows(4, date(2026, 1, 2))
def much(): return "x" * 1_000_000
def nan(): return {"a": float("nan")}
async def later(seconds: float = 0.0):
    await asyncio.sleep(seconds)
    return {"later": True}
def fails(what: str = "no rows"):
    raise ValueError(what)
def leaves(code: int): sys.exit(code)
def dies(): os.kill(os.getpid(), 9)
def whoami():
    env = {"run": os.environ["SENSORD_RUN_ID"], "env": os.environ.get("REGION")}
    waits = [name for name in os.environ if "PYTHON" in name]
    return env | {"pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "session": os.getsid(0),
                  "cwd": os.getcwd(), "argv": sys.argv, "waits": waits}
def report():
    with open(os.environ["SENSORD_REPORT"], "a") as file:
        print('{"check": "no_nulls", "passed": false, "severity": "block"}', file=file)

def note(log, text):
    with open(log, "a") as file: print(text, file=file)

@contextmanager
def noted(log: str):
    note(log, "open")
    try:
        yield "cluster"
    finally:
        note(log, "closed")

class Client:
    def __init__(self, log): self.log = log
    def close(self): note(self.log, "client closed")

def generated(log):
    yield "generated"
    note(log, "generator closed")

def uses(cluster, client, third, how: str, log: str):
    assert (cluster, type(client), third) == ("cluster", Client, "generated")
    note(log, how)
    if how == "raise": raise RuntimeError("oh no")
    while how == "wait": time.sleep(0.01)
    return {"done": True}
"""
TYPED = """
from datetime import date
from pathlib import Path
from pydantic import BaseModel, Field

class Area(BaseModel):
    name: str
    size: int = Field(ge=0)

def load(path: Path, day: date, area: Area, limit: int = 10, **more):
    assert isinstance(path, Path) and isinstance(day, date) and isinstance(area, Area)
    print("loading", path.name, more)
    return {"name": path.name, "year": day.year, "size": area.size + limit, "more": sorted(more)}

def model(): return Area(name="a", size=1)
"""


@asynccontextmanager
async def jobs(folder: Path, **written: dict[str, Any]) -> AsyncIterator[tuple[dict[str, Launcher], Commands]]:
    """Launchers of these jobs, by name, whose modules `work` and `typed` are in the folder."""
    if not (folder / "work.py").exists():
        (folder / "work.py").write_text(JOBS)
        (folder / "typed.py").write_text(TYPED)
    (folder / "sensord.yaml").write_text(json.dumps({"jobs": written}))
    loaded = load(folder / "sensord.yaml", {})
    loaded.state.mkdir(exist_ok=True)
    async with (
        open_commands(loaded.state, clock=SYSTEM, linger=0.2) as commands,
        open_launchers(loaded, commands, clock=SYSTEM) as launchers,
    ):
        yield launchers, commands


async def ended(launcher: Launcher, run: Run | None = None, **config: Any) -> Outcome:
    with anyio.fail_after(30):
        return await launcher.launch(run or new_run(**config), lambda _at: None)


def log_of(launcher: Launcher, run: Run) -> str:
    path = launcher.log(run.id, run.attempt, run.requested_at)
    assert path is not None
    return b"".join(read_log(path)).decode()


def children(pid: int) -> list[int]:
    """The processes whose parent that is, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            fields: Sequence[str] = text[text.rindex(")") + 2 :].split()
            if int(fields[1]) == pid and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found
