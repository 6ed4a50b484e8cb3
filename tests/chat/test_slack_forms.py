"""`/sensord run JOB` as a modal: every parameter at once, checked as everywhere else, and one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifiers.channels.slack_forms import instead, values_of, view_of, wrong
from notifiers.chat import Parameter
from notifiers.chat.forms import Form
from sensord.parameters import parameters_of
from tests.channels.slack_messages import HOSTILE
from tests.chat.slack_kit import OWNER, ROOM, VIEWER, Slack, slack, workspace
from tests.chat.slack_pressing import OPERATOR, ROLES, acts, buttons, press
from tests.chat.test_run_dialogue import JOBS as RUNS
from tests.chat.test_slack_http import asked
from tests.doubles.slack import Fault, running
from tests.doubles.slack_people import interaction
from tests.doubles.slack_viewkit import faults_of_view
from tests.sources.app_kit import ended, runs_of
from tests.sources.directory_kit import until

JOBS = RUNS.replace(
    "        force: {type: boolean}\n",
    "        force: {type: boolean}\n"
    "        share: {type: number, maximum: 1}\n"
    "        boxes: {type: array, items: {type: integer}, description: which boxes}\n",
)
MINE = f"D{OWNER[1:]}"


async def opened(it: Slack, text: str = "run load", *, room: str = MINE, user: str = OWNER) -> str:
    """Type a command; the id of the modal that it opens."""
    doing = it.double.people.doing
    before = len(doing.opened)
    await it.double.people.command(room, text, user=user)
    await until(lambda: len(doing.opened) > before)
    return str(doing.opened[-1][1]["id"])


async def send(it: Slack, view: str, values: dict[str, str] | None = None, **who: Any) -> dict[str, str]:
    """Send a modal; what is wrong with which of its fields."""
    people = it.double.people
    await people.doing.send(view, values, **{"user": OWNER, **who})
    await until(lambda: not people.waiting)
    labels = {one["block_id"]: one["label"]["text"] for one in people.doing.opened[-1][1]["blocks"] if "label" in one}
    return {labels[block]: text for block, text in people.doing.errors.get(view, {}).items()}


def configs(runs: list[dict[str, Any]]) -> list[Any]:
    return [json.loads(run["run_config"]) for run in runs]


def shown(it: Slack, view: str) -> str:
    return str(it.double.people.doing.views[view]["blocks"][0].get("text", {}).get("text"))


async def test_a_modal_asks_for_all_parameters_says_what_is_wrong_and_runs_once(
    tmp_path: Path, database_url: str
) -> None:
    async with slack(tmp_path, database_url, roles=ROLES, jobs=JOBS) as it:
        view = await opened(it, room=ROOM)
        fields = {block["label"]["text"]: block for block in it.double.people.doing.views[view]["blocks"]}
        kinds = {name: block["element"]["type"] for name, block in fields.items()}
        assert kinds == {
            "path": "plain_text_input",
            "region": "static_select",
            "rows": "number_input",
            "force": "static_select",
            "share": "number_input",
            "boxes": "plain_text_input",
        }
        assert fields["region"]["element"]["initial_option"]["text"]["text"] == "eu"
        assert fields["rows"]["element"]["initial_value"] == "100"
        assert fields["boxes"]["element"]["multiline"] is True
        assert {name for name, block in fields.items() if not block["optional"]} == {"path"}
        assert "which file" in fields["path"]["hint"]["text"]
        found = await send(it, view, {"path": "x", "rows": "0", "share": "1.5", "boxes": "[1, true"})
        assert found == {
            "path": "'x' is too short",
            "rows": "0 is less than the minimum of 1",
            "share": "1.5 is greater than the maximum of 1",
            "boxes": "'[1, true' is not of type 'array'",
        }
        found = await send(it, view, {"path": "/data/a b.csv", "region": "us", "force": "yes"})
        assert "do not go together" in found["boxes"]
        assert await runs_of(it.app, "load") == []
        values = {"path": "/data/a b.csv", "region": "us", "force": "no", "share": "0.5", "boxes": "[1, 2]", "rows": ""}
        assert await send(it, view, values) == {}
        (run,) = await ended(it.app, "load", 1)
        expected = {"path": "/data/a b.csv", "region": "us", "rows": 100, "force": False, "share": 0.5, "boxes": [1, 2]}
        assert configs([run]) == [expected]
        await until(lambda: any("load is queued" in text and run["id"] in text for text in it.texts(ROOM)))
        (act,) = acts(it, "run")
        assert (act["person"], act["place"]) == (f"slack:{OWNER}", f"slack:{ROOM}")
        assert it.double.people.doing.views == {}
        assert it.double.people.wrong == []
        # The channel was shown nothing of what was typed, because it was told what came of it.
        assert not any("response_type" in (answer or {}) for _, answer in it.double.people.acks)


async def test_a_modal_is_sent_once_though_slack_sends_it_again_across_a_restart(tmp_path: Path) -> None:
    async with running(workspace()) as double:
        people = double.people
        async with slack(tmp_path, double=double, roles=ROLES, jobs=JOBS) as it:
            view = await opened(it)
            payload = people.doing.filled(view, {"path": "abc"}, user=OWNER)
            await it.heard()
        async with slack(tmp_path, double=double, roles=ROLES, jobs=JOBS) as it:
            people.swallowing = True
            for _ in range(50):
                await people.tell("interactive", payload, accepts=True)
            await ended(it.app, "load", 1)
        people.swallowing = False
        async with slack(tmp_path, double=double, roles=ROLES, jobs=JOBS) as it:
            await people.tell("interactive", {**payload, "trigger_id": "9.9.a"}, accepts=True)
            await it.heard()
            assert len(await runs_of(it.app, "load")) == len(acts(it, "run")) == 1
            # The same nonce in another modal: it was used.
            people.doing.views["V0OTHER"] = {**payload["view"], "id": "V0OTHER"}
            await people.doing.send("V0OTHER", {"path": "abc"}, user=OWNER)
            await it.heard()
            assert "These questions are over" in shown(it, "V0OTHER")
            assert len(await runs_of(it.app, "load")) == 1


async def test_what_is_given_goes_without_a_modal_and_asks_for_the_rest(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES, jobs=JOBS) as it:
        assert "share? (5 of 6)" in await it.ask("run load path=abc region=us rows=7 force=false")
        assert "Which job?" in await it.ask("run")
        assert "no job nothing" in await it.ask("run nothing")
        mentioned = len(it.texts(ROOM))
        await it.double.people.mention(ROOM, "run plain", user=OWNER)
        await until(lambda: len(it.texts(ROOM)) > mentioned)
        assert "Run plain?" in it.texts(ROOM)[-1]
        (message,) = [one for one in it.double.committed if "Run plain?" in one["shown"]]
        assert await press(it, message, "Run", user=OWNER) == "Taken."
        assert len(await ended(it.app, "plain", 1)) == 1
        assert it.double.people.doing.opened == []


async def test_a_job_without_parameters_is_confirmed(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES, jobs=JOBS) as it:
        view = await opened(it, "run plain")
        assert shown(it, view) == "Without parameters."
        assert await send(it, view) == {}
        assert configs(await ended(it.app, "plain", 1)) == [{}]


@pytest.mark.parametrize("code", ["expired_trigger_id", "invalid_arguments", "internal_error", "view_too_large", "429"])
async def test_where_no_modal_can_be_shown_questions_are_asked(tmp_path: Path, code: str) -> None:
    async with slack(tmp_path, roles=ROLES, jobs=JOBS) as it:
        it.double.faults = [Fault(kind=code, method="views.open")]
        assert "load: path? (1 of 6)" in await it.ask("run load")
        assert "region? (2 of 6)" in await it.ask("run load path=abc")
        assert it.double.people.doing.opened == []


async def test_a_trigger_that_is_late_is_refused_and_questions_are_asked(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES, jobs=JOBS) as it:
        people = it.double.people
        late = people.typed(MINE, "run load", user=OWNER)
        people.doing.triggers[late["trigger_id"]].at -= 3.1
        await people.tell("slash_commands", late, accepts=True)
        await until(lambda: bool(it.texts(MINE)))
        assert "load: path? (1 of 6)" in it.texts(MINE)[-1]
        assert [line["method"] for line in it.double.requests].count("views.open") == 1


async def test_a_lost_answer_shows_one_modal_and_asks_nothing(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES, jobs=JOBS) as it:
        it.double.faults = [Fault(kind="lost", method="views.open", nth=1)]
        view = await opened(it)
        await it.heard()
        assert len(it.double.people.doing.opened) == 1
        assert await send(it, view, {"path": "abc"}) == {}
        (run,) = await ended(it.app, "load", 1)
        await until(lambda: any(run["id"] in text for text in it.texts(MINE)))
        assert len(it.texts(MINE)) == 1


async def test_a_command_that_is_told_again_has_the_same_modal(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES, jobs=JOBS) as it:
        people = it.double.people
        typed = people.typed(MINE, "run load", user=OWNER)
        people.swallowing = True
        for _ in range(3):
            await people.tell("slash_commands", typed, accepts=True)
        await until(lambda: bool(it.rows("SELECT id FROM chat_heard")))
        people.swallowing = False
        await people.resend()
        await it.heard()
        ((_, view),) = people.doing.opened
        assert await send(it, view["id"], {"path": "abc"}) == {}
        assert len(await ended(it.app, "load", 1)) == 1


async def test_rights_are_asked_for_when_it_is_opened_and_when_it_is_sent(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES, jobs=JOBS) as it:
        people = it.double.people
        assert "no job load that you may see" in await it.ask("run load", user=VIEWER)
        view = await opened(it, room=ROOM, user=OPERATOR)
        await send(it, view, {"path": "abc"}, user=OWNER)
        assert shown(it, view) == "Somebody else is asked that."
        left, fired = await opened(it, room=ROOM, user=OPERATOR), ""
        people.members[ROOM] = [OWNER]
        await send(it, left, {"path": "abc"}, user=OPERATOR)
        await until(lambda: any("no longer in this chat" in text for text in it.texts(ROOM)))
        del people.members[ROOM]
        fired = await opened(it, room=ROOM, user=OPERATOR)
        chat = it.app.chats.slack
        assert chat is not None
        chat._conversations.granted = {}
        await send(it, fired, {"path": "abc"}, user=OPERATOR)
        await until(lambda: any("for its operators" in text for text in it.texts(ROOM)))
        assert await runs_of(it.app, "load") == []
        assert len(acts(it, "denied")) == 2


async def test_what_is_forged_or_old_runs_nothing(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES, jobs=JOBS) as it:
        people, values = it.double.people, {"path": "abc"}
        view = await opened(it)
        payload = people.doing.filled(view, values, user=OWNER)
        for metadata in ("", "x" * 32, "x" * 3000, 7, None):
            await people.tell("interactive", {**payload, "view": {**payload["view"], "private_metadata": metadata}})
        for state in (None, {}, {"values": None}, {"values": {"p0": None, "p9": {"value": 7}, "q": {}}}):
            await people.tell("interactive", {**payload, "view": {**payload["view"], "state": state}}, accepts=True)
        await it.heard()
        people.doing.views[view] = payload["view"]
        assert await send(it, view, {"path": "abc", "region": "mars"}, hasty=True) == {
            "region": "That is none of the choices."
        }
        assert await send(it, view, {"rows": "9" * 400}, hasty=True) == {"path": "This one is needed."}
        await it.app.database.write(
            lambda conn, _: [conn.exec_driver_sql("UPDATE chat_dialogues SET expires_at = 1").rowcount], 0
        )
        await send(it, view, values)
        assert "These questions are over" in shown(it, view)
        assert await runs_of(it.app, "load") == []


async def test_a_form_is_no_question_and_a_question_no_form(tmp_path: Path) -> None:
    async with slack(tmp_path, roles=ROLES, jobs=JOBS) as it:
        view = await opened(it)
        before = len(it.texts(MINE))
        await it.double.people.direct(MINE, "abc", user=OWNER)
        await until(lambda: len(it.texts(MINE)) > before)
        assert "Only commands are understood here" in it.texts(MINE)[-1]
        assert "share? (5 of 6)" in await it.ask("run load path=abc region=us rows=7 force=false")
        people = it.double.people
        (question,) = [one for one in it.double.committed if "share?" in one["shown"]]
        stolen = people.doing.filled(view, {"path": "abc"}, user=OWNER)
        stolen["view"] = {**stolen["view"], "private_metadata": buttons(it, question)["Leave out"]}
        await people.tell("interactive", stolen, accepts=True)
        await until(lambda: shown(it, view) == "This button means nothing here.")
        nonce = people.doing.opened[0][1]["private_metadata"]
        await people.tell("interactive", people.pressed(MINE, question["ts"], nonce, user=OWNER))
        await until(lambda: bool(people.doing.whispers))
        assert people.doing.whispers == [(OWNER, "This button means nothing here.")]
        assert await runs_of(it.app, "load") == []


async def test_modals_come_as_signed_requests_as_well(tmp_path: Path) -> None:
    async with asked(tmp_path, roles=ROLES, jobs=JOBS) as site:
        it, doing = site.it, site.it.double.people.doing
        assert await site.sign("commands", site.command("run load")) == (200, "")
        ((_, view),) = doing.opened
        status, answer = await site.sign(
            "interactivity", interaction(doing.filled(view["id"], {"path": "x"}, user=OWNER))
        )
        assert (status, json.loads(answer)["errors"]) == (200, {"p0": "'x' is too short"})
        sent = interaction(doing.filled(view["id"], {"path": "abc"}, user=OWNER))
        for ago in (0, 60):
            assert await site.sign("interactivity", sent, ago=ago) == (200, "")
        assert configs(await ended(it.app, "load", 1)) == [{"path": "abc", "region": "eu", "rows": 100}]
        assert len(acts(it, "run")) == 1


kinds = st.sampled_from(["string", "number", "integer", "boolean", "object", "array", "null"])
texts = st.sampled_from([text for text in HOSTILE if text.encode(errors="ignore").decode() == text]) | st.text(
    max_size=40
)
anything = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts | st.just([1])
schemas = st.fixed_dictionaries(
    {},
    optional={
        "type": kinds | st.lists(kinds, min_size=1, max_size=3),
        "enum": st.lists(anything, min_size=1, max_size=120),
        "default": anything,
        "description": texts | st.just("long " * 1000),
        "title": texts,
    },
)


@settings(max_examples=40)
@given(properties=st.dictionaries(texts | st.just("n" * 3000), schemas, max_size=8), required=st.booleans())
def test_any_schema_makes_a_modal_that_slack_takes(properties: dict[str, Any], required: bool) -> None:
    schema = {"properties": properties, "required": list(properties) if required else []}
    view = view_of(Form(job="load <!channel>", nonce="n" * 32, parameters=parameters_of(schema)))
    assert view is not None
    assert faults_of_view(view) == []


def test_what_does_not_fit_a_modal_makes_none() -> None:
    one = Parameter(
        name="x", description="d" * 1900, wanted="text", choices=(), required=True, has_default=False, default=None
    )
    assert view_of(Form(job="j", nonce="n", parameters=[one] * 100)) is None
    assert view_of(Form(job="j", nonce="n", parameters=[one] * 101)) is None
    small = Parameter(
        name="x", description="", wanted="text", choices=(), required=True, has_default=False, default=None
    )
    view = view_of(Form(job="j", nonce="n", parameters=[small] * 100))
    assert view is not None
    assert faults_of_view(view) == []
    for text in HOSTILE:
        assert faults_of_view(instead(text * 50)["view"]) == []
        assert all(wrong({0: text})["errors"].values())
    assert values_of({"state": {"values": {"p1": {"value": {"value": "a"}}, "p01": 1, 7: {}}}}) == {1: "a"}
