"""The program ends at any step of a sending or an edit; the message of a run shows the last state all the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from notifiers.progress import NOTE
from sensord.ledger.database import open_database
from tests.doubles.slack import Fault, SlackDouble
from tests.doubles.telegram import TelegramDouble
from tests.notifiers.living_kit import CHAT, ROOM, Chats, Story, doubles, telling
from tests.notifiers.service import HeldTime, Patient, Watched, select, subscribe

TERMINAL = ("delivered", "suppressed", "uncertain", "dead")
LIFE = ("queued", "started", "progress", "progress", "retrying", "started", "progress")
Served = tuple[TelegramDouble, SlackDouble]


def stories(random: Random) -> list[tuple[Story, str]]:
    """The events of several runs as they become true, each run's in their order."""
    runs = [Story(job=f"job{number}", key=f"k{number}") for number in range(3)]
    lives = [
        [(run, what) for what in (*LIFE, end)] for run, end in zip(runs, ("succeeded", "failed", "lost"), strict=True)
    ]
    told: list[tuple[Story, str]] = []
    while any(lives):
        told.append(random.choice([life for life in lives if life]).pop(0))
    return told


async def one_life(url: str, time: HeldTime, served: Served, random: Random, told: list[tuple[Story, str]]) -> None:
    """Ended without notice at some step: of a claim, a call, an answer, a record, or between them."""
    async with open_database(url) as opened:
        database = Watched(opened)
        wait = Patient(database, time)
        async with telling(database, time, served) as chats:
            for _ in range(random.randrange(1, 30)):
                if told and random.random() < 0.5:
                    run, what = told.pop(0)
                    await run.tell(database, chats, what, progress=random.random(), error="disk broke")
                if random.random() < 0.5:
                    await wait._pass()
                else:
                    await checkpoint()


async def torture(url: str, seed: int) -> None:
    random, time = Random(seed), HeldTime()
    told = stories(random)
    runs = {run.job: what for run, what in told}
    async with open_database(url) as opened:
        for destination in (f"telegram:{CHAT}", f"slack:{ROOM}"):
            await subscribe(Watched(opened), "runs.>", destination)
    async with doubles(time) as served:
        served[0].fail_next("lost", count=None, rate=0.1)
        served[0].fail_next("502", count=None, rate=0.05)
        served[1].faults += [
            Fault(kind="lost", rate=0.1),
            Fault(kind="lost", method="chat.update", rate=0.1),
            Fault(kind="503", method="chat.update", rate=0.05),
        ]
        for _ in range(8):
            await one_life(url, time, served, random, told)
        async with open_database(url) as opened:
            database = Watched(opened)
            async with telling(database, time, served) as chats:
                for run, what in told:
                    await run.tell(database, chats, what, progress=0.5, error="disk broke")
                rows = await Patient(database, time, step=0.5).until_all_ended()
                living = await select(database, "SELECT * FROM living")
        check(chats, rows, living, runs)


def check(chats: Chats, rows: list[dict[str, object]], living: list[dict[str, object]], runs: dict[str, str]) -> None:
    assert {row["status"] for row in rows} <= {"delivered", "suppressed", "uncertain"}
    assert len(rows) == 2 * 3 * (len(LIFE) + 1)
    by_id = {"telegram": chats.telegram.chats.get(CHAT).messages}
    posts = {one["ts"]: one["shown"] for one in chats.slack.committed}
    for row in living:
        receipt = str(row["receipt"])
        kind = str(row["destination"]).partition(":")[0]
        shown = [
            str(text)
            for id_, text in (
                posts.items() if kind == "slack" else ((key, one["text"]) for key, one in by_id[kind].items())
            )
            if f'"id":"{id_}"' in receipt
        ]
        job = next(job for job in runs if any(job in text for text in shown))

        # Whatever else was sent, the message that is remembered shows how the run ended.
        assert len(shown) == 1
        assert f"{job} {runs[job]}" in shown[0]
        assert row["state"] == runs[job]
    # One message for a run at a destination, and one more for each answer that was lost of a sending.
    doubts = Counter(str(row["destination"]) for row in rows for _ in range(int(str(row["doubtful"]))))
    tops: dict[str, list[Any]] = {
        f"telegram:{CHAT}": [call for call in chats.telegram.committed if call.method == "sendmessage"],
        f"slack:{ROOM}": chats.slack.committed,
    }
    for destination, sent in tops.items():
        # Three messages, and a word under each of the two that ended badly, where they were edited.
        assert len(sent) <= 3 + 2 + 2 * doubts[destination], (destination, len(sent), doubts)
    marked = [text for text in chats.texts() if NOTE in text]
    assert len(marked) <= doubts[f"telegram:{CHAT}"]
    assert chats.refusals() == []


@pytest.mark.parametrize("seed", range(4))
async def test_whenever_it_ends_the_message_shows_the_last_state(tmp_path: Path, seed: int) -> None:
    await torture(f"sqlite:///{tmp_path / 'l.db'}", seed)


async def test_the_same_holds_on_either_server(database_url: str) -> None:
    await torture(database_url, 1000)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 200))
async def test_many_more_endings(tmp_path: Path, seed: int) -> None:
    await torture(f"sqlite:///{tmp_path / 'l.db'}", seed)


async def test_an_edit_that_was_cut_off_is_made_again_without_a_doubt(tmp_path: Path) -> None:
    url, time = f"sqlite:///{tmp_path / 'l.db'}", HeldTime()
    run = Story()
    async with doubles(time) as served:
        async with open_database(url) as opened:
            database = Watched(opened)
            await subscribe(database, "runs.>", f"telegram:{CHAT}")
            async with telling(database, time, served) as chats:
                await run.tell(database, chats, "started")
                await Patient(database, time).until_all_ended()
                await run.tell(database, chats, "succeeded")
        async with open_database(url) as opened:
            with opened.engine.begin() as conn:
                # As a crash leaves it: routed, claimed, and perhaps edited.
                conn.exec_driver_sql("UPDATE deliveries SET status = 'sending', attempts = 1 WHERE status = 'pending'")
            database = Watched(opened)
            async with telling(database, time, served) as chats:
                rows = await Patient(database, time).until_all_ended()
    assert [(row["status"], row["doubtful"]) for row in rows] == [("delivered", 0)] * 2
    assert len(chats.texts()) == 1
    assert "load succeeded" in chats.texts()[0]
