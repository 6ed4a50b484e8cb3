"""Socket Mode through all its troubles: everything is heard once, and what keeps the app from hearing is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from notifiers.channels import slack_socket
from tests.chat.slack_kit import OWNER, ROOM, Slack, slack, workspace
from tests.conftest import rows
from tests.doubles.slack import running
from tests.sources.directory_kit import until

MINE = f"D{OWNER[1:]}"


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnecting need not wait for a second in these tests, nor for ten for a ping."""
    monkeypatch.setattr(slack_socket, "_PAUSE", 0.01)
    monkeypatch.setattr(slack_socket, "PING_SECONDS", 0.2)


async def test_an_envelope_is_acknowledged_when_what_it_does_is_kept_and_not_before(
    tmp_path: Path, database_url: str
) -> None:
    async with slack(tmp_path, database_url) as it:
        kept: dict[str, bool] = {}

        def acknowledged(id_: str) -> None:
            kept[id_] = bool(rows(it.app.database, "SELECT at FROM chat_heard WHERE id = :id", id=id_))

        it.double.people.on_ack = acknowledged
        told = [await it.double.people.command(ROOM, f"subscribe bp.a{number}", user=OWNER) for number in range(5)]
        await it.heard()
        assert kept == dict.fromkeys(told, True)
        assert [topic for topic, *_ in it.subscribed()] == [f"bp.a{number}" for number in range(5)]


async def test_what_was_carried_out_but_not_acknowledged_is_not_carried_out_again_by_the_next_daemon(
    tmp_path: Path, database_url: str
) -> None:
    async with running(workspace()) as double:
        people = double.people
        people.swallowing = True
        async with slack(tmp_path, database_url, double=double) as it:
            await it.ask("subscribe bp.>", room=ROOM)
            await it.ask("unsubscribe bp.>", room=ROOM)
            await people.mention(ROOM, "test", user=OWNER)
            await until(lambda: len(it.texts(ROOM)) == 3)
            await people.resend()
            await people.resend()
            assert "told of nothing" in await it.ask("subs", room=ROOM)
            assert len(people.waiting) == 4
        people.swallowing = False
        async with slack(tmp_path, database_url, double=double) as it:
            await it.heard()
            assert "told of nothing" in await it.ask("subs", room=ROOM)
            await it.heard()
            assert len(it.texts(ROOM)) == 5
            acts = [row["act"] for row in it.rows("SELECT act FROM chat_acts ORDER BY id")]
            assert acts == ["subscribed", "unsubscribed", "test"]
            assert [row["n"] for row in it.rows("SELECT count(*) AS n FROM chat_heard")] == [5]


async def test_what_was_said_while_nobody_listened_is_heard_after(tmp_path: Path) -> None:
    async with running(workspace()) as double:
        await double.people.command(ROOM, "subscribe bp.>", user=OWNER)
        async with slack(tmp_path, double=double) as it:
            await it.heard()
            assert [topic for topic, *_ in it.subscribed()] == ["bp.>"]


@pytest.mark.parametrize("reason", ["refresh_requested", "warning"])
async def test_the_next_connection_is_open_before_the_old_one_is_left(tmp_path: Path, reason: str) -> None:
    async with slack(tmp_path) as it:
        people = it.double.people
        for turn in range(1, 4):
            old = await people.disconnect(reason)
            await until(lambda turn=turn: len(people.lines) == 2 and people.opened == turn + 1)  # type: ignore[misc]
            # The old one is still read.
            people.lines.reverse()
            assert people.lines[-1] is old
            assert "bp.>" not in await it.ask("subs", room=ROOM)
            await it.heard()
            await old.close()
            await until(lambda: len(people.lines) == 1)
            assert "told of nothing" in await it.ask("subs", room=ROOM)
        await it.heard()
        assert not it.app.chats.troubles
        assert people.wrong == []
        assert it.rows("SELECT topic FROM events") == []


async def test_a_network_that_drops_the_connection_again_and_again_loses_nothing(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        people = it.double.people
        for number in range(10):
            await people.command(MINE, f"subscribe bp.a{number}", user=OWNER)
            people.drop()
        await until(lambda: bool(people.lines))
        await until(lambda: not people.waiting)
        assert sorted(topic for topic, *_ in it.subscribed()) == sorted(f"bp.a{number}" for number in range(10))
        assert len(it.rows("SELECT id FROM chat_answers")) == 10
        await until(lambda: not it.app.chats.troubles)


async def test_a_connection_that_gives_no_sign_of_life_is_given_up(tmp_path: Path) -> None:
    async with running(workspace()) as double:
        double.people.deaf = True
        async with slack(tmp_path, double=double) as it:
            await until(lambda: double.people.opened >= 3)
            double.people.deaf = False
            assert "PATTERN" in await it.ask("help")
            await until(lambda: not it.app.chats.troubles)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("xapp-1-A0SENSORD-other", "invalid_auth; check slack.app_token: it begins with xapp-"),
        ("xapp-", "check slack.app_token"),
    ],
)
async def test_a_token_that_is_refused_is_said_once_and_heard_again_when_it_is_right(
    tmp_path: Path, wrong: str, said: str
) -> None:
    async with slack(tmp_path, app_token=wrong, connected=False) as it:
        await until(lambda: bool(it.app.chats.troubles))
        assert said in it.app.chats.troubles[0]
        assert wrong not in it.app.chats.troubles[0] or wrong == "xapp-"
        await until(lambda: len(it.rows("SELECT topic FROM events")) == 1)
        it.double.people.app_token = wrong
        assert "PATTERN" in await it.ask("help")
        await until(lambda: len(it.rows("SELECT topic FROM events")) == 2)
        assert [row["topic"] for row in it.rows("SELECT topic FROM events ORDER BY seq")] == [
            "chat.unheard",
            "chat.heard",
        ]
        assert not it.app.chats.troubles


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        ({"type": "disconnect", "reason": "link_disabled"}, "Socket Mode is switched off"),
        ({"type": "disconnect", "reason": "too_many_websockets"}, "as many connections as Slack allows"),
        ({"type": "disconnect", "reason": "<!channel>\x00"}, "the connection to Slack ended"),
        ({"type": "goodbye"}, "the connection to Slack ended"),
        (["no", "frame"], "the connection to Slack ended"),
    ],
)
async def test_a_slack_that_does_not_say_hello_is_said_and_waited_out(
    tmp_path: Path, greeting: dict[str, str], said: str
) -> None:
    async with running(workspace()) as double:
        double.people.greeting = greeting
        async with slack(tmp_path, double=double, connected=False) as it:
            await until(lambda: bool(it.app.chats.troubles))
            assert said in it.app.chats.troubles[0]
            double.people.greeting = None
            assert "PATTERN" in await it.ask("help")
            await until(lambda: not it.app.chats.troubles)


async def test_a_network_that_is_dead_at_the_start_is_waited_for(tmp_path: Path) -> None:
    async with running(workspace()) as double:
        port = int(double.url.rpartition(":")[2])
    async with slack(tmp_path, double=double, connected=False) as it:
        await until(lambda: bool(it.app.chats.troubles))
        assert "no connection to Slack for apps.connections.open" in it.app.chats.troubles[0]
        async with running(double, port):
            assert "PATTERN" in await it.ask("help")
            assert it.rows("SELECT topic FROM events") == []


async def test_no_address_of_a_connection_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(workspace()) as double:
        double.people._tickets = _Forgetful()
        caplog.set_level("DEBUG")
        async with slack(tmp_path, double=double, connected=False) as it:
            await until(lambda: double.people.opened >= 3 and bool(it.app.chats.troubles))
            shown = caplog.text + str(it.app.chats.troubles) + "".join(str(vars(one)) for one in caplog.records)
    assert "no connection to Slack for Socket Mode" in shown
    assert "ticket" not in shown
    assert double.people.app_token not in shown


class _Forgetful(set[str]):
    """Tickets that are valid no more when they are used."""

    def __contains__(self, _ticket: object) -> bool:
        return False


async def test_a_frame_that_is_none_is_passed_over(tmp_path: Path) -> None:
    async with slack(tmp_path) as it:
        line = it.double.people.lines[0]
        for frame in (
            "",
            "{",
            "[]",
            "null",
            '"x"',
            '{"type": "events_api"}',
            '{"envelope_id": 3}',
            "😀",
            '{"type": "\\ud83d"}',
        ):
            await line.send_str(frame)
        await line.send_bytes(b"\xff\x00")
        await line.send_str(json.dumps({"envelope_id": "e", "type": "slash_commands", "payload": [1]}))
        assert "PATTERN" in await it.ask("help")
        assert it.double.people.opened == 1
        assert it.double.people.wrong == ["unknown envelope {'envelope_id': 'e'}"]


async def test_a_second_program_on_the_same_app_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(workspace()) as double, slack(tmp_path, double=double) as it:
        await double.people.disconnect("refresh_requested")
        await until(lambda: len(double.people.lines) == 2)
        assert "slack.shared" not in caplog.text
        (tmp_path / "second").mkdir()
        async with slack(tmp_path / "second", double=double):
            await until(lambda: "slack.shared" in caplog.text)
        assert isinstance(it, Slack)


async def test_a_fault_of_ours_is_told_to_who_typed_and_an_event_is_left_for_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with slack(tmp_path) as it:
        assert it.app.chats.slack is not None
        conversations = it.app.chats.slack._conversations

        async def broken(*_: object) -> None:
            raise RuntimeError("out of order")

        people = it.double.people
        with monkeypatch.context() as patched:
            patched.setattr(type(conversations), "hear", broken)
            await people.command(ROOM, "subs", user=OWNER)
            await until(lambda: bool(people.acks))
            assert people.acks[0][1] == {
                "response_type": "ephemeral",
                "text": "This failed in sensord; its log says why.",
            }
            await people.mention(ROOM, "subs", user=OWNER)
            await people.command(MINE, "help", user=OWNER)
            await until(lambda: len(people.acks) == 2)
            assert [envelope.kind for envelope in people.waiting.values()] == ["events_api"]
        await people.resend()
        await it.heard()
        assert len(it.texts(ROOM)) == 1


async def test_where_commands_are_off_or_nothing_is_given_to_hear_them_by_nobody_connects(tmp_path: Path) -> None:
    for options in ({"commands": "false"}, {"app_token": None}):
        folder = tmp_path / next(iter(options))
        folder.mkdir()
        async with slack(folder, connected=False, **options) as it:
            assert it.app.chats.slack is None
            assert it.app.chats.socket is None
            await it.app.database.read(lambda _conn: None)
            assert it.double.people.opened == 0


def test_with_a_token_to_send_alone_nothing_of_the_chats_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "sensord.yaml").write_text("jobs: {a: {command: ['true']}}\nslack: {token: xoxb-1}")
    code = """
import sys, anyio
from pathlib import Path
from sensord.app import open_app
from sensord.config import load
async def main():
    async with open_app(load(Path("sensord.yaml"), {})):
        pass
anyio.run(main)
loaded = [name for name in sys.modules if name.startswith(("notifiers.channels.slack_", "notifiers.chat.conv"))]
print(*sorted(name.rpartition(".")[2] for name in loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["slack_blocks", "slack_errors", "slack_runs"]
