"""A file under checks, as the process that checks it is asked and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from rules.checks import read_checks
from sensord.checks.process import ask
from sensord.checks.settings import FORMATS

MIB = 1 << 20


def request(path: Path, *checks: Any, **more: Any) -> dict[str, Any]:
    asked = {
        "path": str(path),
        "format": FORMATS.get(path.suffix[1:], "csv"),
        "separator": ",",
        "checks": [asdict(check) for check in read_checks(list(checks))],
        "readable": "error",
        "accepted": {},
        "now": 0.0,
        "timeout": 60.0,
        "memory": 512 * MIB,
    }
    return asked | more


async def answered(path: Path, *checks: Any, **more: Any) -> dict[str, dict[str, Any]]:
    """What a process of its own found, by the check's name."""
    answer = await ask(request(path, *checks, **more))
    return {one["check"]: one for one in answer["results"]}
