"""`/mute /unmute /quiet` in the whole daemon: who may, what is held, what is said afterwards; on both databases."""

from __future__ import annotations

from pathlib import Path

from notifiers.mutes import mute_until_fixed
from rules.event import Severity
from tests.chat.kit import ADMIN, GROUP, OWNER, STRANGER, VIEWER, Telegram, telegram
from tests.sources.app_kit import ended, event, launch
from tests.sources.directory_kit import until


async def publish(
    it: Telegram, *messages: str, topic: str = "bp.houses.oks", severity: Severity = Severity.info
) -> None:
    await it.app.bus.publish([event(topic, message=message, severity=severity) for message in messages])
    it.app.published()


def held(it: Telegram) -> list[str | None]:
    return [row["error"] for row in it.rows("SELECT error FROM deliveries WHERE status = 'held' ORDER BY event_seq")]


async def test_a_mute_holds_says_who_wanted_it_and_tells_afterwards_what_came(
    tmp_path: Path, database_url: str
) -> None:
    async with telegram(tmp_path, database_url) as it:
        await it.ask("/subscribe bp.>")
        assert "Nothing is muted here" in await it.ask("/mute")
        assert "Muted until" in await it.ask("/mute 2h bp.houses.> new loader, wait")
        await publish(it, "one", "two")
        await publish(it, "fire", severity=Severity.critical)
        await until(lambda: "fire" in it.texts(OWNER)[-1])
        assert len(held(it)) == 2
        assert all("new loader, wait" in str(why) for why in held(it))
        listed = await it.ask("/mute")
        assert "new loader, wait; 2 waiting" in listed
        assert "Nothing like that is muted" in await it.ask("/unmute bp.roads")
        told = await it.ask("/unmute bp.houses.>")
        assert "The mute of bp.houses.> ended" in told
        assert "2 messages came meanwhile" in told
        assert "info bp.houses.oks: two" in told
        assert "Nothing like that is muted" in await it.ask("/unmute")
        await it.heard()
        acts = it.rows("SELECT act, person, detail FROM chat_acts ORDER BY id")
        assert [(row["act"], row["person"]) for row in acts[1:]] == [("muted", "telegram:1"), ("unmuted", "telegram:1")]
        assert acts[1]["detail"].endswith(": new loader, wait")
        topics = [row["topic"] for row in it.rows("SELECT topic FROM events WHERE topic LIKE 'chat.%' ORDER BY seq")]
        assert topics == ["chat.subscribed", "chat.muted", "chat.unmuted", "chat.mute_ended"]


async def test_quiet_hours_are_set_shown_and_ended(tmp_path: Path, database_url: str) -> None:
    async with telegram(tmp_path, database_url) as it:
        await it.ask("/subscribe bp.>")
        now = it.app.clock.now()
        hours = f"{now.hour:02}:00-{(now.hour + 2) % 24:02}:00 UTC"
        assert f"Quiet hours: {hours}" in await it.ask(f"/quiet {hours}")
        assert hours in await it.ask("/quiet")
        await publish(it, "one", "two")
        await until(lambda: len(held(it)) == 2)
        assert held(it) == [f"quiet hours: {hours}"] * 2
        assert "no quiet hours any more" in await it.ask("/quiet off")
        await until(lambda: "2 messages came in the quiet hours" in it.texts(OWNER)[-1])
        await it.heard()
        assert {row["status"] for row in it.rows("SELECT status FROM deliveries")} == {"delivered"}
        acts = [row["act"] for row in it.rows("SELECT act FROM chat_acts ORDER BY id")]
        assert acts == ["subscribed", "quiet", "quiet"]


async def test_what_is_typed_wrong_is_said_and_changes_nothing(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        for text, said in (
            ("/mute soon", "type 30m, 2h or 1d"),
            ("/mute 1s", "from a minute to 30 days"),
            ("/mute 2h bp..x", "bp..x"),
            ("/quiet at night", "write when quiet begins"),
            ("/quiet 22:00-08:00 Europe/Lissabon", "did you mean 'Europe/Lisbon'"),
        ):
            assert said in await it.ask(text)
        assert it.rows("SELECT * FROM mutes") == it.rows("SELECT * FROM quiet_hours") == []


async def test_who_may_not_change_what_a_chat_is_told_mutes_nothing(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        it.double.chats.add(GROUP, kind="supergroup")
        it.double.people.members[GROUP, ADMIN] = it.double.people.members[GROUP, OWNER] = "administrator"
        await it.ask("/subscribe bp.>", chat=GROUP, user=OWNER)
        for command in ("/mute 1h", "/quiet 22:00-08:00 UTC"):
            assert "one of its administrators" in await it.ask(command, chat=GROUP, user=VIEWER)
            assert "no role here" in await it.ask(command, chat=GROUP, user=ADMIN)
            assert "no role here" in await it.ask(command, chat=GROUP, user=STRANGER)
        assert "Muted until" in await it.ask("/mute 1h", chat=GROUP, user=OWNER)
        assert "one of its administrators" in await it.ask("/unmute", chat=GROUP, user=VIEWER)
        assert len(it.rows("SELECT * FROM mutes WHERE ended_at IS NULL")) == 1


async def test_a_job_is_muted_until_it_is_fixed(tmp_path: Path, database_url: str) -> None:
    async with telegram(tmp_path, database_url) as it:
        await it.ask("/subscribe runs.*.failed")
        await it.ask("/subscribe runs.*.succeeded")
        clock = it.app.clock
        await it.app.database.write(
            lambda conn, _: [
                mute_until_fixed(
                    conn,
                    "telegram:1",
                    "extract",
                    person="telegram:1",
                    name="Anna",
                    id_=clock.new_id(),
                    now=int(clock.now().timestamp() * 1e6),
                )
            ],
            None,
        )
        await it.app.delivery.refresh()
        await launch(it.app, "extract", code=3)
        await ended(it.app, "extract", 1)
        await until(lambda: len(held(it)) == 1)
        assert "job extract is muted until it succeeds by Anna" in str(held(it)[0])
        await launch(it.app, "extract")
        await until(lambda: any("The mute of job extract ended (it succeeded)" in text for text in it.texts(OWNER)))
        await until(lambda: any("extract succeeded" in text.splitlines()[0] for text in it.texts(OWNER)))
        assert held(it) == []
