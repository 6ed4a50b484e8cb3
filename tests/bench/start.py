"""(e): how long the command line and the daemon take to start.

`sensord --help` and `--version` beside `python -c "import typer"`, in turn, whole processes; then
`sensord run` until /readyz says so. Start it with `python -m tests.bench start`.
"""

from __future__ import annotations

import compileall
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import notifiers
import rules
import sensord
from tests.bench.figures import bar, daemon

ROUNDS = 15
SENSORD = [str(Path(sys.executable).with_name("sensord"))]
CONFIG = """
database: sqlite:///sensord.db
http: {port: 0}
telegram: {token: "1:not-a-real-token", api_url: "http://127.0.0.1:9"}
jobs: {job: {command: ["true"]}}
sensors: {drop: {directory: {path: in}, job: job}}
"""


def milliseconds(command: list[str]) -> float:
    """Wall time of one whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - start) * 1000


def ready_seconds() -> list[float]:
    """Seconds from start to ready, of a daemon whose database exists."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "sensord.yaml").write_text(CONFIG)
        found = []
        for _ in range(5):
            start = time.perf_counter()
            with daemon(folder):
                found.append(time.perf_counter() - start)
        print(f"sensord run: first start {found[0]:.2f} s, then {[round(one, 2) for one in found[1:]]}")
        return found


def main() -> bool:
    """Print the figures and the bars."""
    # As pip leaves them: where PYTHONDONTWRITEBYTECODE is set, an editable install is compiled anew at every start.
    for package in (notifiers, rules, sensord):
        compileall.compile_dir(next(iter(package.__path__)), quiet=1)
    commands = {
        "import typer": [sys.executable, "-c", "import typer"],
        "--help": [*SENSORD, "--help"],
        "--version": [*SENSORD, "--version"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            taken[name].append(milliseconds(command))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print("median wall ms: " + ", ".join(f"{name} {value:.1f}" for name, value in medians.items()))
    holds = [
        bar(f"{name} over import typer", medians[name] / medians["import typer"], 2.0)
        for name in ("--help", "--version")
    ]
    holds.append(bar("seconds until ready, slowest start", max(ready_seconds()), 1.5))
    return all(holds)
