"""(f): from an event's acceptance (the 202) to the request that leaves for an idle Telegram chat.

Start it with `python -m tests.bench telling`. The other end is the strict local double, in a process of its own:
it notes when each request arrived, so its own reading of the request is in the figure.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.figures import bar, daemon, summary, wait_for
from tests.doubles.telegram import TOKEN

CHATS = 60
FIRST, EVENTS = 3, 300
GAP = 0.045  # Within the bot's 30 messages a second, and each chat rests for 2.7 s between two of its own.

CONFIG = """
database: sqlite:///sensord.db
http: {{port: 0}}
telegram: {{token: "{token}", api_url: "{url}"}}
log: {{level: warning}}
subscriptions:
"""


def main() -> bool:
    """Print the figures and the bar."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        folder = Path(name)
        record = folder / "requests.jsonl"
        record.touch()
        command = [sys.executable, "-m", "tests.doubles.telegram", "--port", "0", "--record", str(record)]
        double = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert double.stdout is not None
            server = double.stdout.readline().split()[0]
            lines = [f'  - {{topic: "bench.t{chat}", to: "telegram:{1000 + chat}"}}' for chat in range(CHATS)]
            text = CONFIG.format(token=TOKEN, url=server) + "\n".join(lines)
            (folder / "sensord.yaml").write_text(text)
            with daemon(folder) as (_, url):
                # For the first message the library is loaded, beside everything else.
                first = publish(url, range(FIRST))
                wait_for(lambda: record.read_text().count("\n") >= FIRST)
                accepted = publish(url, range(FIRST, FIRST + EVENTS))
                wait_for(lambda: record.read_text().count("\n") >= FIRST + EVENTS)
        finally:
            double.terminate()
            double.wait()
        arrived = {}
        for line in record.read_text().splitlines():
            call = json.loads(line)
            number = call["text"].split("number ")[1].split()[0].strip(".")
            arrived[int(number)] = call["at"]
    loading = [(arrived[number] - at) * 1000 for number, at in first.items()]
    print(f"the first messages after the start, each (ms): {[round(one) for one in loading]}")
    taken = [(arrived[number] - at) * 1000 for number, at in accepted.items()]
    print(f"event accepted -> request at the chat's server (ms): {summary(taken)}")
    return bar("p99 ms", summary(taken)["p99"], 50.0)


def publish(url: str, numbers: range) -> dict[int, float]:
    """Publish the events one by one; when each was accepted (the monotonic clock, which processes share)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    accepted = {}
    for number in numbers:
        body = json.dumps({"topic": f"bench.t{number % CHATS}", "message": f"number {number}."})
        connection.request("POST", "/api/events", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        accepted[number] = time.monotonic()
        assert answer.status == 202, answer.status
        time.sleep(GAP)
    connection.close()
    return accepted
