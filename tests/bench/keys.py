"""run_keys by the million: what a new one costs among them, and what it costs to forget them.

    python -m tests.bench.keys [--keys 10000000] [--forget 1000000]

New keys are decided one by one (as files that come now and then) and a thousand at once. Of these the table of keys is
asked in one step; they are decided when their rule was applied and it has said of each whether it is new, and durable
with all that follows: the runs, their events, what is kept of the tick. While old keys are forgotten, a tick of one new
key goes on and on: what it waits for is what a sensor would wait for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import anyio
from sqlalchemy import Connection

from notifiers.clock import SYSTEM
from rules.request import Sensed
from rules.triggers import compile_rule
from sensord import interpreter
from sensord.ledger import requests
from sensord.ledger.database import LedgerDatabase, open_database
from sensord.ledger.keys import Expiry, Key, claim_keys, expire_keys
from sensord.ledger.wishes import NewRun
from sensord.run_events import Hooks
from sensord.sensing import Sensing
from tests.bench.figures import bar, summary

FILL = """
WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})
INSERT INTO run_keys (sensor, job, run_key, run, claimed_at)
SELECT 'drop', 'load', printf('known-%09d.csv', i), printf('%032x', i), i FROM n
"""


def sensed(name: str) -> Sensed:
    """A file as the directory source says it."""
    return Sensed(subject=name, key=f"{name}@1", at=SYSTEM.now(), context={"file": {"name": name}})


async def decided_at(sensing: Sensing, number: int) -> tuple[float, float, float]:
    """Milliseconds that the table of keys takes, until a thousand new keys are decided, and until they are durable."""
    things, asked, claimed = [sensed(f"b{number}-{one}.csv") for one in range(1000)], 0.0, 0.0

    def noted(conn: Connection, wishes: Sequence[NewRun]) -> dict[str, str]:
        nonlocal asked, claimed
        asked = time.perf_counter()
        held = claim_keys(conn, wishes)
        claimed = time.perf_counter()
        return held

    with patch.object(requests, "claim_keys", noted):
        start = time.perf_counter()
        await sensing(things)
        return (claimed - asked) * 1000, (claimed - start) * 1000, (time.perf_counter() - start) * 1000


async def milliseconds(sensing: Sensing, *names: str) -> float:
    """From the look to the commit."""
    things = [sensed(name) for name in names]
    start = time.perf_counter()
    await sensing(things)
    return (time.perf_counter() - start) * 1000


async def forget(database: LedgerDatabase, count: int) -> float:
    """Seconds to forget the oldest of them."""
    after: Key | None = None
    start, gone = time.perf_counter(), 0
    while gone < count:
        ((less, after),) = await database.write_many(expire_keys, [Expiry(before=count, sensor="drop", after=after)])
        gone += less
        if after is None:
            break
    assert gone == count, f"{gone} of {count} keys were forgotten"
    return time.perf_counter() - start


async def measure(folder: Path, keys: int, old: int) -> bool:
    """Print the figures and the bars."""
    rule = compile_rule(jobs=("load",), run_key="{{ file.name }}")
    async with open_database(f"sqlite:///{folder / 'keys.db'}") as database:
        with database.engine.connect() as conn:
            conn.exec_driver_sql(FILL.format(count=keys))
            conn.commit()
        sensing = Sensing(
            "drop",
            rule,
            database=database,
            hooks={"load": Hooks()},
            clock=SYSTEM,
            claimed=lambda _: None,
            published=lambda: None,
        )
        await sensing.open()
        single = [await milliseconds(sensing, f"new-{number}.csv") for number in range(1000)]
        batches = [await decided_at(sensing, number) for number in range(100)]
        table, decided, durable = (summary(list(some)) for some in zip(*batches, strict=True))
        again = await milliseconds(sensing, *[f"known-{number * 37:09}.csv" for number in range(1000)])
        print(f"  1,000 new keys one by one (ms each): {summary(single)}")
        print(f"  1,000 new keys at once, the table of keys alone (ms for all): {table}")
        print(f"  the same, decided: {decided}")
        print(f"  the same, durable: {durable}; 1,000 known ones: {again:.1f}")
        holds = [
            bar(f"a new key among {keys:,}, durable, p99 ms", summary(single)["p99"], 50.0),
            bar(f"1,000 new keys at once among {keys:,}, the table of keys alone, p99 ms", table["p99"], 20.0),
            bar(f"1,000 new keys at once among {keys:,}, decided, p99 ms", decided["p99"], 50.0),
        ]
        waits: list[float] = []
        took = 0.0

        async def go_on() -> None:
            while not took:
                waits.append(await milliseconds(sensing, f"meanwhile-{len(waits)}.csv"))

        async with anyio.create_task_group() as group:
            group.start_soon(go_on)
            took = await forget(database, old)
        print(f"  ticks while {old:,} keys are forgotten (ms each): {summary(waits)}")
        holds.append(bar(f"seconds to forget {old:,} keys", took, 10.0))
        holds.append(bar("longest tick meanwhile, ms", max(waits), 100.0))
    return all(holds)


def main(keys: int = 1_000_000, old: int = 200_000) -> bool:
    """Print the figures; a tenth of the keys unless asked for all."""
    interpreter.tune()
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        return anyio.run(measure, Path(name), keys, old)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--forget", type=int, default=1_000_000)
    given = parser.parse_args()
    main(given.keys, given.forget)
