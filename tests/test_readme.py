"""The README's blocks are run as they stand there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sensord.config import load

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def block(name: str) -> str:
    """The fenced block behind `<!-- name -->`."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"the README has no block {name!r}"
    return found[1]


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENSORD")}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "SENSORD_SPOOL": str(folder / "spool"), "COLUMNS": "200"}


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
    return found


def answered(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())
    except OSError:
        return None


class Reader:
    """A person who types the README's lines, and waits until a thing is there before going on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = environment(folder)
        self.daemon: subprocess.Popen[bytes] | None = None
        self.said: dict[str, str] = {}

    def types(self, line: str) -> None:
        command = line.partition(" #")[0].strip()
        if command.endswith("&"):
            with (self.folder / "daemon.log").open("wb") as log:
                words = command.rstrip("& ").split()
                self.daemon = subprocess.Popen(words, cwd=self.folder, env=self.env, stdout=log, stderr=log)
            until(lambda: answered("http://127.0.0.1:8300/readyz"))
            return
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{command}; pwd >&2"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        self.folder = Path(done.stderr.strip().splitlines()[-1])
        self.said[command] = done.stdout
        if "incoming/" in command and ">" in command:
            until(lambda: answered("http://127.0.0.1:8300/api/runs?status=succeeded")["items"])
            until(lambda: answered("http://127.0.0.1:8300/api/inbox")["items"])


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    one = Reader(tmp_path)
    yield one
    if one.daemon is not None:
        one.daemon.terminate()
        assert one.daemon.wait(20) == 0


def test_the_commands_do_what_is_said_of_them_and_a_program_can_submit(reader: Reader) -> None:
    for line in block("test: commands").splitlines():
        reader.types(line)
    said = {command.split()[1]: text for command, text in reader.said.items() if command.startswith("sensord ")}
    assert "succeeded" in said["runs"]
    assert "check_csv succeeded" in said["inbox"]
    assert "sensed by incoming_csv" in said["explain"]
    assert "delivered" in said["explain"]
    assert said["subscribe"].startswith("subscription ")
    assert "well" in said["doctor"]
    program = subprocess.run(
        [sys.executable, "-c", block("test: python")], env=reader.env, timeout=60, check=False, capture_output=True
    )
    assert program.returncode == 0, program.stderr
    url = "http://127.0.0.1:8300/api/events?topic=bp.dagster.oks"
    found = until(lambda: [one for one in answered(url)["items"] if one["data"].get("rows") == 1200])
    assert found[0]["message"] == "Dagster job spatial_job completed."


def test_the_quiet_configuration_is_one(tmp_path: Path) -> None:
    (tmp_path / "sensord.yaml").write_text(block("test: quiet configuration"))
    config = load(tmp_path / "sensord.yaml", {})
    assert list(config.quiet.values()) == ["22:00-08:00 Europe/Lisbon"]
    assert [one.options for one in config.subscriptions] == [{"after": 3}, {"digest": "daily 09:00 Europe/Lisbon"}]


def test_the_backfills_do_what_is_said_of_them(tmp_path: Path) -> None:
    (tmp_path / "sensord.yaml").write_text("http: {port: 0}\n" + block("test: backfill configuration"))
    (tmp_path / "report.py").write_text("import sys; print(*sys.argv[1:])")
    reader = Reader(tmp_path)
    with (tmp_path / "daemon.log").open("wb") as log:
        words = [str(BIN / "sensord"), "run"]
        reader.daemon = subprocess.Popen(words, cwd=tmp_path, env=reader.env, stdout=log, stderr=log)
    try:
        until((tmp_path / ".sensord" / "daemon.json").exists)
        for line in block("test: backfill commands").splitlines():
            reader.types(line)
    finally:
        reader.daemon.terminate()
        assert reader.daemon.wait(20) == 0
    first, second, dry, shown, listed = reader.said.values()
    assert "31 partitions of daily_report, 2026-01-01 to 2026-01-31" in first
    assert "31 succeeded" in first
    assert "10 partitions of daily_report, 2026-02-01 to 2026-02-10" in second
    assert "newest first" in dry.splitlines()[0]
    assert "2026-01-01" in dry.splitlines()[-1]
    assert "■ succeeded 41" in shown
    assert "31 of 31" in listed


def test_the_configuration_of_ten_lines_is_right(tmp_path: Path) -> None:
    text = block("test: configuration")
    assert len(text.splitlines()) <= 11
    (tmp_path / "sensord.yaml").write_text(text, encoding="utf-8")
    config = load(tmp_path / "sensord.yaml", {})
    assert config.sensors["houses_drop"].jobs == ("load_houses",)


def test_the_configuration_of_the_chats_is_right(tmp_path: Path) -> None:
    (tmp_path / "sensord.yaml").write_text(block("test: chat"), encoding="utf-8")
    config = load(tmp_path / "sensord.yaml", {"TELEGRAM_TOKEN": "1:x", "TELEGRAM_SECRET": "abc"})
    assert list(config.chat.granted()) == ["telegram:345678"]
    assert config.telegram is not None
    assert config.telegram.webhook is not None


def test_the_demo_ends_well_after_both_files(tmp_path: Path) -> None:
    command = block("command: demo").strip()
    assert command.startswith("python3 -m venv .venv && ")
    assert command.endswith(" && .venv/bin/sensord demo")
    done = subprocess.run(
        [BIN / "sensord", "demo", "--once"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for word in ("closed", "sensed", "run started", "ended", "message", "succeeded", "failed", "2 of 3 rows"):
        assert word in done.stdout


def test_the_readme_names_only_what_is_there() -> None:
    for path in re.findall(r"`((?:tests|sensord|notifiers|rules|docs)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).exists(), picture
