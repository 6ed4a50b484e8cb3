"""Who may do what, as an owner arranges it: in the configuration, over HTTP and from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from notifiers.chat import Heard, Person
from notifiers.chat.answers import from_json, insert_answer, to_json
from notifiers.chat.people import Removed, remove_guests
from notifiers.chat.retention import prune_acts, prune_answers
from notifiers.chat.turns import KEPT_US, Done, Reply, Turn, settle
from notifiers.clock import new_uuid7
from notifiers.message import Attachment, Button, Link, Message, Pre, Table, Text
from notifiers.retention import Chunk
from rules.event import Severity
from rules.rights import Grant, Role
from sensord.config import json_schema
from sensord.ledger.database import LedgerDatabase
from sensord.web.api import serve
from tests.bench.figures import daemon
from tests.chat.kit import STRANGER, telegram
from tests.config.writing import config, said
from tests.conftest import rows
from tests.doubles.telegram import Limits, open_double
from tests.sources.directory_kit import until
from tests.web.site import TOKEN

BIN = Path(sys.executable).parent


def test_roles_are_lists_of_people_or_people_with_topics(tmp_path: Path) -> None:
    text = """
        chat:
          roles:
            owner: [telegram:1]
            operator: {users: [telegram:1, slack:U0123], topics: ["bp.>"]}
            viewer: [telegram:-100200, {users: [telegram:2], topics: ["bp.houses.>", runs.load.failed]}]
    """
    granted = config(tmp_path, text).chat.granted()
    assert granted == {
        "telegram:1": (Grant(Role.operator, ("bp.>",)), Grant(Role.owner)),
        "slack:U0123": (Grant(Role.operator, ("bp.>",)),),
        "telegram:-100200": (Grant(Role.viewer),),
        "telegram:2": (Grant(Role.viewer, ("bp.houses.>", "runs.load.failed")),),
    }
    Draft202012Validator(json_schema()).validate(
        {"chat": {"roles": {"viewer": ["telegram:1", {"users": ["slack:U1"]}]}}}
    )
    assert not Draft202012Validator(json_schema()).is_valid({"chat": {"roles": {"viewer": ["ann"]}}})


@pytest.mark.parametrize(
    ("roles", "place", "words"),
    [
        ("{owner: [ann]}", "chat.roles.owner", "telegram:USER_ID"),
        ("{viewer: {users: ['telegram:1'], topics: ['bp.>.x']}}", "chat.roles.viewer", "before its end"),
        ("{viewer: {users: []}}", "chat.roles.viewer", "at least 1"),
        ("{boss: ['telegram:1']}", "chat.roles.boss", "unknown key"),
        ("{viewer: telegram:1}", "chat.roles.viewer", "a list"),
    ],
)
def test_what_is_wrong_with_roles_is_said_with_its_place(tmp_path: Path, roles: str, place: str, words: str) -> None:
    (problem,) = said(tmp_path, f"chat: {{roles: {roles}}}")
    assert place in problem
    assert words in problem


async def test_an_invitation_is_made_over_http_and_taken_back(tmp_path: Path) -> None:
    async with telegram(tmp_path) as it, serve(it.app) as url:
        import aiohttp

        async with aiohttp.ClientSession() as http:
            body = {"role": "viewer", "topics": ["bp.>"], "expires": "2h"}
            async with http.post(f"{url}/api/chat/invites", json=body) as answer:
                made = await answer.json()
                assert answer.status == 201
            assert made["link"].startswith("https://t.me/sensord_test_bot?start=i_")
            assert made["slack_command"] is None
            assert made["group_link"].startswith("https://t.me/sensord_test_bot?startgroup=i_")
            await it.ask(made["command"], user=STRANGER)
            await it.ask("/subscribe bp.>", user=STRANGER)
            async with http.get(f"{url}/api/chat/people") as answer:
                people = (await answer.json())["items"]
            assert people[-1] | {"since": ""} == {
                "person": "telegram:3", "name": "person 3", "role": "viewer", "topics": ["bp.>"], "since": "",
            }  # fmt: skip
            assert {one["person"] for one in people} == {"telegram:1", "telegram:2", "telegram:3"}
            async with http.delete(f"{url}/api/chat/people", json={"person": "telegram:3"}) as answer:
                assert (await answer.json())["roles"] == 1
            assert it.subscribed() == []
            async with http.delete(f"{url}/api/chat/people", json={"person": "telegram:2"}) as answer:
                assert answer.status == 404
                assert "by the configuration: remove it there" in (await answer.json())["error"]
            async with http.get(f"{url}/api/chat/acts?person=telegram:3&limit=1") as answer:
                page = await answer.json()
            assert [one["act"] for one in page["items"]] == ["subscribed"]
            async with http.get(f"{url}/api/chat/acts?person=telegram:3&after={page['next']}") as answer:
                assert [one["act"] for one in (await answer.json())["items"]] == ["joined"]
            for wrong in (
                {"role": "boss"},
                {"role": "viewer", "topics": ["a..b"]},
                {"role": "owner", "expires": "90d"},
            ):
                async with http.post(f"{url}/api/chat/invites", json=wrong) as answer:
                    assert answer.status == 400
        it.double.say(STRANGER, "/topics", user=STRANGER)
        await until(lambda: any("no role here yet" in text for text in it.texts(STRANGER)))


async def test_the_command_line_invites_lists_and_tells_what_is_not_heard(tmp_path: Path) -> None:
    async with open_double(limits=Limits(enforce=False)) as double:
        (tmp_path / "sensord.yaml").write_text(
            f"http: {{port: 0, token: {TOKEN}}}\n"
            f"telegram: {{token: '{double.token}', api_url: '{double.url}'}}\n"
            "slack: {token: xoxb-1, signing_secret: 8f742231b10e8888}\n"
            "chat: {roles: {owner: ['telegram:1']}}\n"
        )

        def typed(*words: str) -> str:
            done = subprocess.run(
                [str(BIN / "sensord"), *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )
            return done.stdout + done.stderr

        def all_of_it() -> list[str]:
            with daemon(tmp_path):
                return [
                    typed("invite", "--role", "viewer", "--topics", "bp.>", "--expires", "1d"),
                    typed("people", "list"),
                    typed("acts", "list"),
                    typed("invite", "--role", "boss"),
                    json.loads(typed("invite", "--json"))["command"],
                ]

        from anyio import to_thread

        invite, people, acts, wrong, command = await to_thread.run_sync(all_of_it)
        assert "viewer of bp.>, once, until" in invite
        assert "https://t.me/sensord_test_bot?start=i_" in invite
        assert "to type in Slack:         /sensord start i_" in invite
        assert "telegram:1" in people
        assert "nothing was done from a chat yet" in acts
        assert "none of viewer, operator, owner" in wrong
        assert command.startswith("/start i_")


def test_any_message_is_the_same_after_it_was_kept() -> None:
    message = Message(
        title="t",
        severity=Severity.error,
        note="n",
        facts=[("a", "b")],
        body=[Text("x"), Pre("y", "z"), Table(["h"], [["1"], ["2"]], "c")],
        links=[Link("l", "https://a.example")],
        buttons=[Button("b", "nonce", "danger")],
        attachments=[Attachment("f", b"\x00\xff")],
    )
    assert to_json(from_json(to_json(message))) == to_json(message)
    assert from_json(to_json(message)).body == message.body
    assert from_json(to_json(Message(title="\x00\ud800"))).title == "\u2400?"


def turn(number: int, now: int, done: tuple[Done, ...] = ()) -> Turn:
    act = Reply(message=Message(title=f"{number}"), done=done)
    return Turn(heard=Heard("telegram 42", number), to="telegram:1", act=lambda _: act, now=now, new_id=new_uuid7)


async def test_a_number_counts_once_and_lower_ones_are_new_after_days_of_silence(database: LedgerDatabase) -> None:
    first, again, lower = [await database.write(settle, turn(number, 10**15)) for number in (900, 900, 5)]
    later = await database.write(settle, turn(5, 10**15 + KEPT_US + 1))
    next_ = await database.write(settle, turn(6, 10**15 + KEPT_US + 2))
    assert [one.again for one in (first, again, lower, later, next_)] == [False, True, True, False, False]
    assert len(rows(database, "SELECT id FROM chat_answers")) == 3
    assert rows(database, "SELECT number FROM chat_cursors") == [{"number": 6}]


async def test_what_is_old_goes_but_no_answer_that_is_on_its_way(database: LedgerDatabase) -> None:
    done = Done(act="test", person=Person("telegram:1", "x"), place="telegram:1", text="x")
    await database.write(settle, turn(1, 1000, (done,)))
    await database.write(
        lambda conn, _: [insert_answer(conn, Message(title="x"), "telegram:1", new_id=new_uuid7, now=5000)], 0
    )
    assert await database.write(prune_answers, Chunk(before=2000)) == 0
    await database.write(lambda conn, _: [conn.exec_driver_sql("DELETE FROM deliveries").rowcount], 0)
    assert await database.write(prune_answers, Chunk(before=2000)) == 1
    assert await database.write(prune_acts, Chunk(before=2000)) == 1
    assert len(rows(database, "SELECT id FROM chat_answers")) == 1
    assert await database.write(remove_guests, Removed(person="telegram:9", now=1)) == 0
