"""A real Dagster in a virtual environment of its own, so that ours are not what makes it work, nor the other way.

Made on first use, in about half a minute, in `.venv-dagster` beside the sources; `SENSORD_DAGSTER_PYTHON` names
the interpreter of one that is there already.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

_CONSTRAINTS = Path(__file__).parent / "constraints.txt"
_ENVIRONMENT = Path(__file__).parents[2] / ".venv-dagster"


def dagster_python() -> Path:
    """The interpreter that has dagster, its web server and its PostgreSQL storage. Blocks while they are installed."""
    if there := os.environ.get("SENSORD_DAGSTER_PYTHON"):
        return Path(there)
    wanted, made = _CONSTRAINTS.read_text(), _ENVIRONMENT / "made-from.txt"
    python = _ENVIRONMENT / "bin" / "python"
    with Path(f"{_ENVIRONMENT}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != wanted:
            subprocess.run([sys.executable, "-m", "venv", "--clear", _ENVIRONMENT], check=True)
            install = [
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-c",
                str(_CONSTRAINTS),
            ]
            subprocess.run([*install, "dagster", "dagster-postgres", "dagster-webserver"], check=True)
            made.write_text(wanted)
    return python
