"""Every command, asked by people with different rights, in the whole daemon; on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from notifiers.chat.people import Invite, add_invites
from notifiers.clock import to_us
from rules.commands import invitation, topic_payload
from rules.event import Severity
from rules.rights import Grant, Role
from tests.chat.kit import ADMIN, GROUP, OWNER, STRANGER, VIEWER, Telegram, telegram
from tests.notifiers.service import subscribe
from tests.sources.app_kit import ended, event, launch
from tests.sources.directory_kit import until


async def publish(it: Telegram, message: str, topic: str, **more: Any) -> str:
    one = event(topic, message=message, **more)
    await it.app.bus.publish([one])
    it.app.published()
    return one.id


async def invited(it: Telegram, token: str, *topics: str, expired: bool = False) -> str:
    now = to_us(it.app.clock.now())
    grant = Grant(Role.viewer, topics)
    expires = now - 1 if expired else now + 60_000_000
    await it.app.database.write(add_invites, Invite(token=token, grant=grant, now=now, expires_at=expires))
    return invitation(token)


async def test_an_owner_looks_at_everything_and_a_viewer_at_what_is_theirs(tmp_path: Path, database_url: str) -> None:
    async with telegram(tmp_path, database_url) as it:
        assert "nothing yet" in await it.ask("/topics bp.load")
        await publish(it, "42 rows", "bp.houses.oks", severity=Severity.warning)
        secret = await publish(it, "nobody's business", "hr.salaries")
        await launch(it.app, "extract", code=3)
        await launch(it.app, "load")
        (failed,), (loaded,) = await ended(it.app, "extract", 1), await ended(it.app, "load", 1)

        everything = await it.ask("/topics")
        assert "bp.houses.oks: just now, warning: 42 rows" in everything
        assert "hr.salaries" in everything
        # That an owner has them told of something gives them no right to look for it.
        await subscribe(it.app.database, "hr.>", "telegram:2")
        theirs = await it.ask("/topics", user=VIEWER)
        assert "bp.houses.oks" in theirs
        assert "bp.load.oks: just now" in theirs
        assert "hr" not in theirs
        assert "extract" not in theirs
        assert "There is no topic that hr takes" in await it.ask("/topics hr", user=VIEWER)
        assert "hr.salaries: just now" in await it.ask("/topics hr")

        assert "extract failed" in (await it.ask("/runs"))
        assert failed["id"] in await it.ask("/runs extract")
        assert "There is no run of extract" in await it.ask("/runs extract", user=VIEWER)
        assert loaded["id"] in await it.ask("/runs", user=VIEWER)

        assert "1 run of 2 today did not succeed" in await it.ask("/status")
        status = await it.ask("/status", user=VIEWER)
        assert "load: succeeded just now" in status
        assert "extract" not in status
        assert "did not succeed" not in status

        assert "exit code 3" in await it.ask(f"/why {failed['id']}")
        assert "hr.salaries" in await it.ask(f"/why {secret}")
        for hidden in (failed["id"], secret, "no-such-thing"):
            assert f"There is no run and no event {hidden}" in await it.ask(f"/why {hidden}", user=VIEWER)
        assert "There is no run" in await it.ask(f"/log {failed['id']}", user=VIEWER)


async def test_the_log_is_shown_from_its_end_and_without_secrets(tmp_path: Path) -> None:
    jobs = "jobs:\n  talk: {command: [sh, -c, 'seq 1 3000; echo token 4242:this-is-no-real-token']}\n"
    async with telegram(tmp_path, jobs=jobs) as it:
        await it.ask("/subscribe runs.>")
        await launch(it.app, "talk")
        (run,) = await ended(it.app, "talk", 1)
        await it.heard()
        shown = await it.ask(f"/log {run['id']}")
        assert "2999\n3000\ntoken ***" in shown
        assert "\n1\n2\n" not in shown
        await it.heard()
        assert await it.ask("/log") == shown
        assert f"run {run['id']} of job talk requested" in await it.ask("/why")


async def test_a_subscription_is_made_listed_and_ended_once_each(tmp_path: Path, database_url: str) -> None:
    async with telegram(tmp_path, database_url) as it:
        assert "told of nothing yet" in await it.ask("/subs", user=VIEWER)
        made = await it.ask("/subscribe bp.houses.> severity>=warning tag=team:geo", user=VIEWER)
        assert "told of bp.houses.> severity>=warning tags.team=geo from now on" in made
        assert "already" in await it.ask("/subscribe bp.houses.> tag=team:geo severity>=warning", user=VIEWER)
        assert len(it.subscribed()) == 1
        assert "bp.houses.> severity>=warning tags.team=geo" in await it.ask("/subs", user=VIEWER)
        assert "is not told of bp.roads" in await it.ask("/unsubscribe bp.roads", user=VIEWER)
        assert "no longer told of" in await it.ask("/unsubscribe bp.houses.>", user=VIEWER)
        assert it.subscribed() == []
        acts = it.rows("SELECT * FROM chat_acts ORDER BY id")
        assert [(row["act"], row["person"], bool(row["allowed"])) for row in acts] == [
            ("subscribed", "telegram:2", True),
            ("unsubscribed", "telegram:2", True),
        ]
        events = it.rows("SELECT id, topic FROM events WHERE topic LIKE 'chat.%' ORDER BY seq")
        assert [(row["id"], row["topic"]) for row in events] == [(row["id"], f"chat.{row['act']}") for row in acts]


async def test_nobody_subscribes_beyond_their_topics_nor_a_group_they_do_not_administer(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        it.double.chats.add(GROUP, kind="supergroup")
        it.double.people.members[GROUP, ADMIN] = "administrator"
        for pattern in ("hr.>", ">", "bp", "*.>", "runs.*.failed"):
            assert "You may subscribe to bp.>, runs.load.*" in await it.ask(f"/subscribe {pattern}", user=VIEWER)
        assert "one of its administrators" in await it.ask("/subscribe bp.>", chat=GROUP, user=VIEWER)
        it.double.people.members[GROUP, VIEWER] = "inaccessible"
        assert "could not be found out" in await it.ask("/subscribe bp.>", chat=GROUP, user=VIEWER)
        assert "you have no role here" in await it.ask("/subscribe bp.>", chat=GROUP, user=ADMIN)
        assert it.subscribed() == []
        it.double.people.members[GROUP, VIEWER] = "administrator"
        await it.ask("/subscribe bp.>", chat=GROUP, user=VIEWER)
        assert [row[:2] for row in it.subscribed()] == [("bp.>", f"telegram:{GROUP}")]
        denied = it.rows("SELECT * FROM chat_acts WHERE act = 'denied'")
        assert len(denied) == 8
        assert not any(row["allowed"] for row in denied)


async def test_everybody_in_a_group_sees_what_it_is_told_and_no_more(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        it.double.chats.add(GROUP, kind="supergroup")
        it.double.people.members[GROUP, OWNER] = "creator"
        await it.ask("/subscribe runs.load.>", chat=GROUP)
        await launch(it.app, "load")
        await launch(it.app, "tell")
        (loaded,), _ = await ended(it.app, "load", 1), await ended(it.app, "tell", 1)
        await it.heard()
        assert loaded["id"] in await it.ask("/runs", chat=GROUP, user=STRANGER)
        assert "tell" not in await it.ask("/topics", chat=GROUP, user=STRANGER)
        assert "people with a role" in await it.ask(f"/log {loaded['id']}", chat=GROUP, user=STRANGER)
        assert "You have no role here" in await it.ask("/unsubscribe all", chat=GROUP, user=STRANGER)
        assert "people with a role" in await it.ask("/test", chat=GROUP, user=STRANGER)
        assert len(it.subscribed()) == 1


async def test_an_invitation_is_for_one_person_once_and_in_time(tmp_path: Path, database_url: str) -> None:
    async with telegram(tmp_path, database_url) as it:
        payload = await invited(it, "a" * 32, "bp.houses.>")
        late = await invited(it, "b" * 32, "bp.>", expired=True)
        assert "not valid" in await it.ask(f"/start {late}", user=STRANGER)
        assert "not valid" in await it.ask(f"/start {invitation('c' * 32)}", user=STRANGER)
        assert "Welcome, person 3" in await it.ask(f"/start {payload}", user=STRANGER)
        assert "not valid" in await it.ask(f"/start {payload}", user=5)
        await it.ask("/subscribe bp.houses.oks", user=STRANGER)
        assert [row[:2] for row in it.subscribed()] == [("bp.houses.oks", "telegram:3")]
        kept = it.rows("SELECT digest, used_by FROM chat_invites")
        assert "a" * 32 not in str(kept)
        assert [row["used_by"] for row in kept if row["used_by"]] == ["telegram:3"]
        joined = it.rows("SELECT person FROM chat_acts WHERE act = 'joined'")
        assert [row["person"] for row in joined] == ["telegram:3"]


async def test_a_link_with_a_topic_shows_it_and_how_to_subscribe(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        await publish(it, "42 rows", "bp.houses.oks")
        shown = await it.ask(f"/start {topic_payload('bp.houses.>')}", user=VIEWER)
        assert "bp.houses.oks: just now, info: 42 rows" in shown
        assert "/subscribe bp.houses.>" in shown
        assert "/subscribe PATTERN" in await it.ask("/start", user=VIEWER)
        assert "Did you mean /subscribe" in await it.ask("/subscribr", user=VIEWER)
        assert "Only commands" in await it.ask("good morning", user=VIEWER)


async def test_a_chat_that_is_told_of_everything_gets_one_test_message(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it:
        await it.ask("/subscribe >")
        await it.heard()
        it.double.say(OWNER, "/test", user=OWNER)
        await until(lambda: any("Test message" in text for text in it.texts(OWNER)))
        await it.heard()
        assert sum("Test message" in text for text in it.texts(OWNER)) == 1
