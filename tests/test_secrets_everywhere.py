"""Secrets are planted in every field that takes one; everything is provoked, and all that came out is read."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.bench.figures import daemon
from tests.campaigns.killing import until

BIN = Path(sys.executable).parent
CANARIES = {
    "TELEGRAM_TOKEN": "777777:canary-of-telegram-in-the-url",
    "SLACK_BOT_TOKEN": "xoxb-canary-of-slack",
    "SLACK_APP_TOKEN": "xapp-canary-of-socket-mode",
    "SENSORD_TOKEN": "canary-of-the-api",
    "OPS_URL": "http://127.0.0.1:9/hooks/canary-of-the-address",
    "OPS_SECRET": "whsec_Y2FuYXJ5LW9mLXRoZS1zaWduYXR1cmU=",
    "OPS_HEADER": "canary-of-a-header",
    "UNRELATED_SECRET": "canary-of-the-daemons-environment",
}
FILED = "canary-of-a-secret-file"
CONFIG = """
http: {port: 0, token: "${SENSORD_TOKEN}"}
telegram: {token: "${TELEGRAM_TOKEN}", api_url: "http://127.0.0.1:9"}
slack: {token: "${SLACK_BOT_TOKEN}", app_token: "${SLACK_APP_TOKEN}", api_url: "http://127.0.0.1:9/api/"}
webhooks:
  ops:
    url: "${OPS_URL}"
    secret: "${OPS_SECRET}"
    headers: {X-Key: "${OPS_HEADER}", X-Other: "${file:secret.txt}"}
    allow_private: true
jobs:
  tell: {command: [sh, -c, 'env; cat /proc/$PPID/cmdline; exit 3']}
sensors:
  drop: {directory: {path: in, pattern: "*.csv"}, job: tell, run_key: "{{ file.name }}"}
owner: "telegram:1"
subscriptions:
  - {topic: "runs.>", to: "telegram:42"}
  - {topic: "runs.>", to: "slack:#alerts"}
  - {topic: "runs.>", to: "webhook:ops"}
  - {topic: "runs.>", to: "inbox:"}
log: {level: debug}
"""
COMMANDS = [
    ["check"],
    ["schema"],
    ["doctor"],
    ["doctor", "--json"],
    ["explain", "in/a.csv"],
    ["inbox"],
    ["publish", "no topic", "x"],
    *(
        [name, "list", "--json"]
        for name in ("sensors", "jobs", "runs", "events", "subscriptions", "deliveries", "keys")
    ),
    ["subscribe", "runs.>", "nowhere:1"],
    ["tick", "drop", "--json"],
]
PATHS = ["/", "/metrics", "/openapi.json", "/api/overview", "/api/nothing", "/api/jobs", "/readyz", "/healthz"]


def fetched(url: str, token: str) -> bytes:
    """An answer's headers and body, whatever its status."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.headers).encode() + bytes(answer.read())
    except urllib.error.HTTPError as error:
        return str(error.headers).encode() + error.read()


def command_lines() -> bytes:
    """What anybody on the machine can read of every process."""
    found = b""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                found += (folder / "cmdline").read_bytes() + b"\n"
    return found


def test_no_planted_secret_comes_out_anywhere(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text(f"{FILED}\n")
    (tmp_path / "sensord.yaml").write_text(CONFIG)
    env = {**os.environ, **CANARIES, "COLUMNS": "300"}
    said: dict[str, bytes] = {}
    with daemon(tmp_path, env=CANARIES) as (_, url):
        (tmp_path / "in" / "a.csv").write_text("x")
        token = CANARIES["SENSORD_TOKEN"]
        until(lambda: b"unreachable" in fetched(f"{url}/api/deliveries?status=pending", token), 30, "calls that fail")
        until(lambda: b"tell failed" in fetched(f"{url}/api/inbox", token), 30, "the run's end")
        for path in PATHS:
            said[path] = fetched(f"{url}{path}", token)
        said["/api/runs with a wrong token"] = fetched(f"{url}/api/runs", "wrong")
        said["the processes' command lines"] = command_lines()
        for words in COMMANDS:
            done = subprocess.run(
                [str(BIN / "sensord"), *words], cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False
            )
            said[" ".join(words)] = done.stdout + done.stderr
    (tmp_path / "sensord.yaml").write_text(CONFIG.replace("token:", "tokken:"))
    wrong = subprocess.run(
        [str(BIN / "sensord"), "check"], cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False
    )
    assert wrong.returncode == 2
    said["a wrong configuration"] = wrong.stdout + wrong.stderr
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "secret.txt":
            said[str(file.relative_to(tmp_path))] = file.read_bytes()
    assert b"SENSORD_RUN_ID" in b"".join(text for name, text in said.items() if name.endswith(".log"))
    secrets = {**CANARIES, "a file": FILED}
    leaks = [(name, of) for name, text in said.items() for of, secret in secrets.items() if secret.encode() in text]
    assert leaks == []
    assert len(said) > 30
