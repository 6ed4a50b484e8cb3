"""A run whose message is there goes on in it, though the chat is muted: nobody is notified of an edit."""

from __future__ import annotations

import orjson

from tests.notifiers.living_kit import CHAT, ROOM, Story, doubles, telling
from tests.notifiers.noise_kit import deliveries, mute, quiet, subscribe, until_held, until_over
from tests.notifiers.service import HeldTime, Patient, Watched, select

TELEGRAM, SLACK = f"telegram:{CHAT}", f"slack:{ROOM}"
HOUR = 3600.0


async def test_in_a_mute_a_run_goes_on_in_its_message_and_a_new_run_waits(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await subscribe(database, "runs.>", TELEGRAM)
    await subscribe(database, "runs.>", SLACK)
    async with doubles(time) as served, telling(database, time, served) as chats:
        first, second = Story(), Story(key="next.csv")
        await first.tell(database, chats, "queued")
        await wait.until_all_ended()
        await mute(database, time, HOUR, destination=TELEGRAM)
        await quiet(database, time, "00:00-06:00", SLACK)
        await chats.delivery.refresh()
        for what in ("started", "succeeded"):
            await first.tell(database, chats, what)
        await second.tell(database, chats, "queued")
        await until_held(wait, 2)
        rows = [row for row in await deliveries(database) if row["status"] != "held"]
        await wait.until(lambda: "succeeded" in chats.texts()[0] and "succeeded" in chats.posts()[0])
        assert [len(chats.texts()), len(chats.posts(top=False))] == [1, 1]
        assert time.seconds < HOUR / 2
        assert {row["status"] for row in rows} <= {"delivered", "suppressed", "pending", "sending"}
        assert await select(database, "SELECT * FROM digests") == []


async def test_a_failure_that_a_mute_holds_edits_its_message_afterwards_and_is_in_no_digest(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await subscribe(database, "runs.>", TELEGRAM)
    async with doubles(time) as served, telling(database, time, served) as chats:
        story = Story()
        await story.tell(database, chats, "started")
        await wait.until_all_ended()
        await mute(database, time, HOUR, destination=TELEGRAM)
        await chats.delivery.refresh()
        await story.tell(database, chats, "failed", error="disk broke")
        for key in ("a.csv", "b.csv"):
            await Story(job="other", key=key).tell(database, chats, "failed", error="no rows")
        await until_held(wait, 3)
        assert "disk broke" not in chats.texts()[0]
        wait.step = 60.0
        await until_over(wait)
        rows = await deliveries(database)
    (failed,) = [row for row in rows if row["message"] == "load failed"]
    assert "disk broke" in chats.texts()[0]
    assert failed["digest"] is None
    assert orjson.loads(failed["receipts"])[0]["edited"] is True
    digested = [row["message"] for row in rows if row["digest"] is not None]
    assert digested == ["other failed", "other failed"]
    # The run's message, the word under it that it failed, and the digest of the others.
    assert len(chats.texts()) == 3
    (digest,) = [text for text in chats.texts() if "ended (its time is over)" in text]
    assert "; 2 messages in all" in digest


async def test_where_messages_are_not_edited_a_mute_holds_every_state(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await subscribe(database, "runs.>", TELEGRAM)
    async with doubles(time) as served:
        async with telling(database, time, served) as chats:
            story = Story()
            await story.tell(database, chats, "queued")
            await wait.until_all_ended()
        await mute(database, time, HOUR, destination=TELEGRAM)
        async with telling(database, time, served, living=()) as chats:
            await story.tell(database, chats, "succeeded")
            await until_held(wait, 1)
            assert len(chats.texts()) == 1


async def test_a_message_that_can_be_edited_no_more_is_followed_by_none_in_a_mute(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await subscribe(database, "runs.>", TELEGRAM)
    async with doubles(time) as served, telling(database, time, served) as chats:
        story = Story()
        await story.tell(database, chats, "queued")
        await wait.until_all_ended()
        chats.telegram.chats.get(CHAT).messages.clear()
        await mute(database, time, HOUR, destination=TELEGRAM)
        await chats.delivery.refresh()
        await story.tell(database, chats, "succeeded")
        await until_held(wait, 1)
        assert chats.texts() == []
        assert time.seconds < HOUR / 2
        wait.step = 60.0
        await until_over(wait)
    assert len([text for text in chats.texts() if "succeeded" in text]) == 1
