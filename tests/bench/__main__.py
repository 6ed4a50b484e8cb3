"""`python -m tests.bench [NAME …]`: every benchmark, or those named; exit 1 where a bar fails.

`dagster` and `launchers`, which install a real one to measure beside it, run only when they are named.
"""

from __future__ import annotations

import importlib
import platform
import sys

NAMES = (
    "burst",
    "chain",
    "idle",
    "start",
    "requests",
    "lineage",
    "bus",
    "keys",
    "s3",
    "telling",
    "scan",
    "sensors",
    "spawn",
    "matching",
    "python",
    "checks",
    "scheduler",
    "dead",
    "hooks",
)


def main() -> int:
    """Run them one after another."""
    names = sys.argv[1:] or list(NAMES)
    print(f"Python {platform.python_version()}, {platform.platform()}")
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        if importlib.import_module(f"tests.bench.{name}").main() is False:
            failed.append(name)
    print(f"\nbars that fail: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
