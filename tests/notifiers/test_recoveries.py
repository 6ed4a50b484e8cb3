"""A later success of the same job turns the message of a failure into one that says so: once, whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from notifiers.clock import new_uuid7
from notifiers.recoveries import Look, make_recoveries
from notifiers.store import claim
from notifiers.subscriptions import Ended, end_subscriptions
from sensord.ledger.database import open_database
from tests.notifiers.living_kit import CHAT, ROOM, Story, doubles, telling
from tests.notifiers.service import HeldTime, Patient, Watched, select, subscribe

BOTH = (f"telegram:{CHAT}", f"slack:{ROOM}")


async def failures_only(database: Watched) -> None:
    for destination in BOTH:
        await subscribe(database, "runs.*.failed", destination)


async def until_made_good(wait: Patient) -> list[dict[str, Any]]:
    """No failure is left open, which is seen to after its success was routed, and what is said of it has ended."""
    await wait.until_rows("SELECT id FROM living WHERE open_failure IS NOT NULL", lambda rows: not rows)
    return await wait.until_all_ended()


async def test_a_success_turns_the_failure_into_recovered_once(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await failures_only(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        await Story().tell(database, chats, "failed", error="disk broke")
        await wait.until_all_ended()
        await Story(job="other").tell(database, chats, "succeeded")
        await wait.until_all_ended()
        assert "Recovered" not in chats.texts()[0]
        for key in ("next.csv", "last.csv"):
            await Story(key=key).tell(database, chats, "succeeded")
            rows = await until_made_good(wait)
        assert [len(chats.texts()), len(chats.posts(top=False))] == [1, 1]
    for shown in (chats.texts()[0], chats.posts()[0]):
        assert shown.count("Recovered: load succeeded") == 1
        assert "(next.csv)" in shown
        assert "disk broke" in shown
    assert "❌" not in chats.texts()[0]
    assert chats.calls() == {"telegram": 2, "slack": 2}
    assert len(rows) == 4
    assert all(row["status"] == "delivered" for row in rows)
    assert sum(row["subscription"].startswith("recovery:") for row in rows) == 2


async def test_a_recovery_tells_nobody_the_details_again(database: Watched, time: HeldTime, wait: Patient) -> None:
    await subscribe(database, "runs.>", BOTH[0])
    await subscribe(database, "runs.*.failed", BOTH[1])
    async with doubles(time) as served, telling(database, time, served) as chats:
        story = Story()
        await story.tell(database, chats, "started")
        await wait.until_all_ended()
        await story.tell(database, chats, "failed", error="disk broke", log_tail=["sda1 is gone"])
        await wait.until_all_ended()
        before = [len(chats.texts()), len(chats.posts(top=False))]
        await Story(key="next.csv").tell(database, chats, "succeeded")
        await until_made_good(wait)
        # The next run has a message of its own where every run has one.
        assert [len(chats.texts()), len(chats.posts(top=False))] == [before[0] + 1, before[1]]
    for shown in (chats.texts()[0], chats.posts()[0]):
        assert "Recovered: load succeeded" in shown
        assert "disk broke" in shown
    # Where they stood under the message they still do; where they stood in it, too.
    assert ["sda1" in text for text in chats.texts()[:2]] == [False, True]
    assert "sda1" in chats.posts()[0]


async def test_of_several_failures_in_a_row_the_last_says_that_it_is_over(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await failures_only(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        for _ in range(3):
            await Story().tell(database, chats, "failed", error="disk broke")
        await wait.until_all_ended()
        await Story().tell(database, chats, "succeeded")
        await until_made_good(wait)
        open_ = await select(database, "SELECT id FROM living WHERE open_failure IS NOT NULL")
    assert ["Recovered" in text for text in chats.texts()] == [False, False, True]
    assert open_ == []


async def test_a_failure_that_is_shown_after_the_success_recovers_all_the_same(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await failures_only(database)
    async with doubles(time) as served:
        first, second = Story(), Story()
        await first.tell(database, None, "failed", error="disk broke")
        await second.tell(database, None, "succeeded")
        async with telling(database, time, served) as chats:
            await wait.until(lambda: "Recovered" in "".join(chats.texts()) and "Recovered" in "".join(chats.posts()))
            await wait.until_all_ended()
    assert chats.calls() == {"telegram": 2, "slack": 2}


async def test_who_unsubscribed_is_told_of_no_recovery(database: Watched, time: HeldTime, wait: Patient) -> None:
    await failures_only(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        await Story().tell(database, chats, "failed")
        await wait.until_all_ended()
        for row in await select(database, "SELECT id FROM subscriptions"):
            await database.write(end_subscriptions, Ended(id=row["id"], at=1))
        await Story().tell(database, chats, "succeeded")
        await until_made_good(wait)
    assert chats.calls() == {"telegram": 1, "slack": 1}


async def test_a_message_that_is_gone_is_followed_by_one_that_says_so(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await failures_only(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        await Story().tell(database, chats, "failed", error="disk broke")
        await wait.until_all_ended()
        chats.telegram.chats.get(CHAT).messages.clear()
        await Story().tell(database, chats, "succeeded")
        await until_made_good(wait)
    (text,) = chats.texts()
    assert "Recovered: load succeeded" in text


async def test_a_recovery_that_was_cut_off_is_said_again_without_a_doubt(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await failures_only(database)
    async with doubles(time) as served:
        async with telling(database, time, served) as chats:
            await Story().tell(database, chats, "failed", error="disk broke")
            await wait.until_all_ended()
        await Story().tell(database, None, "succeeded")
        made, left = await database.write(make_recoveries, Look("load", 0, new_uuid7))
        again, _ = await database.write(make_recoveries, Look("load", 0, new_uuid7))
        await database.write(claim, made[0]["id"])
        async with telling(database, time, served) as chats:
            rows = await wait.until_all_ended()
        assert (len(made), left, again) == (2, 0, [])
        assert {(row["status"], row["doubtful"]) for row in rows} == {("delivered", 0)}
        assert chats.calls() == {"telegram": 2, "slack": 2}
        assert [text.count("Recovered") for text in (*chats.texts(), *chats.posts())] == [1, 1]


async def test_the_recovery_is_said_once_across_restarts(tmp_path: Path, time: HeldTime) -> None:
    url = f"sqlite:///{tmp_path / 'l.db'}"
    async with doubles(time) as served:
        async with open_database(url) as opened:
            database = Watched(opened)
            await failures_only(database)
            async with telling(database, time, served) as chats:
                await Story().tell(database, chats, "failed", error="disk broke")
                await Patient(database, time).until_all_ended()
        async with open_database(url) as opened:
            await Story().tell(Watched(opened), None, "succeeded")
        for _ in range(3):
            async with open_database(url) as opened:
                database = Watched(opened)
                async with telling(database, time, served) as chats:
                    await Story().tell(database, chats, "succeeded")
                    rows = await until_made_good(Patient(database, time))
                    time.seconds += 10
    assert chats.texts()[0].count("Recovered") == 1
    assert chats.calls() == {"telegram": 2, "slack": 2}
    assert len(rows) == 4
