"""A job that fails and comes through later, in the whole daemon: what a chat shows, and what is said of it."""

from __future__ import annotations

from pathlib import Path

from notifiers.listing import list_deliveries
from sensord.explain import explain
from tests.chat.kit import GROUP, telegram
from tests.sources.app_kit import launch
from tests.sources.directory_kit import until

JOBS = """
jobs:
  load:
    command:
      - sh
      - -c
      - 'until [ -e {{ run.config.go }} ]; do sleep 0.01; done; echo "no such house" >&2; exit {{ run.config.code }}'
    retry: {attempts: 2, backoff: 10ms}
"""
WANTED = f"""
subscriptions:
  - {{topic: "runs.>", to: "telegram:{GROUP}"}}
"""


async def test_a_chat_sees_one_message_of_a_run_and_every_event_is_accounted_for(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=f" {{}}{WANTED}", jobs=JOBS) as it:
        go = tmp_path / "go"
        failed = await launch(it.app, "load", code=3, go=str(go))
        # A run that ended before anything was told of it would be one message without an edit.
        await until(lambda: bool(it.texts(GROUP)))
        go.touch()
        await until(lambda: any("load failed after 2 attempts" in text for text in it.texts(GROUP)))
        await it.heard()
        message, details = it.texts(GROUP)
        told = await it.app.database.read(lambda conn: list_deliveries(conn, {}))
        story = await explain(it.app, failed.id)
        await launch(it.app, "load", code=0, go=str(go))
        await until(lambda: "Recovered" in it.texts(GROUP)[0])
        recovered = it.texts(GROUP)[0]
    assert f"{message}{details}".count("no such house") == 1
    shown = [one for one in told["items"] if one["receipt"] and one["receipt"].get("edited")]
    assert {(one["status"], one["receipt"]["message_id"]) for one in shown} == {("delivered", 1)}
    assert {one["status"] for one in told["items"]} == {"delivered", "suppressed"}
    assert all("later state" in one["error"] for one in told["items"] if one["status"] == "suppressed")
    assert "edit of 1" in str(story)
    assert "Recovered: load succeeded at" in recovered
    assert "no such house" in recovered
