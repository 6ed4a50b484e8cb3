"""`sensord backfill` as a person types it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.backfill_project import begin, ended, opened, ran, state
from tests.cli.project import BIN, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One daemon for all of them: each test has a month of its own."""
    with opened(tmp_path_factory.mktemp("project")) as one:
        one.start()
        yield one


def month(number: int, last: int = 10) -> tuple[str, str, str, str]:
    return ("--from", f"2024-{number:02}-01", "--to", f"2024-{number:02}-{last:02}")


def begun(project: Project, number: int) -> list[str]:
    return [day for day in ran(project) if day.startswith(f"2024-{number:02}")]


def test_it_is_followed_to_the_end_and_told_by_its_exit_code(project: Project) -> None:
    said = project.sensord("backfill", "load", *month(1), "-p", "do=true", "--concurrency", "2").splitlines()
    assert "10 partitions of load, 2024-01-01 to 2024-01-10, oldest first, 2 at a time" in said[0]
    assert said[-1].endswith(" succeeded: 10 succeeded")
    assert sorted(begun(project, 1)) == [f"2024-01-{day:02}" for day in range(1, 11)]
    text = project.sensord("backfill", "load", *month(1, 11), "--only-missing", "-p", "do=false", code=1)
    assert "1 partition of load, 2024-01-11, oldest first" in text
    assert "failed: 1 failed" in text
    assert "2024-01-11 failed: exit code 1 (run " in text
    assert "to run what is left: sensord backfill load --from 2024-01-11 --to 2024-01-11 --only-missing" in text
    found = project.json("backfill", "load", *month(1, 11), "--only-failed", "-p", "do=true", "-p", "n=3")
    assert (found["status"], found["total"], found["run_config"]) == ("succeeded", 1, {"do": "true", "n": 3})
    text = project.sensord("backfill", "load", *month(1, 11), "--only-missing")
    assert text == "nothing to run: of 11 partitions of load none is missing\n"


def test_it_is_listed_shown_and_cancelled(project: Project) -> None:
    item = project.json("backfill", "load", *month(2), "-p", "do=sleep 60", "--detach", "--order", "newest")
    project.until(lambda: state(project, item["id"])["counts"]["running"] == 4)
    project.until(lambda: len(begun(project, 2)) == 4)
    listed = project.sensord("backfills", "list", "job=load", "status=running")
    assert item["id"] in listed
    assert "0 of 10" in listed
    assert '{"running": 4, "not started": 6}' in project.sensord("backfills", "show", item["id"])
    (run,) = project.get("/api/runs?partition_key=2024-02-10")["items"]
    assert f"for partition 2024-02-10 by backfill {item['id']}" in project.sensord("explain", run["id"])
    assert "2024-02-10" in project.sensord("runs", "list", "status=running")
    assert "is cancelled: " in project.sensord("backfills", "cancel", item["id"])
    ended(project, item["id"])
    shown = project.json("backfills", "show", item["id"])
    assert (shown["status"], shown["counts"]["cancelled"], shown["counts"]["not_started"]) == ("cancelled", 4, 6)
    assert [one["partition_key"] for one in shown["bad"]] == [f"2024-02-{day:02}" for day in (10, 9, 8, 7)]
    assert len(begun(project, 2)) == 4


def test_what_is_wrong_ends_with_two_and_says_what_to_write(project: Project) -> None:
    for words, sentence in (
        (("load", "--from", "yesterday"), "'yesterday' is no daily partition; write for example 2026-11-21"),
        (("load", "--only-missing", "--only-failed"), "leave one out"),
        (("load", "-p", "n=x"), "run_config: "),
        (("plain",), "job plain has no partitions; say which slices"),
    ):
        assert sentence in project.sensord("backfill", *words, code=2), words


def test_a_dry_run_lists_the_partitions(project: Project) -> None:
    words = ("backfill", "load", *month(3), "--dry-run")
    days = [f"2024-03-{day:02}" for day in range(1, 11)]
    assert project.sensord(*words).splitlines() == [
        "would run 10 partitions of load, oldest first, 4 at a time:",
        *days,
    ]
    assert json.loads(project.sensord(*words, "--json"))["partitions"] == days
    assert begun(project, 3) == []


class Terminal:
    """A command on a terminal, whose output a person sees."""

    def __init__(self, project: Project, *words: str) -> None:
        self._own, screen = pty.openpty()
        env = {**project.env, "TERM": "xterm-256color", "COLUMNS": "120"}
        command = [str(BIN / "sensord"), *words]
        self.process = subprocess.Popen(
            command, cwd=project.folder, env=env, stdout=screen, stderr=screen, stdin=screen
        )
        os.close(screen)
        self.seen = ""

    def until(self, words: str) -> None:
        """Read until this was shown. The last read fails where the program has ended."""
        with suppress(OSError):
            while words not in self.seen:
                self.seen += os.read(self._own, 65536).decode()
        assert words in self.seen, self.seen

    def end(self) -> int:
        with suppress(OSError):
            while piece := os.read(self._own, 65536):
                self.seen += piece.decode()
        os.close(self._own)
        return self.process.wait(20)


def test_a_terminal_shows_a_bar_and_interrupting_it_leaves_the_backfill_alone(project: Project) -> None:
    terminal = Terminal(project, "backfill", "load", *month(4), "-p", "do=sleep 60", "--concurrency", "2")
    terminal.until("2 running")
    assert "0/10" in terminal.seen
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert "it goes on in the daemon: look with `sensord backfills show " in terminal.seen
    (item,) = project.get("/api/backfills?status=running")["items"]
    assert f"end it with `sensord backfills cancel {item['id']}`" in terminal.seen
    project.sensord("backfills", "cancel", item["id"])
    ended(project, item["id"])


def test_a_bar_comes_to_its_end(project: Project) -> None:
    terminal = Terminal(project, "backfill", "load", *month(5), "-p", "do=true")
    assert terminal.end() == 0, terminal.seen
    assert "10/10" in terminal.seen
    assert "succeeded: 10 succeeded" in terminal.seen


def test_a_job_is_shown_with_its_partitions(project: Project) -> None:
    ended(project, begin(project, "2024-06-01", "2024-06-10"))
    text = project.sensord("jobs", "show", "load")
    assert "daily partitions in UTC, the last " in text
    assert "■ succeeded " in text
    found = project.json("jobs", "show", "load")["partitions"]
    assert found["every"] == "daily"
    assert found["counts"]["succeeded"] >= 10
    assert found["items"][0]["state"] == "missing"
    assert "partitions" not in project.sensord("jobs", "show", "plain")


def test_a_daemon_that_goes_away_ends_the_following_and_a_cancel_waits_for_the_next(tmp_path: Path) -> None:
    with opened(tmp_path) as project:
        project.start()
        words = [str(BIN / "sensord"), "backfill", "load", *month(1), "-p", "do=sleep 60"]
        following = subprocess.Popen(words, cwd=tmp_path, env=project.env, stderr=subprocess.PIPE, text=True)
        project.until(lambda: len(ran(project)) == 4)
        assert project.daemon is not None
        project.daemon.kill()
        project.daemon.wait()
        _, said = following.communicate(timeout=30)
        assert following.returncode == 1
        assert "the backfill goes on when a daemon does: look with `sensord backfills show " in said
        backfill = said.split("`")[1].split()[-1]
        assert "is cancelled: 0 of 10 partitions" in project.sensord("backfills", "cancel", backfill)
        project.start()
        assert ended(project, backfill)["counts"]["cancelled"] == 4
        assert len(ran(project)) == 4


def test_without_a_daemon_it_waits_for_one(tmp_path: Path) -> None:
    with opened(tmp_path) as project:
        said = project.sensord("backfill", "load", *month(1), "-p", "do=true", code=2)
        assert "it starts when `sensord run` does" in said
        assert ran(project) == []
        project.start()
        project.until(lambda: project.get("/api/backfills?status=succeeded")["items"])
        assert len(ran(project)) == 10
