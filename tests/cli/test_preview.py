"""`sensord preview` and `sensord check` with a team's own templates: a message is seen before anything is sent."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from tests.cli.project import CONFIG, SECRET, Project

MORE = """
templates: wording
language: ru
telegram: {token: "123:${SENSORD_TOKEN}", api_url: "http://127.0.0.1:9"}
slack: {token: "xoxb-${SENSORD_TOKEN}", api_url: "http://127.0.0.1:9/api/"}
"""


def test_a_template_is_seen_as_each_chat_would_show_it_and_a_broken_one_is_named(project: Project) -> None:
    (project.folder / "sensord.yaml").write_text(CONFIG + MORE)
    folder = project.folder / "wording"
    folder.mkdir()
    (folder / "run.yaml").write_text('types:\n  failed:\n    title: "Uh: {{ job }}"\n')
    project.start()

    shown = project.sensord("preview", "run.failed", "--to", "telegram:-100")
    assert "telegram:-100 (ru, UTC)" in shown
    assert "Uh: load_houses" in shown
    assert "длительность: 1 мин 23 с" in shown  # noqa: RUF001 - Russian
    assert "[ Подробнее ]" in shown
    quality = project.get("/api/preview?sample=quality.failed&to=slack:C0GENERAL&lang=en")
    assert "load_houses: check price_positive failed" in quality["parts"][0]["text"]
    assert quality["parts"][0]["payload"]["blocks"]
    publish(project)
    event = project.get("/api/events?topic=bp.a")["items"][0]["id"]
    hello = project.get(f"/api/events/{event}/preview?to=telegram:1&zone=Europe/Lisbon")
    assert (hello["zone"], hello["parts"][0]["text"].strip()) == ("Europe/Lisbon", "ℹ️ Hello.")  # noqa: RUF001 - a sign
    assert hello["parts"][0]["payload"]["entities"][0]["type"] == "bold"
    assert refused(project, "/api/preview?sample=nothing") == 400
    assert refused(project, "/api/preview?sample=run.failed&lang=de") == 400
    assert refused(project, "/api/preview?sample=run.failed&to=webhook:x") == 400
    assert refused(project, f"/api/events/{event[:-1]}{'0' if event[-1] != '0' else '1'}/preview") == 404

    (folder / "run.yaml").write_text('types:\n  failed:\n    title: "{{ jobb }}"\n')
    broken = project.get("/api/preview?sample=run.failed&to=inbox:")
    assert broken["parts"][0]["payload"]["title"] == "load_houses: ошибка после 3 попыток"
    assert [one.partition(": ")[0] for one in broken["broken"]] == ["run.yaml, line 3"]
    problems = json.loads(project.sensord("check", "--json", code=2))["problems"]
    assert [(one["line"], one["found"][:16]) for one in problems] == [(3, "there is no jobb")]


def publish(project: Project) -> None:
    url = json.loads((project.folder / ".sensord" / "daemon.json").read_text())["url"]
    body = json.dumps({"topic": "bp.a", "message": "Hello."}).encode()
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/api/events", body, headers), timeout=30).close()


def refused(project: Project, path: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        project.get(path)
    caught.value.close()
    return caught.value.code
