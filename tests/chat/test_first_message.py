"""From an empty group to the first test message."""

from __future__ import annotations

import time
from pathlib import Path

from rules.event import Severity
from tests.chat.kit import GROUP, OWNER, telegram
from tests.doubles.telegram import open_double
from tests.notifiers.service import event
from tests.sources.directory_kit import until


def configuration(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.yaml"))


async def test_an_empty_group_has_its_first_test_message_within_a_minute_and_three_messages(tmp_path: Path) -> None:
    async with open_double() as double, telegram(tmp_path, double=double) as it:
        before = configuration(tmp_path)
        started = time.monotonic()
        double.chats.add(GROUP, kind="supergroup")
        double.people.put(GROUP, "member", user=OWNER)
        double.people.members[GROUP, OWNER] = "creator"
        double.say(GROUP, "/subscribe@sensord_test_bot bp.houses.> severity>=warning", user=OWNER)
        double.say(GROUP, "/test@sensord_test_bot", user=OWNER)
        await until(lambda: any("Test message" in text for text in it.texts(GROUP)))
        took = time.monotonic() - started
        written = [one for one in double.chats.get(GROUP).messages.values() if one["from"]["id"] == OWNER]

        assert took < 60
        assert len(written) <= 3
        assert "This chat is told of bp.houses.> severity>=warning from now on" in it.texts(GROUP)[0]
        assert it.subscribed() == [("bp.houses.>", f"telegram:{GROUP}", '{"severity":">=warning"}')]
        assert configuration(tmp_path) == before

        quiet = event("all is well", "bp.houses.oks")
        loud = event("houses.csv has no rows", "bp.houses.quality", Severity.error)
        await it.app.bus.publish([quiet, loud])
        it.app.published()
        await until(lambda: any("has no rows" in text for text in it.texts(GROUP)))
        assert not any("all is well" in text for text in it.texts(GROUP))
        assert {call.status for call in double.requests} == {200}
