"""The bus from the command line, against a real daemon that is killed and comes back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.cli.project import BIN, Project


def post(project: Project, path: str, body: Any, token: str | None = None) -> int:
    url = json.loads((project.folder / ".sensord" / "daemon.json").read_text())["url"]
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token or project.env['SENSORD_TOKEN']}"}
    asked = urllib.request.Request(url + path, data=json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_events_are_listed_since_and_followed_through_a_restart(project: Project) -> None:
    project.start()
    project.sensord("publish", "bp.houses", "first")
    project.sensord("publish", "other", "not wanted")
    listed = project.json("events", "list", "--topic", "bp.>", "--since", "1h")
    assert [one["message"] for one in listed["items"]] == ["first"]
    assert "first" in project.sensord("events", "list", "--since", listed["items"][0]["time"], "--oldest")
    project.sensord("events", "list", "--since", "yesterday", code=2)
    out = project.folder / "followed"
    with out.open("wb") as file:
        words = [str(BIN / "sensord"), "events", "follow", "--topic", "bp.>", "--since", "1h", "--json"]
        follower = subprocess.Popen(words, cwd=project.folder, env=project.env, stdout=file, stderr=subprocess.PIPE)

    def seen() -> list[str]:
        return [json.loads(line)["message"] for line in out.read_text().splitlines()]

    try:
        project.until(lambda: seen() == ["first"])
        assert project.daemon is not None
        project.daemon.kill()
        project.daemon.wait()
        project.start()
        project.sensord("publish", "bp.houses", "second")
        project.until(lambda: seen() == ["first", "second"])
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate(timeout=20)
        assert follower.returncode == 0
        assert b"waiting for it" in said
        assert b"Traceback" not in said
    finally:
        follower.kill()
        follower.wait()


def test_to_follow_without_a_daemon_or_with_a_wrong_pattern_ends_with_a_word(project: Project) -> None:
    assert "no daemon runs" in project.sensord("events", "follow", code=1)
    project.start()
    assert "before its end" in project.sensord("events", "follow", "--topic", "a.>.b", code=2)


def test_a_token_is_shown_once_and_a_program_submits_with_it_until_it_is_revoked(project: Project) -> None:
    project.start()
    made = project.json("tokens", "create", "program", "--publish", "bp.>", "--expires", "30d")
    secret = made["token"]
    assert re.fullmatch(r"sensord_[0-9a-f]{12}_[\w-]{43}", secret)
    assert "holds already" in project.sensord("tokens", "create", "program", "--read", ">", code=1)
    listed = project.sensord("tokens", "list", "--json")
    assert json.loads(listed)["items"][0]["state"] == "active"
    assert secret not in listed
    program = (
        "from sensord import submit_event\n"
        "submit_event('other.topic', 'refused')\n"
        "submit_event('bp.dagster.oks', 'taken')\n"
    )
    note = json.loads((project.folder / ".sensord" / "daemon.json").read_text())
    env = {"SENSORD_TOKEN": secret, "SENSORD_URL": note["url"], "SENSORD_SPOOL": str(project.folder / "spool")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "HOME": str(project.folder), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "may publish on bp.>" in done.stderr
    project.until(lambda: project.get("/api/events?topic=bp.dagster.oks")["items"])
    assert project.get("/api/events?topic=other.topic")["items"] == []
    assert post(project, "/api/events", {"topic": "bp.x"}, secret) == 202
    assert post(project, "/api/subscriptions", {"topic": "bp.x", "to": "inbox:"}, secret) == 403
    assert "revoked" in project.sensord("tokens", "revoke", "program")
    assert post(project, "/api/events", {"topic": "bp.x"}, secret) == 401
    project.sensord("tokens", "revoke", "program", code=2)
    assert project.get("/api/events?topic=tokens.*")["items"][0]["topic"] == "tokens.revoked"
    assert secret not in (project.folder / "daemon.log").read_text()


def test_a_subscription_says_how_many_earlier_events_it_is_told_and_a_kill_repeats_none(project: Project) -> None:
    project.start()
    for start in range(0, 3000, 1000):
        events = [
            {"topic": "other" if number % 20 else "bp.a", "message": f"{number}"}
            for number in range(start, start + 1000)
        ]
        assert post(project, "/api/events", events) == 202
    assert post(project, "/api/subscriptions", {"topic": "bp.>", "to": "inbox:", "since": "1h"}) == 201
    assert project.daemon is not None
    project.until(lambda: project.get("/api/deliveries?limit=1")["items"])
    project.daemon.kill()
    project.daemon.wait()
    project.start()
    held = project.until(lambda: [one for one in _subscriptions(project) if (one["backlog"] or {}).get("done")])
    assert held[0]["backlog"]["deliveries"] == 150
    project.until(lambda: not any(project.get(f"/api/deliveries?status={s}")["items"] for s in ("pending", "sending")))
    told = _all(project, "/api/inbox")
    titles = [item["title"] for item in told if "Possible repeat" not in item["text"]]
    assert len(told) <= 151 + 1  # Beside what is said of it, one at most was in the air when the daemon was killed.
    assert len(titles) == len(set(titles))
    assert {item["title"] for item in told} >= {f"{number}" for number in range(0, 3000, 20)}
    said = project.sensord("subscribe", "bp.a", "console:", "--since", "1h")
    assert "earlier events that go to console:: 150" in said
    again = project.sensord("subscribe", "bp.a", "console:", "--since", "1h")
    assert "holds already" in again


def _subscriptions(project: Project) -> list[dict[str, Any]]:
    return list(project.get("/api/subscriptions")["items"])


def _all(project: Project, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = project.get(f"{path}?limit=1000{after}")
        found += page["items"]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def test_dead_letters_are_listed_explained_counted_and_sent_again(project: Project) -> None:
    project.start()
    project.sensord("subscribe", "bp.>", "telegram:1")
    project.sensord("publish", "bp.a", "nobody will read this")
    (one,) = project.until(lambda: project.get("/api/deliveries?status=dead")["items"])
    for words in (("deliveries", "list", "--dead"), ("deliveries", "--dead"), ("deliveries", "list", "--dead",
                  "--destination", "telegram:1")):  # fmt: skip
        assert one["id"] in project.sensord(*words)
    assert "no deliveries" in project.sensord("deliveries", "--uncertain")
    why = project.sensord("deliveries", "why", one["id"])
    assert "no channel 'telegram' is configured" in why
    assert "nobody will read this" in why
    assert "1 would be tried again" in project.sensord("deliveries", "replay", "--dead", "--dry-run")
    assert project.json("deliveries", "replay", "--dead", "--destination", "telegram:2")["replayed"] == 0
    assert "1 deliveries are tried again" in project.sensord("deliveries", "replay", "--dead")
    project.until(lambda: project.get(f"/api/deliveries/{one['id']}")["attempts"] == 2)
    project.until(lambda: project.get("/api/deliveries?status=dead")["items"])
    assert "is tried again" in project.sensord("deliveries", "replay", one["id"])
    for wrong in ((), (one["id"], "--dead"), ("--destination", "x:y")):
        project.sensord("deliveries", "replay", *wrong, code=2)


def test_the_configuration_takes_a_past_as_a_time_or_so_long_ago(project: Project) -> None:
    file: Path = project.folder / "sensord.yaml"
    text = file.read_text()
    line = '  - {topic: "runs.*.failed", to: "inbox:"}'
    for since in ('"2h"', "2h", "2026-11-21T01:02:03Z", '"2026-11-21T01:02:03+01:00"'):
        file.write_text(text.replace(line, f'  - {{topic: "bp.>", to: "inbox:", since: {since}}}'))
        project.sensord("check")
    file.write_text(text.replace(line, '  - {topic: "bp.>", to: "inbox:", since: yesterday}'))
    assert "so long ago" in project.sensord("check", code=2)
    file.write_text(text.replace(line, '  - {topic: "bp.>", to: "inbox:", since: 1h}'))
    project.json("publish", "bp.a", "before any daemon")
    project.start()
    inbox = project.until(lambda: project.get("/api/inbox")["items"])
    assert [item["title"] for item in inbox] == ["before any daemon"]
