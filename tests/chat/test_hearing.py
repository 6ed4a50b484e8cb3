"""What Telegram tells, in all its forms: heard once, from the right people, through every trouble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from notifiers.channels.telegram_updates import read_update
from notifiers.chat import Said
from tests.channels.telegram_messages import HOSTILE
from tests.chat.kit import GROUP, OWNER, STRANGER, VIEWER, telegram
from tests.doubles.telegram import Limits, open_double
from tests.sources.directory_kit import until

CHANNEL = -1_001_000_000_099


async def test_what_was_heard_is_answered_once_though_the_daemon_died_before_confirming_it(
    tmp_path: Path, database_url: str
) -> None:
    async with open_double(limits=Limits(enforce=False)) as double:
        async with telegram(tmp_path, database_url, double=double) as it:
            await it.ask("/subscribe bp.>", user=VIEWER)
            await it.heard()
        # As if the process had ended before its next question: Telegram tells it again.
        double.say(VIEWER, "/subs", user=VIEWER)
        again = dict(double.people.updates[0]["message"], text="/unsubscribe all")
        double.people.updates.insert(0, {"update_id": 1, "message": again})
        async with telegram(tmp_path, database_url, double=double) as it:
            await until(lambda: len(it.texts(VIEWER)) == 2)
            await it.heard()
            assert "told of 1 subscription" in it.texts(VIEWER)[1]
            assert len(it.subscribed()) == 1
            assert double.people.asked[-1]["offset"] > 2


async def test_answers_that_were_not_sent_when_the_daemon_ended_are_sent_by_the_next(tmp_path: Path) -> None:
    async with open_double(limits=Limits(enforce=False)) as double:
        async with telegram(tmp_path, double=double) as it:
            double.fail_next("500", count=None)
            double.say(OWNER, "/help", user=OWNER)
            await until(lambda: bool(double.requests))
        double.faults.clear()
        async with telegram(tmp_path, double=double) as it:
            await until(lambda: bool(it.texts(OWNER)))
            await it.heard()
            assert len(it.texts(OWNER)) == 1
            assert len(it.rows("SELECT id FROM chat_answers")) == 1


async def test_commands_for_others_edits_bots_and_forwards_are_not_ours(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        it.double.chats.add(GROUP, kind="supergroup")
        say = it.double.say
        say(GROUP, "/subs@other_bot", user=OWNER)
        say(GROUP, "good morning", user=OWNER)
        say(GROUP, "see /subs", user=OWNER)
        say(GROUP, "/subs", user=OWNER, kind="edited_message")
        say(GROUP, "/subs", user=OWNER, is_automatic_forward=True)
        it.double.people.names[8] = {"is_bot": True}
        say(GROUP, "/subs", user=8)
        assert "told of nothing" in await it.ask("/SUBS@Sensord_Test_Bot", chat=GROUP)
        assert len(it.texts(GROUP)) == 1
        assert len(it.rows("SELECT id FROM chat_answers")) == 1
        assert it.rows("SELECT number FROM chat_cursors") == [{"number": it.double.people.next_update - 1}]


async def test_a_topic_of_a_forum_is_a_place_of_its_own_and_a_thread_of_answers_is_none(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        it.double.chats.add(GROUP, kind="supergroup").topics[7] = "open"
        it.double.people.members[GROUP, OWNER] = "creator"
        await it.ask("/subscribe bp.houses.>", chat=GROUP, thread=7)
        await it.ask("/subscribe bp.roads.>", chat=GROUP)
        # An answer to a message, in a group without topics.
        await it.ask("/subscribe bp.mills.>", chat=GROUP, message_thread_id=3)
        assert [row[:2] for row in it.subscribed()] == [
            ("bp.houses.>", f"telegram:{GROUP}/7"),
            ("bp.roads.>", f"telegram:{GROUP}"),
            ("bp.mills.>", f"telegram:{GROUP}"),
        ]
        threads = [call.thread for call in it.double.committed]
        assert threads == [7, None, None]


async def test_a_channel_and_an_anonymous_administrator_speak_for_their_chat(tmp_path: Path) -> None:
    roles = f"\n  roles: {{viewer: [{{users: ['telegram:{CHANNEL}', 'telegram:{GROUP}'], topics: ['bp.>']}}]}}"
    async with telegram(tmp_path, roles=roles) as it:
        it.double.chats.add(CHANNEL, kind="channel")
        it.double.chats.add(GROUP, kind="supergroup")
        for chat in (CHANNEL, GROUP):
            before = len(it.texts(chat))
            it.double.say(chat, "/subscribe bp.houses.>", user=None)
            await until(lambda chat=chat, before=before: len(it.texts(chat)) > before)  # type: ignore[misc]
        assert [row[1] for row in it.subscribed()] == [f"telegram:{CHANNEL}", f"telegram:{GROUP}"]


async def test_a_group_that_becomes_a_supergroup_keeps_what_it_is_told(tmp_path: Path, database_url: str) -> None:
    async with telegram(tmp_path, database_url) as it:
        it.double.chats.add(-55, kind="group")
        it.double.people.members[-55, OWNER] = "creator"
        it.double.people.members[GROUP, OWNER] = "creator"
        await it.ask("/subscribe bp.>", chat=-55)
        await it.heard()
        it.double.people.migrate(-55, GROUP)
        assert "\nbp.>" in await it.ask("/subs", chat=GROUP)
        assert "bp.>" in await it.ask("/unsubscribe bp.>", chat=GROUP)
        assert it.subscribed() == []


async def test_a_bot_that_is_removed_pauses_what_its_chat_is_told_and_tells_the_owner(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        it.double.chats.add(GROUP, kind="supergroup").topics[7] = "open"
        it.double.people.members[GROUP, OWNER] = "creator"
        await it.ask("/subscribe bp.>", chat=GROUP, thread=7)
        await it.heard()
        paused = "SELECT destination FROM destinations WHERE state = 'paused'"
        it.double.people.put(GROUP, "kicked")
        await until(lambda: bool(it.rows(paused)))
        assert [row["destination"] for row in it.rows(paused)] == [f"telegram:{GROUP}/7"]
        await until(lambda: bool(it.rows("SELECT id FROM inbox WHERE title LIKE '%gets no messages any more%'")))
        it.double.people.put(GROUP, "member")
        await until(lambda: not it.rows(paused))
        acts = [row["act"] for row in it.rows("SELECT act FROM chat_acts ORDER BY id")]
        assert acts == ["subscribed", "removed", "returned"]
        # Where nothing was subscribed, that is nobody's business.
        it.double.people.put(-77, "member")
        it.double.people.put(-77, "left")
        await it.heard()
        assert len(it.rows("SELECT act FROM chat_acts")) == 3


async def test_a_flood_from_one_chat_is_answered_a_little_and_another_chat_as_ever(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        for _ in range(300):
            it.double.say(VIEWER, "/topics", user=VIEWER)
        assert "/subscribe PATTERN" in await it.ask("/help")
        await it.heard()
        texts = it.texts(VIEWER)
        assert len(texts) == 11
        assert "more than is answered at a time" in texts[-1]
        assert len(it.rows("SELECT id FROM chat_answers")) == 12


async def test_strangers_are_told_so_once_and_learn_nothing(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        it.double.chats.add(GROUP, kind="supergroup")
        it.double.people.members[GROUP, STRANGER] = "creator"
        for text in ("hello", "/topics", "/runs", "/status", "/why x", "/subscribe >", "/subs", "/test", "/start"):
            it.double.say(STRANGER, text, user=STRANGER)
            it.double.say(GROUP, text, user=STRANGER)
        await until(lambda: bool(it.texts(STRANGER) and it.texts(GROUP)))
        await it.ask("/help")
        await it.heard()
        assert len(it.texts(STRANGER)) == len(it.texts(GROUP)) == 1
        assert "you have no role here yet" in it.texts(STRANGER)[0]
        assert "telegram:3" in it.texts(STRANGER)[0]
        assert it.subscribed() == []
        assert [row["act"] for row in it.rows("SELECT act FROM chat_acts")] == ["denied", "denied"]
        assert not it.rows("SELECT id FROM events WHERE topic NOT LIKE 'chat.denied'")


async def test_an_answer_nobody_takes_pauses_nothing_and_is_no_news_for_the_owner(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        it.double.chats.add(STRANGER, kind="private").state = "blocked"
        it.double.say(STRANGER, "/start", user=STRANGER)
        ended = "SELECT status, error FROM deliveries WHERE status <> 'pending' AND status <> 'sending'"
        await until(lambda: bool(it.rows(ended)))
        await it.heard()
        (answer,) = it.rows(ended)
        assert answer["status"] == "dead"
        assert "blocked by the user" in answer["error"]
        assert it.rows("SELECT * FROM destinations") == []
        assert it.rows("SELECT * FROM inbox") == []


async def test_names_and_arguments_can_hold_anything(tmp_path: Path, database_url: str) -> None:
    """Half of a character cannot arrive: the service's JSON has none."""
    hostile = [text for text in HOSTILE if text.isprintable() or text.encode(errors="ignore").decode() == text]
    async with telegram(tmp_path, database_url) as it:
        people = it.double.people
        for number, text in enumerate([*hostile, "{{ 7 * 7 }}", "'; DROP TABLE runs; --", "x" * 5000]):
            user = 100 + number
            people.names[user] = {"first_name": text, "last_name": f"{text}\n/subscribe >"}
            it.double.say(user, f"/start {text}", user=user)
            it.app.chats.granted = {}
        await until(lambda: len(it.rows("SELECT id FROM chat_acts")) == number + 1)
        await it.heard()
        people.names[OWNER] = {"first_name": "\u202eevil\x00\n*b*", "last_name": "y" * 500}
        for text in ("{{ 7 * 7 }}", "'; DROP TABLE subscriptions; --", "<b>x</b>", "\u202e" * 300, "z" * 4000):
            for command in ("topics", "subscribe", "why", "log", "runs"):
                before = len(it.texts(OWNER))
                if before % 9 == 8:
                    break
                await it.ask(f"/{command} {text}")
        assert it.subscribed() == []
        assert all(call.status == 200 for call in it.double.requests)
        assert not any("49" in text for text in it.texts(OWNER))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**13) | st.text(max_size=5) | st.sampled_from(["private", "kicked"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(
            ["update_id", "message", "channel_post", "my_chat_member", "chat", "from", "id", "type", "text", "status",
             "sender_chat", "new_chat_member", "message_thread_id", "is_topic_message", "migrate_to_chat_id", "title"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["update_id", "message", "channel_post", "my_chat_member"]), values))
def test_any_update_is_something_or_nothing(update: dict[str, Any]) -> None:
    heard = read_update(update, "telegram 42", "bot")
    if isinstance(heard, Said):
        assert heard.person.name.isprintable()
        assert len(heard.person.name) <= 60
