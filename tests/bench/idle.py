"""(d): memory and processor time of an idle daemon: with a directory sensor and Telegram, and with 1,000 sensors.

Start it with `python -m tests.bench idle`. The figures are of the daemon's own process; the supervisor, which
lives while jobs run, is named beside it.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from tests.bench.figures import bar, daemon, process_seconds, resident_mb

IDLE_SECONDS = 60.0
SETTLE_SECONDS = 20.0  # A thousand sensors take a while to look for the first time.

HEAD = """
database: sqlite:///sensord.db
http: {port: 0}
telegram: {token: "1:not-a-real-token", api_url: "http://127.0.0.1:9"}
jobs: {job: {command: ["true"]}}
log: {level: warning}
subscriptions: [{topic: "runs.>", to: "telegram:42"}]
sensors:
"""


def measure(sensors: int, seconds: float) -> tuple[float, float]:
    """Resident megabytes and the share of one core that an idle daemon takes."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        folder = Path(name)
        text = HEAD
        for number in range(sensors):
            (folder / f"in{number}").mkdir()
            text += f'  s{number}: {{directory: {{path: in{number}, pattern: "*.csv"}}, job: job}}\n'
        (folder / "sensord.yaml").write_text(text)
        with daemon(folder):
            pass  # The database is made and upgraded in a life of its own, as on every start but the first.
        with daemon(folder) as (pid, _):
            time.sleep(SETTLE_SECONDS)
            before, start = process_seconds(pid), time.monotonic()
            time.sleep(seconds)
            share = (process_seconds(pid) - before) / (time.monotonic() - start)
            return resident_mb(pid), share


def main() -> bool:
    """Print the figures and the bars."""
    seconds = float(os.environ.get("IDLE_SECONDS", IDLE_SECONDS))
    holds = []
    for sensors, limit in ((1, 100.0), (1000, 200.0)):
        megabytes, share = measure(sensors, seconds)
        print(f"{sensors} directory sensor(s), Telegram configured: {megabytes:.1f} MB, {share * 100:.3f} % of a core")
        holds.append(bar("resident MB", megabytes, limit))
        holds.append(bar("% of a core, idle", share * 100, 0.2))
    return all(holds)
