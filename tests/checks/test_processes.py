"""The process that checks a file: limited in time and memory, ended with its group, and never the daemon's end."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import polars as pl
import psutil
import pytest

from sensord.checks.process import CheckingError
from tests.checks.kit import MIB, answered

CHECKS = ({"rows": {"min": 1}}, {"unique": "a"})


def children() -> list[str]:
    """The processes of checks that this process has."""
    return [one.name() for one in psutil.Process().children() if "sensord.checks.program" in " ".join(one.cmdline())]


async def test_ten_gigabytes_of_nothing_after_a_header_are_more_than_the_memory_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n")
    os.truncate(path, 10 << 30)
    with pytest.raises(CheckingError, match="takes more than 512 MiB of memory"):
        await answered(path, *CHECKS)
    path.write_bytes(b"")
    os.truncate(path, 10 << 30)
    told = await answered(path, *CHECKS)
    assert "first line is longer than 1 MiB" in told["readable"]["detail"]


async def test_a_page_that_unpacks_to_more_than_the_memory_is_a_failed_check(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": ["x" * (100 * MIB)]}).write_parquet(path, compression="zstd", statistics=False)
    assert path.stat().st_size < MIB
    with pytest.raises(CheckingError, match="takes more than 160 MiB of memory"):
        await answered(path, *CHECKS, memory=160 * MIB)


async def test_one_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CheckingError, match=r"takes longer than 0\.01s"):
        await answered(path, *CHECKS, timeout=0.01)
    assert not children()


async def test_one_that_nobody_waits_for_any_more_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n")
    os.truncate(path, 10 << 30)
    with anyio.move_on_after(0.1) as scope:
        await answered(path, *CHECKS, memory=16 << 30)
    assert scope.cancelled_caught
    assert not children()


async def test_a_name_that_is_not_utf_8_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.csv")
    path.write_text("a,b\n1,2\n")
    told = await answered(path, *CHECKS, {"new_content": True})
    assert all(one["passed"] for one in told.values())
    assert set(told) == {"readable", "new_content", "rows", "unique(a)"}
