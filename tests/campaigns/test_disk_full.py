"""A disk that fills up while the daemon works, and has room again: nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.figures import daemon
from tests.campaigns.killing import until
from tests.conftest import in_ci

CONFIG = """
database: sqlite:///{small}/sensord.db
state: {small}/state
http: {{port: 0}}
jobs: {{note: {{command: [sh, -c, 'echo "$1" >> "$0"', "{effects}", "{{{{ run.config.name }}}}"]}}}}
sensors:
  drop:
    directory: {{path: in, pattern: "*.csv"}}
    job: note
    run_key: "{{{{ file.name }}}}"
    run_config: {{name: "{{{{ file.name }}}}"}}
log: {{level: warning}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        if in_ci() and os.getuid() == 0 and b"permission" not in done.stderr:
            pytest.fail(f"no small file system can be mounted: {done.stderr.decode()}")
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def get(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def publish(url: str, message: str) -> bool:
    """Whether an event was acknowledged."""
    body = json.dumps({"topic": "disk.test", "message": message}).encode()
    request = urllib.request.Request(f"{url}/api/events", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=4) as answer:
            return bool(answer.status == 202)
    except (urllib.error.URLError, TimeoutError):
        return False


def test_a_full_disk_holds_everything_up_and_loses_nothing(tmp_path: Path, small: Path) -> None:
    effects, folder = tmp_path / "effects", tmp_path / "in"
    effects.touch()
    folder.mkdir()
    (tmp_path / "sensord.yaml").write_text(CONFIG.format(small=small, effects=effects))
    # The note of where the daemon is, where the helper that starts it looks.
    (tmp_path / ".sensord").symlink_to(small / "state")
    with daemon(tmp_path) as (_, url):
        (folder / "before.csv").write_text("x")
        until(lambda: "before.csv" in effects.read_text(), 20, "the first run")
        ballast = small / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        names = [f"during-{number}.csv" for number in range(20)]
        for name in names:
            (folder / name).write_text("x")
        acknowledged = [f"event {number}" for number in range(3) if publish(url, f"event {number}")]
        until(lambda: get(f"{url}/readyz")[0] == 503, 20, "the trouble is told")
        ballast.unlink()
        until(lambda: get(f"{url}/readyz")[0] == 200, 20, "all is well again")
        (folder / "after.csv").write_text("x")
        wanted = sorted(["before.csv", *names, "after.csv"])
        until(lambda: sorted(effects.read_text().split()) == wanted, 40, "every file was run once")
        assert publish(url, "after")
        told = {one["message"] for one in get(f"{url}/api/events?topic=disk.test")[1]["items"]}
        assert {*acknowledged, "after"} <= told
        until(lambda: len(get(f"{url}/api/runs?status=succeeded")[1]["items"]) == len(wanted), 20, "every end recorded")
