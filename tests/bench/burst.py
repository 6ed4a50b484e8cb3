"""A burst of 500 failures to one group: the first alert, the messages in the first minute, and whether all are there.

Start it with `python -m tests.bench burst`; it takes 70 seconds. The other end is the strict local double in a process
of its own, which refuses what is more than Telegram takes, and notes when each request arrived.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.bench.figures import bar, daemon
from tests.doubles.telegram import TOKEN

FAILURES = 500
BATCH = 50
SECONDS = 70.0  # The second digest, were there one, comes 65 seconds after the first failure.

CONFIG = """
database: sqlite:///sensord.db
http: {{port: 0}}
telegram: {{token: "{token}", api_url: "{url}", commands: false}}
log: {{level: warning}}
subscriptions:
  - {{topic: "bench.>", to: "telegram:-1001000000001"}}
"""


def main() -> bool:
    """Print the figures and the bars."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        folder = Path(name)
        record = folder / "requests.jsonl"
        record.touch()
        command = [sys.executable, "-m", "tests.doubles.telegram", "--port", "0", "--record", str(record)]
        double = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert double.stdout is not None
            (folder / "sensord.yaml").write_text(CONFIG.format(token=TOKEN, url=double.stdout.readline().split()[0]))
            with daemon(folder) as (_, url):
                begin = time.monotonic()
                for start in range(0, FAILURES, BATCH):
                    publish(url, start)
                published = time.monotonic() - begin
                time.sleep(SECONDS)
                delivered = count(url)
        finally:
            double.terminate()
            double.wait()
        calls = [json.loads(line) for line in record.read_text().splitlines()]
    first = calls[0]["at"] - begin
    early = [call for call in calls if call["at"] - begin < 60]
    times = [round(call["at"] - begin, 1) for call in calls]
    print(f"{FAILURES} failures published in {published:.2f} s; calls after (s): {times}")
    refused = sum(call["status"] != 200 for call in calls)
    held = [bar("first alert, s", first, 2.0), bar("messages in the first minute", len(early), 6)]
    held.append(bar("refused calls", refused, 0))
    held.append(bar("failures without a delivery that ended well", FAILURES - delivered, 0))
    return all(held)


def publish(url: str, start: int) -> None:
    """Publish a batch of failures."""
    batch = [
        {"topic": f"bench.load{number % 7}.failed", "message": f"failure {number}", "severity": "error"}
        for number in range(start, start + BATCH)
    ]
    body = json.dumps(batch).encode()
    request = urllib.request.Request(f"{url}/api/events", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202


def count(url: str) -> int:
    """How many deliveries of the failures are delivered."""
    with urllib.request.urlopen(f"{url}/api/deliveries?status=delivered&limit=1000", timeout=30) as answer:
        items: list[dict[str, Any]] = json.loads(answer.read())["items"]
    return sum(one["subscription"] != "digest" for one in items)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
