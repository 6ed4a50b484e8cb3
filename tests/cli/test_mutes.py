"""`sensord mutes`, beside a running daemon: set, listed, ended."""

from __future__ import annotations

import json

from tests.cli.project import Project


def test_a_mute_is_set_listed_and_ended_and_what_it_held_is_told(project: Project) -> None:
    project.start()
    project.sensord("subscribe", "bp.>", "inbox:")
    assert "nothing is muted" in project.sensord("mutes", "list")
    made = json.loads(project.sensord("mutes", "add", "inbox:", "2h", "bp.a", "--why", "new loader", "--json"))
    project.sensord("publish", "bp.a", "one")
    held = project.until(lambda: project.get("/api/deliveries?status=held")["items"])
    assert "new loader" in project.sensord("deliveries", "list", "status=held")
    assert "held: bp.a is muted until" in project.sensord("explain", held[0]["event"])
    assert "new loader" in project.sensord("mutes", "list")
    assert "held back 1 message" in project.sensord("mutes", "end", made["id"])
    project.until(lambda: project.get(f"/api/deliveries?id={held[0]['id']}&status=delivered")["items"])
    assert "nothing is muted" in project.sensord("mutes", "list")
