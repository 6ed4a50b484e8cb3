"""A project's folder, in which commands are typed as a person types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
SECRET = "planted-secret-value"
CONFIG = """
http: {port: 0, token: "${SENSORD_TOKEN}"}
jobs:
  count:
    command: [sh, -c, 'echo "counting $0"; echo "not well" >&2; exit "$1"',
              "{{ run.config.path }}", "{{ run.config.code }}"]
    config_schema: {type: object, properties: {path: {type: string}, code: {type: integer}}, required: [path, code]}
sensors:
  drop:
    directory: {path: in, pattern: "*.csv"}
    job: count
    run_key: "{{ file.name }}"
    run_config: {path: "{{ file.path }}", code: 0}
subscriptions:
  - {topic: "runs.*.failed", to: "inbox:"}
"""


class Project:
    """A folder with a configuration, in which commands are typed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "in").mkdir()
        (folder / "sensord.yaml").write_text(CONFIG)
        self.env = {**os.environ, "SENSORD_TOKEN": SECRET, "COLUMNS": "300"}
        self.daemon: subprocess.Popen[bytes] | None = None

    def sensord(self, *words: str | bytes, code: int = 0, folder: Path | None = None) -> str:
        """What a command prints; on standard error as well where it ends with another code than 0."""
        done = subprocess.run(
            [BIN / "sensord", *words],
            cwd=folder or self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert self.env["SENSORD_TOKEN"] not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + (done.stderr if code else "")

    def json(self, *words: str) -> Any:
        return json.loads(self.sensord(*words, "--json"))

    def get(self, path: str) -> Any:
        """What the daemon's API answers: quicker than a command, to wait for something."""
        url = json.loads((self.folder / ".sensord" / "daemon.json").read_text())["url"]
        asked = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {self.env['SENSORD_TOKEN']}"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.loads(answer.read())

    def start(self) -> None:
        with (self.folder / "daemon.log").open("ab") as log:
            command = [str(BIN / "sensord"), "run"]
            self.daemon = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log)
        self.until(self._noted)

    def _noted(self) -> bool:
        """Whether the note is of the daemon that was started last; a killed one leaves its own behind."""
        note = self.folder / ".sensord" / "daemon.json"
        assert self.daemon is not None
        return note.exists() and json.loads(note.read_text())["pid"] == self.daemon.pid

    def until(self, condition: Any, seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            log = self.folder / "daemon.log"
            assert time.monotonic() < deadline, log.read_text() if log.exists() else "no daemon"
            time.sleep(0.02)
        return found

    def stop(self) -> None:
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            assert self.daemon.wait(20) == 0
