"""`sensord explain`: whatever somebody asks about, from wherever they ask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.project import CONFIG, Project
from tests.sources.s3_kit import ACCESS, SECRET, rclone


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


def test_an_object_is_found_by_its_address_as_it_is_typed(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("s3")
    (folder / "data").mkdir()
    (folder / "data" / "a\\b.csv").write_text("x")
    with rclone(folder) as url:
        account = f"region: us-east-1, access_key: {ACCESS}, secret_key: {SECRET}"
        s3 = f's3: {{bucket: data, suffix: .csv, endpoint_url: "{url}", {account}}}'
        text = CONFIG.replace('directory: {path: in, pattern: "*.csv"}', s3).replace("file.path", "object.key")
        (project.folder / "sensord.yaml").write_text(text.replace("file.name", "object.name"))
        project.start()
        run = project.until(lambda: project.get("/api/runs?status=succeeded")["items"])[0]
        for name in ("s3://data/a\\b.csv", "s3://data/a\\\\b.csv"):
            assert f"run {run['id']} succeeded" in project.sensord("explain", name)
        # No part of a key means what it means in a path.
        assert "drop would take it, and has not yet" in project.sensord("explain", "s3://data/x//../b.csv", code=2)
        assert "key does not end with '.csv'" in project.sensord("explain", "s3://data/x.txt", code=2)
        assert "no object of the bucket data" in project.sensord("explain", "s3://other/x.csv", code=2)
