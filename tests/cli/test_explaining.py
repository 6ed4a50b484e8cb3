"""`sensord explain`: whatever somebody asks about, from wherever they ask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.project import CONFIG, Project


def drop(project: Project, name: bytes, text: str = "x") -> Path:
    """A file that a run comes of."""
    path = Path(os.fsdecode(bytes(project.folder / "in") + b"/" + name))
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [b"plain.csv", b"back\\slash.csv", b"two\nlines.csv", b"\xff\xfe.csv", b"-r.csv"])
def test_a_file_is_found_by_its_name_as_it_is_typed_in_its_folder(project: Project, name: bytes) -> None:
    project.start()
    drop(project, name)
    run = project.until(lambda: project.get("/api/runs?status=succeeded")["items"])[0]
    config = ("-c", str(project.folder / "sensord.yaml"))
    told = project.sensord(*config, "explain", "--", name, folder=project.folder / "in")
    assert f"run {run['id']} succeeded" in told
    assert f"run {run['id']} succeeded" in project.sensord("explain", "--", run["subject"])


def test_a_newer_version_that_was_skipped_is_what_it_tells(project: Project) -> None:
    text = CONFIG.replace("    job: count", '    job: count\n    when: "{{ file.size > 1 }}"')
    text = text.replace('run_key: "{{ file.name }}"', 'run_key: "{{ file.name }}-{{ file.size }}"')
    (project.folder / "sensord.yaml").write_text(text.replace('"{{ file.size > 1 }}"', '"file.size > 1"'))
    project.start()
    path = drop(project, b"a.csv", "more than one")
    project.until(lambda: project.get("/api/runs?status=succeeded")["items"])
    path.write_text("1")
    project.until(lambda: project.get("/api/ticks?outcome=skipped")["items"])
    verdict = project.sensord("explain", "in/a.csv").strip().splitlines()[-1]
    assert verdict.startswith("its newest version asked for no run: when: file.size > 1 is false; before that, run ")


def test_a_long_story_says_that_it_is_not_all(project: Project) -> None:
    project.start()
    path = project.folder / "in" / "a.csv"
    for number in range(60):
        path.write_text("x" * (number + 1))
        wanted = number + 1
        project.until(lambda wanted=wanted: len(project.get("/api/ticks?limit=100")["items"]) >= wanted)
    assert "only the newest 50" in project.sensord("explain", "in/a.csv")


def test_an_event_that_waits_for_its_turn_is_not_told_to_be_nobodys(project: Project) -> None:
    event = project.json("publish", "bp.test.oks", "hello")  # No daemon runs, so nothing is routed.
    told = project.sensord("explain", event["id"])
    assert "not told yet: it waits for its turn" in told
    assert "nobody is told yet" in told
    project.start()
    project.until(lambda: "told nobody" in str(project.get(f"/api/explain?what={event['id']}")))


def test_a_file_that_is_not_taken_says_why(project: Project) -> None:
    project.start()
    (project.folder / "in" / "notes.txt").write_text("x")
    assert "does not match '*.csv'" in project.sensord("explain", "in/notes.txt")
