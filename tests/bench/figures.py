"""Percentiles and rows of figures, and the daemon as a process that a benchmark measures."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear interpolation between the two nearest of the sorted values."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summary(values: Sequence[float]) -> dict[str, float]:
    """n, p50, p99 and max, rounded to microseconds where the values are milliseconds."""
    return {
        "n": len(values),
        "p50": round(percentile(values, 50), 3),
        "p99": round(percentile(values, 99), 3),
        "max": round(max(values), 3),
        "mean": round(statistics.fmean(values), 3),
    }


def bar(name: str, figure: float, limit: float, *, at_least: bool = False) -> bool:
    """Print one bar with its verdict; True where it holds."""
    holds = figure >= limit if at_least else figure <= limit
    sign = ">=" if at_least else "<="
    print(f"  {'holds ' if holds else 'FAILS '} {name}: {figure:.3f} (bar: {sign} {limit:.3f})", flush=True)
    return holds


# python-telegram-bot and httpx load these two where they are there. moto, which the tests need, brings them: 10 MB that
# who installs sensord does not have.
_PLAIN = """
import sys
sys.modules.update(dict.fromkeys(("cryptography", "click")))
from sensord.__main__ import main
main()
"""


@contextlib.contextmanager
def daemon(folder: Path, *, env: dict[str, str] | None = None) -> Iterator[tuple[int, str]]:
    """`sensord run` on `folder/sensord.yaml` until the block ends: its pid and URL, once it is ready."""
    command = [sys.executable, "-c", _PLAIN, "-c", str(folder / "sensord.yaml"), "run"]
    output = (folder / "daemon.log").open("wb")
    process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env={**os.environ, **(env or {})})
    try:
        url = wait_ready(folder, process)
        yield process.pid, url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            output.close()


def wait_ready(folder: Path, process: subprocess.Popen[bytes], seconds: float = 20) -> str:
    """Wait until the daemon's /readyz answers 200; its URL."""
    deadline = time.monotonic() + seconds
    note = folder / ".sensord" / "daemon.json"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the daemon ended with {process.returncode}:\n{(folder / 'daemon.log').read_text()}")
        with contextlib.suppress(OSError, ValueError):
            said = json.loads(note.read_text())
            if said["pid"] == process.pid:
                with urllib.request.urlopen(f"{said['url']}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return str(said["url"])
        time.sleep(0.005)
    raise RuntimeError("the daemon was not ready in time")


def get(url: str, path: str) -> Any:
    """A JSON answer of the daemon."""
    with urllib.request.urlopen(f"{url}{path}", timeout=30) as answer:
        return json.loads(answer.read())


def wait_for(condition: Any, seconds: float = 120, *, pause: float = 0.02) -> None:
    """Poll a condition of the outside world."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come true in time")
        time.sleep(pause)


def process_seconds(pid: int) -> float:
    """User and system processor time of one process."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of one process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)
