"""What is said to the app in Slack is what can be said to the bot in Telegram: by the right people, in every place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from notifiers.chat import Person, Place, Standing
from notifiers.chat.wording import as_typed
from notifiers.message import Message, Pre, Text
from rules.event import Severity
from tests.channels.slack_messages import HOSTILE
from tests.chat.slack_kit import (
    ADMIN,
    GUEST,
    OWNER,
    ROLES,
    ROOM,
    SECRET_ROOM,
    STRANGER,
    VIEWER,
    slack,
    workspace,
)
from tests.chat.test_first_message import configuration
from tests.doubles.slack import Room, running
from tests.doubles.slack_people import BOT
from tests.notifiers.service import event
from tests.sources.directory_kit import until


async def test_a_channel_subscribes_itself_and_is_told(tmp_path: Path, database_url: str) -> None:
    async with slack(tmp_path, database_url) as it:
        answer = await it.ask("subscribe bp.houses.> severity>=warning", room=ROOM)
        assert "This chat is told of bp.houses.> severity>=warning from now on" in answer
        assert "/sensord test sends a test message" in answer
        assert it.subscribed() == [("bp.houses.>", f"slack:{ROOM}", '{"severity":">=warning"}')]
        assert "Test message, asked for by steve" in await it.ask("test", room=ROOM, name="steve")
        await it.app.bus.publish([event("houses.csv has no rows", "bp.houses.quality", Severity.error)])
        it.app.published()
        await until(lambda: any("has no rows" in text for text in it.texts(ROOM)))
        assert "bp.houses.>" in await it.ask("unsubscribe all", room=ROOM)
        assert it.subscribed() == []
        acts = it.rows("SELECT person, place, act FROM chat_acts ORDER BY id")
        assert [row["act"] for row in acts] == ["subscribed", "test", "unsubscribed"]
        assert {(row["person"], row["place"]) for row in acts} == {(f"slack:{OWNER}", f"slack:{ROOM}")}


async def test_an_empty_channel_has_its_first_test_message_within_a_minute_and_three_messages(tmp_path: Path) -> None:
    double = workspace()
    double.limits = True
    async with running(double), slack(tmp_path, double=double) as it:
        before = configuration(tmp_path)
        started = time.monotonic()
        await double.people.command(ROOM, "subscribe bp.houses.>", user=OWNER)
        await double.people.command(ROOM, "test", user=OWNER)
        await until(lambda: any("Test message" in text for text in it.texts(ROOM)))
        assert time.monotonic() - started < 60
        assert len(it.texts(ROOM)) == 2
        assert configuration(tmp_path) == before
        assert {line["status"] for line in double.requests} == {200}


async def test_the_channel_sees_what_was_typed_and_a_direct_message_and_an_invitation_stay_private(
    tmp_path: Path,
) -> None:
    async with slack(tmp_path) as it:
        await it.ask("subs", room=ROOM)
        await it.ask("subs")
        await it.ask("start i_nothing", room=ROOM)
        await it.heard()
        assert [shown for _, shown in it.double.people.acks] == [{"response_type": "in_channel"}, None, None]
        assert it.double.people.wrong == []


async def test_commands_are_typed_in_many_ways(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        for text in ("", "help", "/help", "  HELP ", "/HELP"):
            assert "/sensord subscribe PATTERN" in await it.ask(text)
        assert "/sensord-dev subs" in await it.ask("subscribe a.>", slash="/sensord-dev")
        assert "Did you mean /sensord topics?" in await it.ask("topic")
        mine = f"D{OWNER[1:]}"
        people, before = it.double.people, len(it.texts(mine))
        await people.direct(mine, "subs", user=OWNER)
        await until(lambda: len(it.texts(mine)) == before + 1)
        assert "a.>" in it.texts(mine)[-1]
        await people.direct(mine, "good morning", user=OWNER)
        await until(lambda: len(it.texts(mine)) == before + 2)
        assert "Only commands are understood here" in it.texts(mine)[-1]


async def test_a_mention_is_a_command_and_a_thread_is_a_place_of_its_own(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        people = it.double.people
        await people.mention(ROOM, "subs", user=OWNER)
        await until(lambda: bool(it.texts(ROOM)))
        thread = it.double.committed[0]["ts"]
        await people.mention(ROOM, "subscribe bp.&gt; severity&gt;=warning", user=OWNER, thread_ts=thread)
        await until(lambda: len(it.texts(ROOM)) == 2)
        assert [message["thread_ts"] for message in it.double.committed] == [None, thread]
        assert it.subscribed() == [("bp.>", f"slack:{ROOM}/{thread}", '{"severity":">=warning"}')]
        # What looks like an address, Slack makes one.
        await people.mention(ROOM, "subscribe <http://bp.houses.is|bp.houses.is>", user=OWNER)
        await until(lambda: len(it.texts(ROOM)) == 3)
        assert it.subscribed()[1][0] == "bp.houses.is"


async def test_what_is_not_said_to_the_app_is_not_ours(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        people, mine = it.double.people, f"D{OWNER[1:]}"
        await people.event("app_mention", channel=ROOM, text=f"ask <@{BOT}> subs", user=OWNER, ts="1.2")
        await people.event("app_mention", channel=ROOM, text=f"<@U0OTHER> <@{BOT}> subs", user=OWNER, ts="1.2")
        await people.event("message", channel=ROOM, text="subs", user=OWNER, ts="1.2", channel_type="channel")
        await people.direct(mine, "subs", user=OWNER, subtype="message_changed")
        await people.direct(mine, "subs", user=OWNER, bot_id="B0")
        await people.event("reaction_added", user=OWNER, reaction="eyes", item={})
        await people.tell("interactive", {"type": "view_closed", "trigger_id": "1.2.3", "user": {"id": OWNER}})
        await people.tell("something_new", {"trigger_id": "1.2.4"})
        await it.heard()
        assert it.double.committed == []
        assert len(people.acks) == 8
        assert it.rows("SELECT * FROM chat_heard") == []


async def test_only_who_has_a_role_and_administers_the_channel_subscribes_it(tmp_path: Path) -> None:
    double_roles = ROLES.replace("slack:U0OWNER]", "slack:U0OWNER, slack:U0GUEST]")
    async with slack(tmp_path, roles=double_roles) as it:
        assert "one of its administrators does that" in await it.ask("subscribe bp.>", room=ROOM, user=VIEWER)
        assert "one of its administrators does that" in await it.ask("subscribe bp.>", room=ROOM, user=GUEST)
        assert "from now on" in await it.ask("subscribe bp.a.>", room=ROOM, user=ADMIN)
        assert "not to other.>" in await it.ask("subscribe other.>", room=ROOM, user=ADMIN)
        assert "from now on" in await it.ask("subscribe bp.b.>", user=VIEWER)
        assert it.subscribed() == [("bp.a.>", f"slack:{ROOM}", "{}"), ("bp.b.>", f"slack:{VIEWER}", "{}")]
        # Everybody there may look at what the channel is told; to a stranger the rest is closed.
        assert "bp.a.>" in await it.ask("subs", room=ROOM, user=STRANGER)
        refused = "SELECT person FROM chat_acts WHERE act = 'denied' AND NOT allowed ORDER BY id"
        assert [row["person"] for row in it.rows(refused)] == [f"slack:{one}" for one in (VIEWER, GUEST, ADMIN)]


async def test_strangers_are_told_so_once_and_learn_nothing(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        people = it.double.people
        for text in ("topics", "runs", "status", "why x", "subscribe >", "subs", "test", "start"):
            await people.command(ROOM, text, user=STRANGER)
        await until(lambda: bool(it.texts(ROOM)))
        await it.ask("help")
        await it.heard()
        (said,) = it.texts(ROOM)
        assert "you have no role here yet" in said
        assert "slack:U0STRANGER" in said
        assert it.subscribed() == []
        assert [row["act"] for row in it.rows("SELECT act FROM chat_acts")] == ["denied"]


async def test_who_left_the_channel_administers_it_no_more_and_what_is_not_known_allows_nothing(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        chat, people = it.app.chats.slack, it.double.people
        assert chat is not None

        async def standing(user: str, room: str = ROOM) -> Standing:
            return await chat.standing(Place(f"slack:{room}/1.2", f"slack:{room}", False), Person(f"slack:{user}", "x"))

        expected = {OWNER: "administrator", ADMIN: "administrator", VIEWER: "member", GUEST: "member"}
        assert {user: (await standing(user)).value for user in expected} == expected
        people.members[ROOM] = [BOT, "U1", "U2", "U3", VIEWER]
        assert await standing(VIEWER) is Standing.member
        assert await standing(OWNER) is await standing(ADMIN) is Standing.stranger
        people.members[ROOM] = [f"U{number}" for number in range(1000)]
        assert await standing(OWNER) is Standing.unknown
        people.members[ROOM] = [OWNER, "U0GONE", "U0BOT", "U0FRIEND"]
        people.users |= {"U0BOT": {"is_bot": True, "is_admin": True}, "U0GONE": {"deleted": True, "is_admin": True}}
        people.users["U0FRIEND"] = {"is_stranger": True, "is_admin": True}
        assert await standing("U0BOT") is await standing("U0GONE") is Standing.stranger
        assert await standing("U0FRIEND") is Standing.member
        assert await standing(OWNER, "C0NOWHERE") is Standing.unknown
        it.double.scopes.discard("users:read")
        assert await standing(OWNER) is Standing.unknown
        it.double.scopes -= {"channels:read"}
        assert await standing(OWNER) is Standing.unknown
        assert "could not be found out" in await it.ask("subscribe bp.>", room=ROOM)


async def test_where_the_app_cannot_answer_the_person_is_told_so_alone(tmp_path: Path) -> None:
    double = workspace()
    double.rooms += [Room(id=SECRET_ROOM, name="x", private=True, member=False), Room(id="C0FAR", member=False)]
    async with running(double), slack(tmp_path, double=double) as it:
        # A private channel without the app, a public one, and the conversation of two other people.
        for room in (SECRET_ROOM, "C0FAR", "D0OTHERS"):
            await it.double.people.command(room, "subscribe bp.>", user=OWNER)
        await it.heard()
        assert [shown["response_type"] for _, shown in double.people.acks] == ["ephemeral"] * 3
        assert "/invite" in double.people.acks[0][1]["text"]
        assert it.subscribed() == []
        assert double.committed == it.rows("SELECT * FROM chat_heard") == []


async def test_a_channel_that_is_closed_to_the_app_is_paused_and_the_owner_told(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        people, paused = it.double.people, "SELECT destination FROM destinations WHERE state = 'paused'"
        await it.ask("subscribe bp.>", room=ROOM)
        await it.heard()
        await people.event("member_left_channel", channel=ROOM, user=VIEWER)
        await people.event("channel_left", channel="C0ELSEWHERE", actor_id=VIEWER)
        for shut, opened, about in (
            ("channel_left", "member_joined_channel", {"user": BOT}),
            ("channel_archive", "channel_unarchive", {"user": OWNER}),
        ):
            await people.event(shut, channel=ROOM, actor_id=ADMIN, **about)
            await until(lambda: bool(it.rows(paused)))
            assert [row["destination"] for row in it.rows(paused)] == [f"slack:{ROOM}"]
            await people.event("member_joined_channel", channel=ROOM, user=VIEWER)
            await it.heard()
            assert it.rows(paused)
            await people.event(opened, channel=ROOM, **about)
            await until(lambda: not it.rows(paused))
        await until(lambda: len(it.rows("SELECT id FROM inbox WHERE title LIKE '%gets no messages any more%'")) == 2)
        acts = [row["act"] for row in it.rows("SELECT act FROM chat_acts ORDER BY id")]
        assert acts == ["subscribed", "removed", "returned", "removed", "returned"]


async def test_an_app_that_is_uninstalled_is_told_nothing_more_anywhere_and_the_owner_hears_of_it(
    tmp_path: Path, database_url: str
) -> None:
    beside = "subscriptions: [{topic: '>', to: 'inbox:'}, {topic: 'a.>', to: 'slack:#data'}]"
    async with slack(tmp_path, database_url, beside=beside) as it:
        await it.ask("subscribe bp.>", room=ROOM)
        await it.ask("subscribe bp.>")
        await it.heard()
        await it.double.people.event("tokens_revoked", tokens={"oauth": [OWNER], "bot": []})
        await it.heard()
        paused = "SELECT destination FROM destinations WHERE state = 'paused' ORDER BY destination"
        assert it.rows(paused) == []
        await it.double.people.event("app_uninstalled")
        await it.double.people.event("tokens_revoked", tokens={"oauth": [], "bot": [BOT]})
        await it.heard()
        found = [row["destination"] for row in it.rows(paused)]
        assert sorted(found) == ["slack:#data", f"slack:{ROOM}", f"slack:{OWNER}"]
        told = "SELECT id FROM inbox WHERE title LIKE '%gets no messages any more: the app was uninstalled%'"
        await until(lambda: bool(it.rows(told)))


async def test_a_channel_with_another_id_keeps_what_it_is_told(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        await it.ask("subscribe bp.>", room=ROOM)
        it.double.rooms.append(Room(id="C0NEW", name="new"))
        it.double.people.creators["C0NEW"] = OWNER
        await it.double.people.event("channel_id_changed", old_channel_id=ROOM, new_channel_id="C0NEW")
        await it.heard()
        assert "bp.>" in await it.ask("unsubscribe bp.>", room="C0NEW")


async def test_a_flood_from_one_channel_is_answered_a_little_and_another_place_as_ever(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        for _ in range(100):
            await it.double.people.command(f"D{VIEWER[1:]}", "topics", user=VIEWER)
        assert "/sensord subscribe PATTERN" in await it.ask("help")
        await it.heard()
        texts = it.texts(f"D{VIEWER[1:]}")
        assert len(texts) == 11
        assert "more than is answered at a time" in texts[-1]


async def test_names_and_arguments_can_hold_anything(tmp_path: Path, database_url: str) -> None:
    hostile = [text.encode(errors="ignore").decode() for text in HOSTILE]
    async with slack(tmp_path, database_url) as it:
        people = it.double.people
        texts = [*hostile, "<!channel> <@U0OWNER>", "{{ 7 * 7 }}", "'; DROP TABLE runs; --", "\u202e" * 300, "z" * 9000]
        for number, text in enumerate(texts):
            user, room = f"U1{number}", f"D1{number}"
            it.double.rooms.append(Room(id=room, user=user))
            await people.command(room, f"start {text}", user=user, name=text)
            await people.mention(ROOM, text, user=user)
        for text, command in zip(texts[-5:], ("topics", "subscribe", "why", "log", "runs"), strict=True):
            await it.ask(f"{command} {text[:3000]}", name=text)
        await it.heard()
        denied = it.rows(f"SELECT DISTINCT person FROM chat_acts WHERE act = 'denied' AND place <> 'slack:{ROOM}'")
        assert len(denied) == len(texts)
        assert it.subscribed() == []
        assert all(message["pings"] == [] for message in it.double.committed)
        assert not any("49" in message["shown"] for message in it.double.committed)
        assert {line["status"] for line in it.double.requests} == {200}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/subs lists, /test sends.", "/x subs lists, /x test sends."),
        ("Type: /subscribe PATTERN", "Type: /x subscribe PATTERN"),
        ("/var/log /log/a /tests /log.txt http://a/log a/log", "/var/log /log/a /tests /log.txt http://a/log a/log"),
        ("", ""),
    ],
)
def test_answers_name_commands_as_they_are_typed_there(text: str, expected: str) -> None:
    message = as_typed(Message(title=text, body=[Text(text), Pre(text)]), "/x ")
    assert message == Message(title=expected, body=[Text(expected), Pre(text)])
