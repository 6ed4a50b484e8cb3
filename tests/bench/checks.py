"""What checking a file costs, next to the bare library doing the same in the same minutes.

    python -m tests.bench checks [--rows 1000000] [--rounds 7]

A CSV with eight checks: from before the process is started to its results, ours and a script's that calls polars
directly. Rounds alternate, so that both see the same machine; medians are compared. The bar: at most twice.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from msgspec.structs import asdict

from rules.checks import read_checks
from sensord.checks.process import ask
from tests.bench.figures import bar

CHECKS: list[Any] = [
    {"rows": {"min": 1, "max": 10_000_000}},
    {"columns": ["id", "name", "city", "traffic", "price", "code"]},
    {"nulls": "name"},
    {"range": {"column": "traffic", "min": 0, "max": 1000}},
    {"range": {"column": "price", "min": 0}},
    {"values": {"column": "city", "among": ["Porto", "Lisbon", "Faro"]}},
    {"pattern": {"column": "code", "matches": "[A-Z]{2}[0-9]{4}"}},
    {"unique": "id"},
]
BARE = """
import sys
import polars as pl

frame = pl.scan_csv(sys.argv[1])
assert frame.collect_schema().names() == ["id", "name", "city", "traffic", "price", "code"]
found = frame.select(
    pl.len().alias("rows"),
    pl.col("name").null_count().alias("nulls"),
    (~pl.col("traffic").is_between(0, 1000)).sum().alias("traffic"),
    (pl.col("price") < 0).sum().alias("price"),
    (~pl.col("city").is_in(["Porto", "Lisbon", "Faro"])).sum().alias("city"),
    (~pl.col("code").str.contains("^[A-Z]{2}[0-9]{4}$")).sum().alias("code"),
    pl.col("id").n_unique().alias("distinct"),
).collect(engine="streaming").row(0)
assert found == (int(sys.argv[2]), 0, 0, 0, 0, 0, int(sys.argv[2])), found
"""
WRITE = """
import sys
import polars as pl

rows = pl.int_range(0, int(sys.argv[2]), eager=True)
pl.select(
    id=rows,
    name=pl.format("house {}", rows % 1000),
    city=pl.Series(["Porto", "Lisbon", "Faro"]).gather(rows % 3),
    traffic=rows % 977,
    price=rows * 0.5,
    code=pl.format("AB{}", rows % 9000 + 1000),
).write_csv(sys.argv[1])
"""


def bare(path: Path, rows: int) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", BARE, path, str(rows)], check=True)
    return time.perf_counter() - begin


async def ours(path: Path) -> float:
    checks = [asdict(check) for check in read_checks(CHECKS)]
    request = {"path": str(path), "format": "csv", "separator": ",", "checks": checks, "readable": "error"}
    limits = {"accepted": {}, "now": 0.0, "timeout": 300.0, "memory": 1 << 30}
    begin = time.perf_counter()
    answer = await ask({**request, **limits})
    took = time.perf_counter() - begin
    assert len(answer["results"]) == len(CHECKS) + 1
    assert all(one["passed"] for one in answer["results"]), answer
    return took


def main(rows: int = 1_000_000, rounds: int = 7) -> bool:
    """Print both, and whether the bar holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "houses.csv"
        subprocess.run([sys.executable, "-c", WRITE, path, str(rows)], check=True)
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB of CSV, {len(CHECKS)} checks, {os.cpu_count()} cores")
        raw, checked = [], []
        for _ in range(rounds):
            raw.append(bare(path, rows))
            checked.append(anyio.run(ours, path))
    limit, got = statistics.median(raw), statistics.median(checked)
    print(f"median of {rounds}: bare polars {limit:.3f} s, ours {got:.3f} s, from process start to results")
    return bar("times the bare library", got / limit, 2.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    sys.exit(0 if main(given.rows, given.rounds) else 1)
