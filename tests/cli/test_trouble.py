"""What a person sees when something around sensord is not as it should be: one line, and what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sensord.ledger.schema import revisions
from tests.cli.project import CONFIG, Project

PASSWORD = "planted-password"


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("sqlite:///no.db", "file is not a database; name another file"),
        (f"postgresql://me:{PASSWORD}@127.0.0.1:1/none", "check that the server runs"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_with_what_to_do(project: Project, database: str, said: str) -> None:
    (project.folder / "no.db").write_text("this was never a database, and is long enough to look like something else")
    (project.folder / "sensord.yaml").write_text(f'database: "{database}"\n{CONFIG}')
    for words in (("run",), ("runs", "list"), ("doctor",)):
        told = project.sensord(*words, code=1)
        assert said in told
        assert PASSWORD not in told


def test_the_doctor_asks_the_database_and_the_file_system(project: Project) -> None:
    told = project.sensord("doctor", code=1)
    assert "sensord.db will be made" in told
    assert "none runs: start `sensord run`" in told
    project.start()
    told = project.sensord("doctor")
    assert f"journal wal, synchronous FULL, schema {revisions()[-1][:4]}" in told
    assert "watched; files are taken when" in told


def test_a_note_whose_pid_is_another_process_by_now_is_no_daemon(project: Project) -> None:
    state = project.folder / ".sensord"
    state.mkdir()
    note = {"pid": os.getpid(), "start": 1, "url": "http://127.0.0.1:9"}
    (state / "daemon.json").write_text(json.dumps(note))
    assert project.json("runs", "list")["items"] == []


def test_a_wrong_token_ends_with_two_and_says_so(project: Project) -> None:
    project.start()
    project.env["SENSORD_TOKEN"] = "another-token-than-the-daemons"
    assert "token" in project.sensord("runs", "list", code=2)


def test_a_configuration_that_is_wrong_is_json_for_programs(project: Project) -> None:
    assert project.json("check")["jobs"] == ["count"]
    (project.folder / "sensord.yaml").write_text("jobs: {a: {comand: [x]}}")
    found = json.loads(project.sensord("check", "--json", code=2))
    assert found["right"] is False
    assert (found["problems"][0]["line"], found["problems"][0]["column"]) == (1, 12)


def test_a_parameter_is_what_its_schema_says_wherever_the_schema_says_it(project: Project) -> None:
    schema = (
        "{type: object, properties: {path: {type: string}, code: {$ref: '#/$defs/code'}}, "
        "$defs: {code: {anyOf: [{type: integer}, {type: 'null'}]}}}"
    )
    head, _, tail = CONFIG.partition("    config_schema: ")
    (project.folder / "sensord.yaml").write_text(f"{head}    config_schema: {schema}\n{tail.partition(chr(10))[2]}")
    project.start()
    run = project.json("launch", "count", "-p", "path=5", "-p", "code=0", "--wait")
    assert run["run_config"] == {"path": "5", "code": 0}


def test_conditions_of_a_subscription_are_written_as_they_are_meant(project: Project) -> None:
    project.json("subscribe", "bp.>", "inbox:", "--where", "severity>=warning", "--where", "job=load")
    held = project.json("subscriptions", "list", "origin=user")["items"]
    assert held[0]["where"] == {"severity": ">=warning", "job": "load"}
    assert "is no condition" in project.sensord("subscribe", "bp.>", "inbox:", "--where", "severity", code=2)
    project.sensord("subscriptions", "remove", held[0]["id"])
    assert project.json("subscriptions", "list", "origin=user")["items"] == []


def test_who_holds_a_key_is_shown(project: Project) -> None:
    words = ("launch", "count", "-p", "path=x", "-p", "code=0", "--run-key", "once")
    run = project.json(*words)
    assert run["id"] in project.sensord("keys", "show", "once")
    assert "nobody holds" in project.sensord("keys", "show", "never", code=2)


def test_the_shell_completes_names_of_the_configuration(project: Project) -> None:
    for words, wanted in (("sensord launch c", "count"), ("sensord sensors tick d", "drop")):
        project.env |= {"_SENSORD_COMPLETE": "complete_bash", "COMP_WORDS": words}
        project.env["COMP_CWORD"] = str(len(words.split()) - 1)
        assert project.sensord().split() == [wanted]
    (project.folder / "sensord.yaml").write_text("jobs: [")
    assert project.sensord().strip() == ""


def test_the_inbox_is_followed(project: Project, tmp_path: Path) -> None:
    import subprocess

    from tests.cli.project import BIN

    project.start()
    out = tmp_path / "followed"
    with out.open("wb") as file:
        command = [str(BIN / "sensord"), "inbox", "-f"]
        follower = subprocess.Popen(command, cwd=project.folder, env=project.env, stdout=file, stderr=file)
    try:
        for code in ("3", "4"):
            project.sensord("launch", "count", "-p", f"path=of-{code}", "-p", f"code={code}", "--wait", code=1)
            project.until(lambda code=code: f"exit code {code}" in out.read_text())
    finally:
        follower.terminate()
        follower.wait()
    assert out.read_text().count("exit code 3") == 1
