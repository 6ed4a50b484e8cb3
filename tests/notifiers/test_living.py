"""A run is one message that changes: over real HTTP, to doubles that count strictly, with the time held."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from notifiers.channels.inbox import open_inbox
from notifiers.retention import Chunk, prune_living
from notifiers.wording import english
from rules.living import EDIT_GAP_US
from sensord.ledger.database import open_database
from tests.doubles.slack import Room
from tests.notifiers.living_kit import CHAT, ROOM, Chats, Story, doubles, telling
from tests.notifiers.service import HeldTime, Patient, Watched, publish, select, subscribe

BOTH = (f"telegram:{CHAT}", f"slack:{ROOM}")
GAP = EDIT_GAP_US / 1e6
CONTINUES = english().say("continues")


async def everything(database: Watched, topic: str = "runs.>") -> None:
    for destination in BOTH:
        await subscribe(database, topic, destination)


def edits_at(chats: Chats) -> list[float]:
    return [call.at for call in chats.telegram.requests if call.method == "editmessagetext"]


def updates_at(chats: Chats) -> list[float]:
    return [one["at"] for one in chats.slack.requests if one["method"] == "chat.update"]


async def test_a_run_is_one_message_that_changes(database: Watched, time: HeldTime, wait: Patient) -> None:
    run = Story()
    await everything(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        for what in ("queued", "started", "succeeded"):
            await run.tell(database, chats, what)
            await wait.until_all_ended()
            assert [len(chats.texts()), len(chats.posts())] == [1, 1]
            assert f"load {what}" in chats.texts()[0]
            assert f"load {what}" in chats.posts()[0]
        rows = await wait.until_all_ended()
        shown = await select(database, "SELECT receipt FROM living")
    assert [row["status"] for row in rows] == ["delivered"] * 6
    assert ['"edited":true' in row["receipts"] for row in rows] == [False] * 2 + [True] * 4
    assert len(shown) == 2
    assert chats.refusals() == []


async def test_fifty_updates_are_one_message_and_at_most_twelve_calls(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    run = Story()
    await everything(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        await run.tell(database, chats, "queued")
        await run.tell(database, chats, "started")
        for number in range(47):
            await run.tell(database, chats, "progress", progress=number / 47, text=f"{number} of 47")
            await wait.until_time(time.seconds + 0.5)
        ended = time.seconds
        await run.tell(database, chats, "succeeded")
        rows = await wait.until_all_ended()
        assert [len(chats.texts()), len(chats.posts(top=False))] == [1, 1]
        assert "load succeeded" in chats.texts()[0]
        assert "load succeeded" in chats.posts()[0]
    assert max(edits_at(chats)[-1], updates_at(chats)[-1]) - ended <= 5.0
    calls = chats.calls()
    assert max(calls.values()) <= 12, calls
    assert chats.refusals() == []
    for at in (edits_at(chats), updates_at(chats)):
        assert all(later - earlier >= GAP for earlier, later in pairwise(at))
    assert {row["status"] for row in rows} == {"delivered", "suppressed"}
    assert all(row["error"] for row in rows if row["status"] == "suppressed")


async def test_a_failure_after_retries_says_its_cause_once_and_is_noticed(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    run = Story()
    await everything(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        for what, attempt in (("queued", 1), ("started", 1), ("retrying", 1), ("started", 2), ("retrying", 2)):
            more = {"error": f"disk {attempt} broke"} if what == "retrying" else {}
            await run.tell(database, chats, what, attempt=attempt, **more)
            await wait.until_time(time.seconds + 4)
        await run.tell(database, chats, "failed", attempt=3, error="disk 3 broke", log_tail=["one", "two"])
        await wait.until_all_ended()
        message, details = chats.texts()
        post, reply = chats.posts(top=False)
        answered = chats.telegram.requests[-1].params["reply_parameters"]
        (thread,) = [one for one in chats.slack.committed if one.get("thread_ts") is not None]
    assert "load failed after 3 attempts" in message
    assert "load failed after 3 attempts" in post
    assert f"{message}{details}".count("disk 3 broke") == 1
    assert f"{post}{reply}".count("disk 3 broke") == 1
    assert "disk 1 broke" not in f"{message}{details}{post}{reply}"
    assert "one\ntwo" in details
    assert "one\ntwo" in reply
    assert answered == {"message_id": 1, "allow_sending_without_reply": True}
    assert (thread["thread_ts"], thread["broadcast"]) == (chats.slack.committed[0]["ts"], True)
    assert chats.refusals() == []


async def test_who_wants_failures_only_gets_one_message_at_the_failure_at_once(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    run = Story()
    await everything(database, "runs.*.failed")
    async with doubles(time) as served, telling(database, time, served) as chats:
        for what in ("queued", "started", "retrying"):
            await run.tell(database, chats, what)
        await run.tell(database, chats, "failed", attempt=2, error="disk broke", log_tail=["one"])
        await wait.until_all_ended()
        assert [len(chats.texts()), len(chats.posts(top=False))] == [1, 1]
    assert "disk broke" in chats.texts()[0]
    assert "one" in chats.texts()[0]
    assert chats.calls() == {"telegram": 1, "slack": 1}
    assert time.seconds < 1.0


async def test_states_that_come_out_of_order_never_undo_a_later_one(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    run, hasty = Story(), Story(job="other")
    await everything(database)
    async with doubles(time) as served:
        # The failure goes first, because it is severe; what waits behind it is older.
        for what in ("queued", "started", "failed"):
            await run.tell(database, None, what)
        # Progress that was read before the end and published after it.
        for what in ("queued", "started", "succeeded", "progress"):
            await hasty.tell(database, None, what)
        async with telling(database, time, served) as chats:
            await wait.until_all_ended()
            await hasty.tell(database, chats, "progress", progress=0.5)
            rows = await wait.until_all_ended()
            texts = chats.texts()
    assert [text for text in texts if "load failed" in text] == [texts[0]]
    assert len(texts) == 2
    assert "other succeeded" in texts[1]
    late = [row["error"] for row in rows if row["status"] == "suppressed"]
    assert any("shows a later state of the run: succeeded" in error for error in late)
    assert len(late) == len(rows) - 4


async def test_a_first_failure_does_not_wait_for_the_gap_between_edits(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    run = Story()
    await everything(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        await run.tell(database, chats, "queued")
        await wait.until(lambda: len(chats.texts()) == 1)
        begun = time.seconds
        await run.tell(database, chats, "failed", error="disk broke")
        await wait.until(lambda: "load failed" in chats.texts()[0])
        assert edits_at(chats)[0] - begun < 2.0
        await wait.until_all_ended()


async def test_channels_that_cannot_edit_are_told_each_state_but_no_progress(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    run = Story()
    await subscribe(database, "runs.>", "inbox:")
    await subscribe(database, "runs.load.progress", "inbox:asked")
    async with doubles(time) as served, open_inbox(database, time.clock) as inbox:
        async with telling(database, time, served, more={"inbox": inbox}) as chats:
            for what in ("queued", "started", "progress", "succeeded"):
                await run.tell(database, chats, what)
            rows = await wait.until_all_ended()
        titles = await select(database, "SELECT target, title FROM inbox ORDER BY id")
    assert sorted(row["title"] for row in titles if not row["target"]) == [
        "load queued", "load started", "load succeeded",
    ]  # fmt: skip
    assert [row["title"] for row in titles if row["target"]] == ["load running"]
    (suppressed,) = [row for row in rows if row["status"] == "suppressed"]
    assert suppressed["error"].startswith("progress is shown where")


async def test_a_channel_may_be_told_each_state_by_itself(database: Watched, time: HeldTime, wait: Patient) -> None:
    run = Story()
    await everything(database)
    async with doubles(time) as served, telling(database, time, served, living=["slack"]) as chats:
        for what in ("queued", "started", "succeeded"):
            await run.tell(database, chats, what)
            await wait.until_all_ended()
    assert len(chats.texts()) == 3
    assert len(chats.posts()) == 1


async def test_messages_that_nobody_touched_for_long_are_forgotten(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await everything(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        await Story().tell(database, chats, "succeeded")
        await wait.until_all_ended()
    at = (await select(database, "SELECT max(touched_at) AS at FROM living"))[0]["at"]
    assert await database.write(prune_living, Chunk(at)) == 0
    assert await database.write(prune_living, Chunk(at + 1)) == 2
    assert await select(database, "SELECT * FROM living") == []


async def test_many_runs_at_once_earn_no_429_and_all_show_how_they_ended(tmp_path: Path, time: HeldTime) -> None:
    rooms = [ROOM, "C0OTHER"]
    runs = [Story(job=f"job{number}") for number in range(26)]
    async with open_database(f"sqlite:///{tmp_path / 'l.db'}") as opened, doubles(time) as served:
        database = Watched(opened)
        wait = Patient(database, time)
        for room in rooms:
            await subscribe(database, "runs.>", f"slack:{room}")
        async with telling(database, time, served) as chats:
            chats.slack.rooms.append(Room(id=rooms[1]))
            await publish(database, *(run.event("started") for run in runs))
            await wait.until(lambda: len(chats.slack.committed) == len(rooms) * len(runs))
            await publish(database, *(run.event("succeeded") for run in runs))
            await wait.until_all_ended()
    assert chats.refusals() == []
    assert len(updates_at(chats)) == len(rooms) * len(runs) > 50
    assert all("succeeded" in text for text in chats.posts())


def spoil(chats: Chats, time: HeldTime, how: str) -> None:
    if how == "deleted":
        chats.telegram.chats.get(CHAT).messages.clear()
        chats.slack.delete(chats.slack.committed[0]["ts"])
    else:
        time.seconds += 48 * 3600
        chats.slack.edit_seconds = 60.0


@pytest.mark.parametrize("how", ["deleted", "old"])
async def test_where_an_edit_is_refused_another_message_refers_to_the_first(
    database: Watched, time: HeldTime, wait: Patient, how: str
) -> None:
    run = Story()
    await everything(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        await run.tell(database, chats, "started")
        await wait.until_all_ended()
        spoil(chats, time, how)
        await run.tell(database, chats, "progress", progress=0.5)
        rows = await wait.until_all_ended()
        again = chats.texts()[-1]
        sent = [call for call in chats.telegram.requests if call.method == "sendmessage"]
        post = chats.slack.committed[-1]
        time.seconds += 4
        await run.tell(database, chats, "succeeded")
        await wait.until_all_ended()
        assert "load succeeded" in chats.texts()[-1]
        assert len(sent) == 2
    assert CONTINUES in again
    assert "load running, 50%" in again
    assert CONTINUES in post["shown"] or "load succeeded" in post["shown"]
    reply = sent[-1].params.get("reply_parameters", {})
    assert reply.get("message_id") == (None if how == "deleted" else 1)
    assert post["thread_ts"] == (None if how == "deleted" else chats.slack.committed[0]["ts"])
    assert [row["status"] for row in rows] == ["delivered"] * 4
    assert all('"continues":' in row["receipts"] for row in rows[2:])


async def test_a_429_on_an_edit_is_waited_out_and_the_last_state_shown(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    run = Story()
    await everything(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        await run.tell(database, chats, "started")
        await wait.until_all_ended()
        chats.telegram.fail_next("429", seconds=30)
        await run.tell(database, chats, "progress", progress=0.5)
        await wait.until(lambda: len(edits_at(chats)) == 1)
        await run.tell(database, chats, "succeeded")
        rows = await wait.until_all_ended()
    assert len(chats.texts()) == 1
    assert "load succeeded" in chats.texts()[0]
    first, *later = edits_at(chats)
    assert len(later) == 1
    assert later[0] - first >= 29.999
    telegram = [row for row in rows if row["destination"] == BOTH[0]]
    assert [row["status"] for row in telegram] == ["delivered", "suppressed", "delivered"]
    assert "message 1 shows a later state of the run: succeeded" in telegram[1]["error"]


async def test_an_edit_whose_answer_is_lost_is_made_again_and_in_no_doubt(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    run = Story()
    await everything(database)
    async with doubles(time) as served, telling(database, time, served) as chats:
        await run.tell(database, chats, "started")
        await wait.until_all_ended()
        chats.telegram.fail_next("lost", count=2)
        await run.tell(database, chats, "succeeded")
        rows = await wait.until_all_ended()
    assert len(chats.texts()) == 1
    assert "load succeeded" in chats.texts()[0]
    assert {(row["status"], row["doubtful"]) for row in rows} == {("delivered", 0)}
    at = edits_at(chats)
    assert len(at) == 2
    assert all(later - earlier >= GAP for earlier, later in pairwise(at))


async def test_a_chat_that_migrates_gets_a_message_that_goes_on(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    run, old, new = Story(), -100, -1_001_234
    await subscribe(database, "runs.>", f"telegram:{old}")
    async with doubles(time) as served, telling(database, time, served) as chats:
        chats.telegram.chats.add(old, kind="group")
        await run.tell(database, chats, "started")
        await wait.until_all_ended()
        chats.telegram.people.migrate(old, new)
        await run.tell(database, chats, "progress", progress=0.5)
        await wait.until_all_ended()
        await run.tell(database, chats, "succeeded")
        rows = await wait.until_all_ended()
        shown = [text for text in chats.texts(new) if "load" in text]
        kept = await select(database, "SELECT destination, refused FROM living")
    assert len(shown) == 1
    assert "load succeeded" in shown[0]
    assert [row["status"] for row in rows] == ["delivered"] * 3
    assert kept == [{"destination": f"telegram:{new}", "refused": None}]
    sends: list[Any] = [call for call in chats.telegram.requests if call.method == "sendmessage" and call.committed]
    assert "reply_parameters" not in sends[-1].params
