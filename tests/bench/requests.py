"""(g): 10,000 single RunRequests arriving concurrently, decided and durable, beside SQLModel's select-then-add.

Start it with `python -m tests.bench requests`. Both on SQLite, WAL, synchronous FULL, in fresh files.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

import anyio
from sqlalchemy import create_engine, event
from sqlmodel import Field, Session, SQLModel, select

from notifiers.clock import SYSTEM
from rules.request import Sensed
from rules.triggers import compile_rule
from sensord import interpreter
from sensord.ledger.database import open_database
from sensord.run_events import Hooks
from sensord.sensing import Sensing
from tests.bench.figures import bar

COUNT = 10_000
PEER_SECONDS = 1.5
ROUNDS = 5


class PeerRequest(SQLModel, table=True):
    """What a program that asks before it adds keeps of each request."""

    __tablename__ = "peer_requests"

    sensor: str = Field(primary_key=True)
    run_key: str = Field(primary_key=True)
    seen_at: float


def peer(folder: Path) -> float:
    """Requests per second of select-then-add, one transaction each, as long as the time allows."""
    engine = create_engine(f"sqlite:///{folder / 'peer.db'}")

    @event.listens_for(engine, "connect")
    def pragmas(connection: object, _record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]

    SQLModel.metadata.create_all(engine, tables=[PeerRequest.__table__])  # type: ignore[attr-defined]
    done, start = 0, time.perf_counter()
    while done < COUNT and time.perf_counter() - start < PEER_SECONDS:
        with Session(engine) as session:
            query = select(PeerRequest).where(PeerRequest.sensor == "drop", PeerRequest.run_key == f"{done}.csv")
            if session.exec(query).first() is None:
                session.add(PeerRequest(sensor="drop", run_key=f"{done}.csv", seen_at=time.time()))
                session.commit()
        done += 1
    rate = done / (time.perf_counter() - start)
    engine.dispose()
    return rate


def sensed(number: int) -> Sensed:
    """A file as the directory source says it."""
    name = f"houses-{number:05}.csv"
    context = {"file": {"name": name, "path": f"/srv/incoming/{name}", "size": 1200, "stem": name[:-4]}}
    return Sensed(subject=name, key=f"{name}@1200-{number}", at=SYSTEM.now(), context=context, mark=number)


async def product(folder: Path) -> float:
    """Requests per second of the daemon's own path: decided, claimed, queued with its event, durable."""
    claimed = 0

    def count(wishes: object) -> None:
        nonlocal claimed
        claimed += len(wishes)  # type: ignore[arg-type]

    rule = compile_rule(jobs=("load",), run_key="{{ file.name }}", run_config={"path": "{{ file.path }}"})
    async with open_database(f"sqlite:///{folder / 'product.db'}") as database:
        sensing = Sensing(
            "drop",
            rule,
            database=database,
            hooks={"load": Hooks()},
            clock=SYSTEM,
            claimed=count,
            published=lambda: None,
        )
        await sensing.open()
        things = [[sensed(number)] for number in range(COUNT)]
        start = time.perf_counter()
        await asyncio.gather(*[sensing(one) for one in things])
        rate = COUNT / (time.perf_counter() - start)
        assert claimed == COUNT
    return rate


def main() -> bool:
    """Print both rates and the bar."""
    interpreter.tune()  # As the daemon does; both profit.
    theirs, ours = [], []
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        for number in range(ROUNDS):  # In turn: a disk takes its time by turns.
            folder = Path(name) / str(number)
            folder.mkdir()
            theirs.append(peer(folder))
            ours.append(anyio.run(product, folder))
    print(f"{COUNT} single requests (requests/s), {ROUNDS} rounds in turn:")
    print("  select-then-add " + ", ".join(f"{rate:.0f}" for rate in theirs))
    print("  sensord " + ", ".join(f"{rate:.0f}" for rate in ours))
    return bar("rate over select-then-add's, medians", median(ours) / median(theirs), 10.0, at_least=True)
