"""`/run`: asked for each parameter, shown them all, and run once; in the whole daemon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.chat.kit import GROUP, OWNER, VIEWER, Telegram, telegram
from tests.chat.pressing import OPERATOR, Seen, acts, messages, press, toasts
from tests.doubles.telegram import Limits, open_double
from tests.sources.app_kit import ended, runs_of
from tests.sources.directory_kit import until

JOBS = """
jobs:
  plain: {command: ["true"]}
  load:
    command: ["true"]
    config_schema:
      type: object
      additionalProperties: false
      properties:
        path: {type: string, minLength: 3, description: which file}
        region: {enum: [eu, us], default: eu}
        rows: {$ref: "#/$defs/count", default: 100}
        force: {type: boolean}
      required: [path, region, rows]
      $defs: {count: {type: integer, minimum: 1}}
      not: {properties: {region: {const: us}, force: {const: true}}, required: [force]}
"""
ROLES = """
  roles:
    owner: [telegram:1]
    operator: {users: [telegram:5], topics: ["runs.load.*"]}
    viewer: {users: [telegram:2], topics: [">"]}
"""


def newest(it: Telegram, chat: int = OWNER) -> Seen:
    return messages(it, chat)[-1]


async def choose(it: Telegram, label: str, *, chat: int = OWNER, user: int = OWNER) -> str:
    """Press a button of the newest message; what the bot writes then."""
    before = len(it.texts(chat))
    seen = newest(it, chat)
    it.double.press(chat, seen.id, seen.buttons[label], user=user)
    await until(lambda: len(it.texts(chat)) > before)
    return it.texts(chat)[before]


def configs(runs: list[dict[str, Any]]) -> list[Any]:
    return [json.loads(run["run_config"]) for run in runs]


async def test_each_parameter_is_asked_for_checked_and_the_run_is_asked_for_once(
    tmp_path: Path, database_url: str
) -> None:
    async with telegram(tmp_path, database_url, roles=ROLES, jobs=JOBS) as it:
        assert "load: path? (1 of 4)\nabout: which file\nwanted: text" in await it.ask("/run load")
        assert list(newest(it).buttons) == ["Cancel"]
        assert "path: 'x' is too short" in await it.ask("x")
        assert "region? (2 of 4)" in await it.ask("/data/a b.csv")
        assert list(newest(it).buttons) == ["eu", "us", "Cancel"]
        assert "region: 'mars' is not one of ['eu', 'us']" in await it.ask("mars")
        assert "rows? (3 of 4)\nwanted: a whole number" in await it.ask("eu")
        assert "'many' is not of type 'integer'" in await it.ask("many")
        assert "0 is less than the minimum of 1" in await it.ask("0")
        assert list(newest(it).buttons) == []
        (asked,) = [one for one in messages(it, OWNER) if "rows? (3 of 4)" in one.text]
        assert list(asked.buttons) == ["Default: 100", "Cancel"]
        assert await press(it, asked, "Default: 100") == "Taken."
        await until(lambda: "force? (4 of 4)" in it.texts(OWNER)[-1])
        assert list(newest(it).buttons) == ["yes", "no", "Leave out", "Cancel"]
        shown = await choose(it, "Leave out")
        assert "Run load?\npath: /data/a b.csv\nregion: eu\nrows: 100" in shown
        assert await runs_of(it.app, "load") == []
        assert "Press Run" in await it.ask("yes")
        confirm = messages(it, OWNER)[-2]
        for _ in range(50):
            it.double.press(OWNER, confirm.id, confirm.buttons["Run"], user=OWNER)
        (run,) = await ended(it.app, "load", 1)
        await it.heard()
        assert configs([run]) == [{"path": "/data/a b.csv", "region": "eu", "rows": 100}]
        assert sum(f"load is queued\nrun: {run['id']}" in text for text in it.texts(OWNER)) == 1
        assert len(await runs_of(it.app, "load")) == 1
        (act,) = acts(it, "run")
        assert act["detail"] == f"person 1 (telegram:1) had job load run as run {run['id']}"
        await until(lambda: toasts(it).count("These questions are over. /run begins again.") == 49)
        assert await press(it, asked, "Default: 100") == "These questions are over. /run begins again."


async def test_what_is_given_at_once_is_not_asked_for(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES, jobs=JOBS) as it:
        assert "force? (4 of 4)" in await it.ask("/run load path=abc region=us rows=7")
        assert "do not go together" in await it.ask("true")
        assert "rows: 7\nforce: no" in await it.ask("false")
        assert "load is queued" in await choose(it, "Run")
        assert configs(await ended(it.app, "load", 1)) == [{"path": "abc", "region": "us", "rows": 7, "force": False}]
        assert "rows: 'x' is not of type 'integer'" in await it.ask("/run load rows=x")
        assert "'colour' was unexpected" in await it.ask("/run load colour=red")
        assert "'path' is no NAME=VALUE" in await it.ask("/run load path")
        assert "Run plain?\n\nWithout parameters." in await it.ask("/run plain")
        assert "plain is queued" in await choose(it, "Run")
        assert "There is no job nothing" in await it.ask("/run nothing")
        assert "Which job?\n\nload\nplain" in await it.ask("/run")


async def test_only_operators_run_and_only_what_is_theirs_and_while_they_are(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES, jobs=JOBS) as it:
        assert "for its operators" in await it.ask("/run load", user=VIEWER)
        assert "no job that you may run" in await it.ask("/run", user=VIEWER)
        assert "There is no job plain that you may see" in await it.ask("/run plain", user=OPERATOR)
        await it.ask("/run load path=abc region=eu rows=1 force=false", user=OPERATOR)
        it.app.chats.telegram._conversations.granted = {}  # type: ignore[union-attr]
        assert "for its operators" in await choose(it, "Run", chat=OPERATOR, user=OPERATOR)
        assert await press(it, messages(it, OPERATOR)[-2], "Run", user=OPERATOR) == (
            "These questions are over. /run begins again."
        )
        await it.heard()
        assert await runs_of(it.app, "load") == []
        assert len(acts(it, "denied")) == 2


async def test_in_a_group_answers_are_replies_of_the_one_who_was_asked(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES, jobs=JOBS) as it:
        it.double.chats.add(GROUP, kind="supergroup")
        it.double.people.members[GROUP, OPERATOR] = it.double.people.members[GROUP, OWNER] = "member"
        asked = await it.ask("/run load", chat=GROUP, user=OPERATOR)
        assert "Reply to this message with it" in asked
        question = it.double.chats.get(GROUP).messages[newest(it, GROUP).id]
        it.double.say(GROUP, "not for the bot", user=OPERATOR)
        it.double.say(GROUP, "abc", user=OWNER, reply_to_message=question)
        elsewhere = {**question, "from": {"id": 9, "is_bot": False, "first_name": "x"}}
        it.double.say(GROUP, "abc", user=OPERATOR, reply_to_message=elsewhere)
        region = await it.ask("abc", chat=GROUP, user=OPERATOR, reply_to_message=question)
        assert "region? (2 of 4)" in region
        assert len(it.texts(GROUP)) == 2
        assert await press(it, newest(it, GROUP), "eu", user=OWNER) == "Somebody else is asked that."
        assert "rows?" in await choose(it, "eu", chat=GROUP, user=OPERATOR)
        it.double.people.members[GROUP, OPERATOR] = "left"
        assert "no longer in this chat" in await choose(it, "Default: 100", chat=GROUP, user=OPERATOR)
        assert await runs_of(it.app, "load") == []


async def test_a_dialogue_survives_a_restart_and_its_run_is_asked_for_once(tmp_path: Path, database_url: str) -> None:
    async with open_double(limits=Limits(enforce=False)) as double:
        async with telegram(tmp_path, database_url, double=double, roles=ROLES, jobs=JOBS) as it:
            await it.ask("/run load")
            await it.heard()
        async with telegram(tmp_path, database_url, double=double, roles=ROLES, jobs=JOBS) as it:
            assert "region?" in await it.ask("abc")
            for label in ("us", "Default: 100", "no"):
                await choose(it, label)
            await it.heard()
            confirm = newest(it)
        double.press(OWNER, confirm.id, confirm.buttons["Run"], user=OWNER)
        again = dict(double.people.updates[0])
        async with telegram(tmp_path, database_url, double=double, roles=ROLES, jobs=JOBS) as it:
            await until(lambda: bool(acts(it, "run")))
        double.people.updates.insert(0, again)
        double.press(OWNER, confirm.id, confirm.buttons["Run"], user=OWNER)
        async with telegram(tmp_path, database_url, double=double, roles=ROLES, jobs=JOBS) as it:
            await it.heard()
            assert len(await ended(it.app, "load", 1)) == 1
            assert len(acts(it, "run")) == 1
            assert sum("load is queued" in text for text in it.texts(OWNER)) == 1


async def test_a_dialogue_is_cancelled_replaced_and_expires(tmp_path: Path) -> None:
    async with telegram(tmp_path, roles=ROLES, jobs=JOBS) as it:
        assert "Nothing is being asked" in await it.ask("/cancel")
        await it.ask("/run load")
        assert "Nothing is run." in await it.ask("/cancel")
        assert "Only commands" in await it.ask("abc")
        await it.ask("/run load")
        first = newest(it)
        await it.ask("/run load path=abc")
        assert "over" in (await press(it, first, "Cancel") or "")
        second = newest(it)
        assert "rows?" in await choose(it, "us")
        # What was answered once is answered, however often it is pressed, and with whatever.
        assert await press(it, second, "eu") == "That was answered already."
        assert "Nothing is run." in await choose(it, "Cancel")
        await it.ask("/run load")
        third = newest(it)
        await it.app.database.write(
            lambda conn, _: [conn.exec_driver_sql("UPDATE chat_dialogues SET expires_at = 1").rowcount], 0
        )
        assert "over" in (await press(it, third, "Cancel") or "")
        assert "Only commands" in await it.ask("abc")
        assert await runs_of(it.app, "load") == []
