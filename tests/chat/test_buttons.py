"""Buttons under run messages: who has them, who may press them, and what a press does, once; in the whole daemon."""

from __future__ import annotations

from pathlib import Path

from notifiers.channels.slack_blocks import render
from notifiers.chat.buttons import HELD_US
from notifiers.chat.retention import prune_buttons
from notifiers.clock import to_us
from notifiers.message import Button, Message
from notifiers.retention import Chunk
from tests.chat.kit import ADMIN, GROUP, OWNER, STRANGER, VIEWER, Telegram, telegram
from tests.chat.pressing import OPERATOR, ROLES, Seen, acts, failed, messages, now, press, toasts
from tests.doubles.slack_blockkit import faults_of
from tests.doubles.telegram import Limits, open_double
from tests.notifiers.service import subscribe
from tests.sources.app_kit import ended, event, launch, runs_of
from tests.sources.directory_kit import until


async def in_group(it: Telegram, *people: int) -> None:
    it.double.chats.add(GROUP, kind="supergroup")
    for person in people:
        it.double.people.members[GROUP, person] = "member"
    await subscribe(it.app.database, "runs.>", f"telegram:{GROUP}")
    await it.app.delivery.refresh()


async def test_the_message_of_a_run_has_the_buttons_of_what_became_of_it(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        await it.ask("/subscribe >")
        seen = await failed(it)
        await launch(it.app, "load")
        await it.app.bus.publish([event("bp.x", message="just a message")])
        it.app.published()
        await until(lambda: any("just a message" in one.text for one in messages(it, OWNER)))
        await it.heard()
        assert list(seen.buttons) == ["Details", "Log", "Re-run", "Acknowledge", "Mute until fixed"]
        assert all(len(data.encode()) == 32 for data in seen.buttons.values())
        by_text = {one.text.split("\n")[0].split(" ", 1)[1]: list(one.buttons) for one in messages(it, OWNER)}
        assert by_text["load succeeded"] == ["Details"]
        assert by_text["just a message"] == []


async def test_where_commands_are_off_there_are_no_buttons(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES, commands="false") as it:
        await subscribe(it.app.database, "runs.*.failed", "telegram:1")
        await it.app.delivery.refresh()
        await launch(it.app, "extract", code=3)
        await until(lambda: bool(messages(it, OWNER)))
        assert messages(it, OWNER)[0].buttons == {}
        assert it.rows("SELECT * FROM chat_buttons") == []


async def test_a_message_that_is_sent_again_has_the_same_buttons(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        await it.ask("/subscribe runs.*.failed")
        await it.heard()
        it.double.fail_next("lost")
        await failed(it)
        await until(lambda: len(messages(it, OWNER)) == 3)
        _, first, second = messages(it, OWNER)
        assert "Possible repeat" in second.text
        assert first.buttons == second.buttons
        await press(it, first, "Re-run")
        await press(it, second, "Re-run")
        assert len(await runs_of(it.app, "extract")) == 2
        await until(lambda: any("Re-run by person 1" in one.text for one in messages(it, OWNER)))


async def test_buttons_are_there_before_their_message_is_and_the_next_life_sends_the_same(
    tmp_path: Path, database_url: str
) -> None:
    async with open_double(limits=Limits(enforce=False)) as double:
        async with telegram(tmp_path, database_url, double=double, roles=ROLES) as it:
            await it.ask("/subscribe runs.*.failed")
            await it.heard()
            double.fail_next("reset", count=None)
            await launch(it.app, "extract", code=3)
            made = "SELECT nonce FROM chat_buttons ORDER BY nonce"
            await until(lambda: bool(it.rows(made)))
        double.faults.clear()
        async with telegram(tmp_path, database_url, double=double, roles=ROLES) as it:
            await until(lambda: any(one.buttons for one in messages(it, OWNER)))
            seen = messages(it, OWNER)[-1]
            assert sorted(seen.buttons.values()) == sorted(row["nonce"] for row in it.rows(made))
            assert await press(it, seen, "Acknowledge") == "Acknowledged."


async def test_an_acknowledgement_stands_in_the_message_and_in_every_other_chat(
    tmp_path: Path, database_url: str
) -> None:
    async with telegram(tmp_path, database_url, roles=ROLES) as it:
        await in_group(it, OPERATOR)
        await it.ask("/subscribe runs.*.failed")
        own = await failed(it)
        await until(lambda: any(one.buttons for one in messages(it, GROUP)))
        (theirs,) = [one for one in messages(it, GROUP) if "extract failed" in one.text]
        assert not set(own.buttons.values()) & set(theirs.buttons.values())
        assert await press(it, theirs, "Acknowledge", user=OPERATOR) == "Acknowledged."
        for one in (own, theirs):
            await until(lambda one=one: "Acknowledged by person 5" in now(it, one).text)  # type: ignore[misc]
            assert list(now(it, one).buttons) == ["Details", "Log", "Re-run", "Mute until fixed"]
            assert now(it, one).text.startswith(one.text)
        assert await press(it, own, "Acknowledge") == "Acknowledged already, by person 5."
        (act,) = acts(it, "acknowledged")
        assert (act["person"], act["place"], bool(act["allowed"])) == ("telegram:5", f"telegram:{GROUP}", True)
        assert it.rows("SELECT id FROM events WHERE topic = 'chat.acknowledged'") == [{"id": act["id"]}]
        await it.heard()
        assert len([one for one in messages(it, OWNER) if "cknowledged" in one.text]) == 1


async def test_a_run_is_repeated_once_and_the_message_names_the_new_one(tmp_path: Path, database_url: str) -> None:
    async with telegram(tmp_path, database_url, roles=ROLES) as it:
        await it.ask("/subscribe runs.extract.failed", user=OPERATOR)
        seen = await failed(it, OPERATOR)
        assert await press(it, seen, "Re-run", user=OPERATOR) == "Re-run."
        first, second = await ended(it.app, "extract", 2)
        assert f'"sensord/retry_of":"{first["id"]}"' in second["tags"]
        assert second["run_config"] == first["run_config"]
        await until(lambda: f"run {second['id']}" in now(it, seen).text)
        assert list(now(it, seen).buttons) == ["Details", "Log", "Acknowledge", "Mute until fixed"]
        (act,) = acts(it, "rerun")
        assert f"repeated as run {second['id']}" in act["detail"]


async def test_a_job_is_muted_until_it_is_fixed_in_the_chat_of_the_press_alone(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        await in_group(it, OPERATOR)
        await it.ask("/subscribe runs.*.failed")
        own = await failed(it)
        await until(lambda: any(one.buttons for one in messages(it, GROUP)))
        (theirs,) = [one for one in messages(it, GROUP) if "extract failed" in one.text]
        assert await press(it, theirs, "Mute until fixed", user=OPERATOR) == "Muted here until it succeeds."
        await until(lambda: "Muted here until it succeeds by person 5" in now(it, theirs).text)
        assert list(now(it, theirs).buttons) == ["Details", "Log", "Re-run", "Acknowledge"]
        await launch(it.app, "extract", code=3)
        await ended(it.app, "extract", 2)
        await until(lambda: len([one for one in messages(it, OWNER) if "extract failed" in one.text]) == 2)
        await it.heard()
        assert "Muted" not in now(it, own).text
        assert "Mute until fixed" in now(it, own).buttons
        held = it.rows("SELECT destination, error FROM deliveries WHERE status = 'held' AND severity >= 40")
        assert [row["destination"] for row in held] == [f"telegram:{GROUP}"]
        assert "job extract is muted until it succeeds by person 5" in held[0]["error"]
        (act,) = acts(it, "muted")
        assert (act["person"], act["place"]) == ("telegram:5", f"telegram:{GROUP}")
        await launch(it.app, "extract")
        await until(lambda: any("The mute of job extract ended (it succeeded)" in text for text in it.texts(GROUP)))


async def test_a_chat_that_is_configured_by_its_name_is_known_when_it_is_pressed_there(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        channel = it.double.chats.add("@alerts")
        await subscribe(it.app.database, "runs.*.failed", "telegram:@alerts")
        await it.app.delivery.refresh()
        it.double.people.members[channel.id, OPERATOR] = "member"
        seen = await failed(it, channel.id)
        await it.heard()
        assert await press(it, seen, "Acknowledge", user=OPERATOR) == "Acknowledged."
        await until(lambda: "Acknowledged by person 5" in now(it, seen).text)


async def test_buttons_that_look_can_be_pressed_often_and_by_several(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        await in_group(it, VIEWER, STRANGER, OPERATOR)
        await failed(it, GROUP)
        (seen,) = [one for one in messages(it, GROUP) if "extract failed" in one.text]
        for user in (VIEWER, STRANGER, VIEWER):
            assert await press(it, seen, "Details", user=user) == "Here it comes."
        # Who has no role sees what the group is told, and no more.
        assert await press(it, seen, "Log", user=STRANGER) == "That is not yours to see."
        assert "has written nothing" in (await press(it, seen, "Log", user=VIEWER) or "")
        await until(lambda: sum("failed: exit code 3" in text for text in it.texts(GROUP)) == 3)
        for _ in range(20):
            it.double.press(GROUP, seen.id, seen.buttons["Details"], user=VIEWER)
        await it.heard()
        assert len(it.rows("SELECT id FROM chat_answers")) <= 11
        assert any("more than is answered" in (word or "") for word in toasts(it))


async def test_who_may_not_act_cannot_by_a_button_either(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        await in_group(it, OPERATOR, VIEWER, STRANGER)
        it.double.people.members[GROUP, ADMIN] = "administrator"
        seen = await failed(it, GROUP)
        assert await press(it, seen, "Re-run", user=VIEWER) == "That is for operators of this job."
        for user in (STRANGER, ADMIN):
            assert "no role" in (await press(it, seen, "Acknowledge", user=user) or "")
        it.double.people.members[GROUP, OPERATOR] = "left"
        assert await press(it, seen, "Re-run", user=OPERATOR) == "You are no longer in this chat."
        it.double.people.members[GROUP, OPERATOR] = "inaccessible"
        assert "could not be found out" in (await press(it, seen, "Re-run", user=OPERATOR) or "")
        it.double.people.members[GROUP, OPERATOR] = "member"
        granted = it.app.chats.telegram._conversations.granted  # type: ignore[union-attr]
        without = {person: grants for person, grants in granted.items() if person != "telegram:5"}
        it.app.chats.telegram._conversations.granted = without  # type: ignore[union-attr]
        assert "no role" in (await press(it, seen, "Re-run", user=OPERATOR) or "")
        await it.heard()
        assert len(await runs_of(it.app, "extract")) == 1
        assert now(it, seen) == seen
        assert acts(it, "rerun") == acts(it, "acknowledged") == []
        assert len(acts(it, "denied")) == 5
        # A thousand more of them are not a thousand rows.
        for _ in range(100):
            it.double.press(GROUP, seen.id, seen.buttons["Re-run"], user=VIEWER)
        await it.heard()
        assert len(acts(it, "denied")) == 5


async def test_a_forged_a_foreign_and_an_old_button_do_nothing(tmp_path: Path, database_url: str) -> None:
    async with telegram(tmp_path, database_url, roles=ROLES) as it:
        await it.ask("/subscribe runs.*.failed")
        await it.ask("/subscribe runs.extract.*", user=OPERATOR)
        seen, theirs = await failed(it), messages(it, OPERATOR)[-1]
        await it.heard()
        forged = ["", "x" * 64, "x" * 65, seen.buttons["Re-run"][:-1], f"{seen.buttons['Re-run']}'--", "é\u202e\x00"]
        for data in forged:
            it.double.press(OWNER, seen.id, data, user=OWNER)
        # What is longer than Telegram allows is no press at all.
        await until(lambda: len(toasts(it)) == len(forged) - 1)
        foreign = Seen(OPERATOR, theirs.id, "", seen.buttons)
        assert await press(it, foreign, "Re-run", user=OPERATOR) == "This button means nothing here."
        at = to_us(it.app.clock.now())
        await it.app.database.write(
            lambda conn, _: [conn.exec_driver_sql(f"UPDATE chat_buttons SET expires_at = {at}").rowcount], 0
        )
        assert "too old" in (await press(it, seen, "Re-run") or "")
        assert "too old" in (await press(it, seen, "Details") or "")
        await it.heard()
        assert len(await runs_of(it.app, "extract")) == 1
        assert acts(it, "rerun") == []
        assert len(acts(it, "denied")) == 2
        assert not any("no role here yet" in text for text in it.texts(OWNER))


async def test_a_press_while_the_daemon_was_down_counts_once_and_is_shown(tmp_path: Path, database_url: str) -> None:
    async with open_double(limits=Limits(enforce=False)) as double:
        async with telegram(tmp_path, database_url, double=double, roles=ROLES) as it:
            await it.ask("/subscribe runs.*.failed")
            seen = await failed(it)
            await it.heard()
        double.press(OWNER, seen.id, seen.buttons["Re-run"], user=OWNER)
        again = dict(double.people.updates[0])
        # The edits find nobody for as long as this life lasts: the next one makes them.
        double.fail_next("500", count=None)
        async with telegram(tmp_path, database_url, double=double, roles=ROLES) as it:
            await until(lambda: bool(acts(it, "rerun")))
            await until(lambda: any(call.method == "editmessagetext" for call in double.requests))
        double.faults.clear()
        # As if that had not been confirmed: Telegram tells it again, and other presses of the same button.
        double.people.updates.insert(0, again)
        double.press(OWNER, seen.id, seen.buttons["Re-run"], user=OWNER)
        async with telegram(tmp_path, database_url, double=double, roles=ROLES) as it:
            await until(lambda: "Re-run by person 1" in now(it, seen).text)
            await it.heard()
            assert len(await ended(it.app, "extract", 2)) == 2
            assert len(acts(it, "rerun")) == 1
            assert "already" in (toasts(it)[-1] or "")


async def test_where_the_message_cannot_be_changed_another_one_says_it(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        await it.ask("/subscribe runs.*.failed")
        seen = await failed(it)
        await it.heard()
        kept = it.double.chats.get(OWNER).messages
        query = it.double.press(OWNER, seen.id, seen.buttons["Acknowledge"], user=OWNER)
        del kept[seen.id]
        await until(lambda: any("extract: Acknowledged by person 1" in text for text in it.texts(OWNER)))
        assert query not in it.double.people.open_callbacks
        await it.heard()
        assert len([text for text in it.texts(OWNER) if "cknowledged" in text]) == 1
        ended_as = {row["status"] for row in it.rows("SELECT status FROM deliveries")}
        assert ended_as == {"delivered"}


async def test_a_lost_answer_to_a_change_is_no_second_message(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        await it.ask("/subscribe runs.*.failed")
        seen = await failed(it)
        await it.heard()
        it.double.fail_next("lost")
        await press(it, seen, "Acknowledge")
        await it.heard()
        assert "Acknowledged by person 1" in now(it, seen).text
        assert len(messages(it, OWNER)) == 2
        assert {row["status"] for row in it.rows("SELECT status FROM deliveries")} == {"delivered"}


async def test_a_recovery_keeps_what_was_done_and_an_old_press_does_not_write_over_it(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        await it.ask("/subscribe runs.*.failed")
        seen = await failed(it)
        await press(it, seen, "Acknowledge")
        await until(lambda: "Acknowledged by person 1" in now(it, seen).text)
        await launch(it.app, "extract")
        await until(lambda: "Recovered: extract succeeded" in now(it, seen).text)
        await it.heard()
        recovered = now(it, seen)
        assert "Acknowledged by person 1" in recovered.text
        assert recovered.buttons == {}
        # Somebody's screen still shows the buttons.
        assert await press(it, seen, "Re-run") == "Re-run."
        await until(lambda: any("extract: Re-run by person 1" in text for text in it.texts(OWNER)))
        await it.heard()
        assert now(it, seen) == recovered
        assert len(await ended(it.app, "extract", 3)) == 3


async def test_old_buttons_go_and_those_that_can_be_pressed_stay(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES) as it:
        await it.ask("/subscribe runs.*.failed")
        seen = await failed(it)
        await press(it, seen, "Acknowledge")
        await it.heard()
        at = to_us(it.app.clock.now())
        assert await it.app.database.write(prune_buttons, Chunk(before=at - 60_000_000)) == 0
        # One change, and that two things were heard.
        assert await it.app.database.write(prune_buttons, Chunk(before=at + 60_000_000)) == 3
        assert await it.app.database.write(prune_buttons, Chunk(before=at + HELD_US + 60_000_000)) == 5
        assert await press(it, seen, "Re-run") == "This button means nothing here."


def test_slack_shows_the_same_buttons_as_actions() -> None:
    buttons = [Button(text, "n" * 31 + str(place)) for place, text in enumerate(("Details", "Log", "Re-run"))]
    (post,) = render(Message(title="extract failed", buttons=buttons))
    actions = post.payload["blocks"][-1]
    assert actions["type"] == "actions"
    assert [(one["text"]["text"], one["value"]) for one in actions["elements"]] == [
        (button.text, button.nonce) for button in buttons
    ]
    assert faults_of(post.payload["blocks"]) == []
