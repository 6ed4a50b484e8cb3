"""Buttons under run messages in Slack: what they do there is what they do in Telegram."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from notifiers.clock import to_us
from tests.chat.slack_kit import ADMIN, GUEST, OWNER, ROOM, STRANGER, VIEWER, slack, workspace
from tests.chat.slack_pressing import ALL, OPERATOR, ROLES, acts, buttons, failed, posts, press, whispers
from tests.chat.test_slack_http import asked
from tests.doubles.slack import Fault, Room, running
from tests.doubles.slack_people import interaction
from tests.notifiers.service import subscribe
from tests.sources.app_kit import ended, event, launch, runs_of
from tests.sources.directory_kit import until

AT_ONCE = 2
MINE = f"D{OWNER[1:]}"


async def test_a_run_is_acknowledged_repeated_and_looked_into_by_buttons(tmp_path: Path, database_url: str) -> None:
    async with slack(tmp_path, database_url, roles=ROLES) as it:
        await it.ask("subscribe runs.*.failed", room=ROOM)
        await it.ask("subscribe runs.*.failed")
        seen = await failed(it, ROOM)
        await until(lambda: bool(posts(it, MINE)))
        (own,) = posts(it, MINE)
        assert list(buttons(it, seen)) == list(buttons(it, own)) == ALL
        assert not set(buttons(it, seen).values()) & set(buttons(it, own).values())
        assert await press(it, seen, "Acknowledge", user=OPERATOR) == "Acknowledged."
        for one in (seen, own):
            await until(lambda one=one: "Acknowledged by u0admin" in one["shown"])  # type: ignore[misc]
            assert "Acknowledge" not in buttons(it, one)
        assert await press(it, own, "Re-run", user=OWNER) == "Re-run."
        first, second = await ended(it.app, "extract", 2)
        assert f'"sensord/retry_of":"{first["id"]}"' in second["tags"]
        for one in (seen, own):
            await until(lambda one=one: f"run {second['id']}" in one["shown"])  # type: ignore[misc]
            assert list(buttons(it, one)) == ["Details", "Log", "Mute until fixed"]
        assert await press(it, seen, "Details", user=VIEWER) == "Here it comes."
        await until(lambda: any("failed: exit code 3" in text for text in it.texts(ROOM)))
        assert "has written nothing" in await press(it, seen, "Log", user=VIEWER)
        assert [row["person"] for row in acts(it, "acknowledged")] == [f"slack:{OPERATOR}"]
        assert [row["place"] for row in acts(it, "rerun")] == [f"slack:{OWNER}"]
        assert it.double.people.wrong == []


async def test_a_job_is_muted_until_it_is_fixed_in_the_channel_of_the_press_alone(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES) as it:
        await it.ask("subscribe runs.*.failed", room=ROOM)
        await it.ask("subscribe runs.*.failed")
        seen = await failed(it, ROOM)
        assert await press(it, seen, "Mute until fixed", user=OPERATOR) == "Muted here until it succeeds."
        await until(lambda: "Muted here until it succeeds by u0admin" in seen["shown"])
        await launch(it.app, "extract", code=3)
        await ended(it.app, "extract", 2)
        await until(lambda: len(posts(it, MINE)) == 2)
        await it.heard()
        held = it.rows("SELECT destination FROM deliveries WHERE status = 'held' AND severity >= 40")
        assert [row["destination"] for row in held] == [f"slack:{ROOM}"]
        assert "Mute until fixed" in buttons(it, posts(it, MINE)[0])


async def test_presses_come_as_signed_requests_as_well(tmp_path: Path) -> None:
    async with asked(tmp_path, roles=ROLES) as site:
        it = site.it
        await site.sign("commands", site.command("subscribe runs.*.failed"))
        seen = await failed(it, ROOM)
        people = it.double.people
        payload = people.pressed(ROOM, seen["ts"], buttons(it, seen)["Re-run"], user=OPERATOR)
        body = interaction(payload)
        for ago in (0, 60, 120):
            assert await site.sign("interactivity", body, ago=ago) == (200, "")
        await until(lambda: "Re-run by u0admin" in seen["shown"])
        await until(lambda: len(whispers(it)) == 3)
        assert min(whispers(it)) == "Re-run already, by u0admin."
        assert whispers(it).count("Re-run.") == 1
        assert len(await ended(it.app, "extract", 2)) == 2
        forged = json.dumps(payload).replace(OPERATOR, OWNER)
        assert (await site.sign("interactivity", interaction(json.loads(forged)), secret="0" * 32))[0] == 401
        assert len(acts(it, "rerun")) == 1


async def test_who_may_not_act_cannot_by_a_button_either(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES) as it:
        await it.ask("subscribe runs.*.failed", room=ROOM)
        seen = await failed(it, ROOM)
        members = it.double.people.members
        assert await press(it, seen, "Re-run", user=VIEWER) == "That is for operators of this job."
        for user in (STRANGER, GUEST):
            assert "no role" in await press(it, seen, "Acknowledge", user=user)
        members[ROOM] = [OWNER, VIEWER]
        assert await press(it, seen, "Re-run", user=OPERATOR) == "You are no longer in this chat."
        it.double.scopes.discard("users:read")
        del members[ROOM]
        assert "could not be found out" in await press(it, seen, "Re-run", user=OPERATOR)
        it.double.scopes.add("users:read")
        chat = it.app.chats.slack
        assert chat is not None
        granted = chat._conversations.granted
        chat._conversations.granted = {person: some for person, some in granted.items() if person != f"slack:{ADMIN}"}
        assert "no role" in await press(it, seen, "Re-run", user=OPERATOR)
        await it.heard()
        assert len(await runs_of(it.app, "extract")) == 1
        assert list(buttons(it, seen)) == ALL
        assert len(acts(it, "denied")) == 5


async def test_a_forged_a_foreign_and_an_old_button_do_nothing(tmp_path: Path, database_url: str) -> None:
    async with slack(tmp_path, database_url, roles=ROLES) as it:
        await it.ask("subscribe runs.*.failed")
        await it.ask("subscribe runs.extract.*", user=OPERATOR)
        seen = await failed(it, MINE)
        theirs = f"D{OPERATOR[1:]}"
        people, nonce = it.double.people, buttons(it, seen)["Re-run"]
        for value in ("x", "x" * 255, nonce[:-1], f"{nonce}'--", "é\u202e"):
            await people.tell("interactive", people.pressed(MINE, seen["ts"], value, user=OWNER))
        await it.heard()
        foreign = people.pressed(theirs, posts(it, theirs)[0]["ts"], nonce, user=OPERATOR)
        await people.tell("interactive", foreign)
        await until(lambda: len(whispers(it)) == 6)
        assert set(whispers(it)) == {"This button means nothing here."}
        nothing = {"type": "block_actions", "trigger_id": "1.2.a", "user": {"id": OWNER}, "actions": [{}]}
        await people.tell("interactive", nothing)
        at = to_us(it.app.clock.now())
        await it.app.database.write(
            lambda conn, _: [conn.exec_driver_sql(f"UPDATE chat_buttons SET expires_at = {at}").rowcount], 0
        )
        assert "too old" in await press(it, seen, "Re-run", user=OWNER)
        await it.heard()
        assert len(await runs_of(it.app, "extract")) == 1
        assert acts(it, "rerun") == []


async def test_a_word_that_slack_does_not_take_loses_nothing(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES) as it:
        await it.ask("subscribe runs.*.failed")
        seen = await failed(it, MINE)
        it.double.faults = [Fault(kind="reset", method="/response_url"), Fault(kind="500", method="chat.update", nth=1)]
        await it.double.people.press(seen, "Acknowledge", user=OWNER)
        await until(lambda: "Acknowledged by u0owner" in seen["shown"])
        it.double.faults = []
        elsewhere = it.double.people.pressed(MINE, seen["ts"], buttons(it, seen)["Re-run"], user=OWNER)
        elsewhere["response_url"] = "http://127.0.0.1:9/nowhere"
        await it.double.people.tell("interactive", elsewhere)
        await until(lambda: "Re-run by u0owner" in seen["shown"])
        await it.heard()
        assert whispers(it) == []
        assert len(acts(it, "acknowledged")) == len(acts(it, "rerun")) == 1


async def test_where_the_message_cannot_be_changed_another_one_says_it(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES) as it:
        await it.ask("subscribe runs.*.failed", room=ROOM)
        seen = await failed(it, ROOM)
        it.double.delete(seen["ts"])
        await it.double.people.press(seen, "Acknowledge", user=OPERATOR)
        await until(lambda: any("extract: Acknowledged by u0admin" in text for text in it.texts(ROOM)))
        await it.heard()
        assert {row["status"] for row in it.rows("SELECT status FROM deliveries")} == {"delivered"}


async def test_a_channel_that_is_configured_by_its_name_is_known_when_it_is_pressed_there(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES) as it:
        await subscribe(it.app.database, "runs.*.failed", "slack:#data")
        await subscribe(it.app.database, "runs.*.failed", f"slack:{MINE}")
        await it.app.delivery.refresh()
        seen = await failed(it, ROOM)
        await it.heard()
        assert await press(it, seen, "Acknowledge", user=OPERATOR) == "Acknowledged."
        await until(lambda: "Acknowledged by u0admin" in seen["shown"])
        (own,) = posts(it, MINE)
        assert await press(it, own, "Re-run", user=OWNER) == "Re-run."


@pytest.mark.parametrize("presses", [200, pytest.param(1000, marks=pytest.mark.campaign)])
async def test_many_presses_by_two_people_are_one_act_across_a_restart(tmp_path: Path, presses: int) -> None:
    async with running(workspace()) as double:
        people = double.people

        async def crowd(message: dict[str, Any], nonce: str) -> None:
            for number in range(presses // 2):
                payload = people.pressed(ROOM, message["ts"], nonce, user=(OWNER, OPERATOR)[number % 2])
                await people.tell("interactive", payload)

        async with slack(tmp_path, double=double, roles=ROLES) as it:
            await subscribe(it.app.database, "runs.extract.failed", f"slack:{ROOM}")
            await it.app.delivery.refresh()
            seen = await failed(it, ROOM)
            nonce = buttons(it, seen)["Re-run"]
            await crowd(seen, nonce)
            await until(lambda: len(people.acks) > presses // 10)
        await until(lambda: not people.lines)
        await crowd(seen, nonce)
        # What was not acknowledged is told again, whether it was carried out or not.
        assert len(people.waiting) > presses // 2
        async with slack(tmp_path, double=double, roles=ROLES) as it:
            await it.heard()
            assert len(await ended(it.app, "extract", 2)) == 2
            assert len(acts(it, "rerun")) == 1
            assert len(it.rows("SELECT id FROM events WHERE topic = 'chat.rerun'")) == 1
            assert seen["shown"].count("Re-run by u0") == 1
            assert sum(line["method"] == "chat.update" and line["committed"] for line in double.requests) == 1


@pytest.mark.parametrize("number", [20, pytest.param(45, marks=pytest.mark.campaign)])
async def test_from_a_press_to_its_visible_change_it_takes_less_than_a_second(tmp_path: Path, number: int) -> None:
    double = workspace()
    double.limits = True
    rooms = [f"C1{place}" for place in range(number)]
    double.rooms += [Room(id=room, name=room.lower()) for room in rooms]
    async with running(double), slack(tmp_path, double=double, roles=ROLES) as it:
        for room in rooms:
            await subscribe(it.app.database, f"t.{room}", f"slack:{room}")
        await it.app.delivery.refresh()
        about = {"type": "run.failed", "job": "extract"}
        events = [event("runs.extract.failed", also=f"t.{room}", run=f"run-{room}", **about) for room in rooms]
        await it.app.bus.publish(events)
        it.app.published()
        await until(lambda: len(double.committed) == number)
        # Who has just been written to hears nothing more for a second: Slack's limit, and no press is that quick.
        await until(lambda: double.clock() > double.committed[-1]["posted_at"] + 1.0)
        took: list[float] = []

        async def one(message: dict[str, Any]) -> None:
            began = time.monotonic()
            await double.people.press(message, "Acknowledge", user=OWNER)
            await until(lambda: "Acknowledged by u0owner" in str(message["shown"]))
            took.append(time.monotonic() - began)

        for start in range(0, number, AT_ONCE):
            async with anyio.create_task_group() as group:
                for message in double.committed[start : start + AT_ONCE]:
                    group.start_soon(one, message)
        took.sort()
        print(f"press to visible change: p50 {took[number // 2]:.3f} s, p95 {took[number * 95 // 100]:.3f} s")
        assert took[number * 95 // 100] < 1.0
        assert {line["status"] for line in double.requests} == {200}
