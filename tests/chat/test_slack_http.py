"""Slack's requests: signed, fresh, once; and nothing else gets in by their routes."""

from __future__ import annotations

import io
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifiers.channels.slack_signature import Signatures
from sensord.web.api import build_web, serve
from tests.chat.slack_kit import OWNER, ROOM, Slack, slack
from tests.doubles.slack import SlackDouble
from tests.doubles.slack_people import form, interaction
from tests.sources.directory_kit import until

TOKEN = "correct-horse-battery-staple"
SECRET = SlackDouble().people.signing_secret
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Asked:
    """A daemon to which Slack sends requests."""

    it: Slack
    url: str
    http: aiohttp.ClientSession

    async def post(self, what: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        kind = JSON if what == "events" else FORM
        async with self.http.post(
            f"{self.url}/api/slack/{what}", data=io.BytesIO(body), headers={**kind, **headers}
        ) as answer:
            return answer.status, await answer.text()

    async def sign(self, what: str, body: bytes, *, ago: float = 0, secret: str | None = None) -> tuple[int, str]:
        return await self.post(what, body, self.it.double.people.signed(body, time.time() - ago, secret=secret))

    def command(self, text: str, room: str = ROOM) -> bytes:
        return form(self.it.double.people.typed(room, text, user=OWNER))

    def kept(self) -> int:
        return len(self.it.rows("SELECT id FROM chat_heard"))


@asynccontextmanager
async def asked(folder: Path, url: str | None = None, **more: Any) -> AsyncIterator[Asked]:
    beside = f"http: {{port: 0, token: {TOKEN}}}"
    options = {"app_token": None, "signing_secret": SECRET, "connected": False, "beside": beside, **more}
    async with slack(folder, url, **options) as it, serve(it.app) as address, aiohttp.ClientSession() as http:
        yield Asked(it, address, http)


async def test_commands_mentions_and_events_come_as_signed_requests(tmp_path: Path, database_url: str) -> None:
    async with asked(tmp_path, database_url) as site:
        it, people = site.it, site.it.double.people
        status, shown = await site.sign("commands", site.command("subscribe bp.> severity>=warning"))
        assert (status, json.loads(shown)) == (200, {"response_type": "in_channel"})
        assert it.subscribed() == [("bp.>", f"slack:{ROOM}", '{"severity":">=warning"}')]
        assert await site.sign("commands", site.command("subs", f"D{OWNER[1:]}")) == (200, "")
        mention = people.happened("app_mention", channel=ROOM, user=OWNER, text="<@U0SENSORD> subs", ts="1.2")
        assert await site.sign("events", json.dumps(mention).encode()) == (200, "")
        left = people.happened("channel_left", channel=ROOM, actor_id=OWNER)
        assert await site.sign("events", json.dumps(left).encode()) == (200, "")
        assert [row["state"] for row in it.rows("SELECT state FROM destinations")] == ["paused"]
        press = interaction(people.pressed(ROOM, "1.2", "nonce", user=OWNER))
        assert await site.sign("interactivity", press) == (200, "")
        assert people.opened == 0
        await until(lambda: bool(it.texts(f"D{OWNER[1:]}")))


async def test_the_address_is_proven_to_slack_and_to_nobody_else(tmp_path: Path) -> None:
    async with asked(tmp_path) as site:
        body = json.dumps({"type": "url_verification", "token": "x", "challenge": "3eZbrw1aB"}).encode()
        status, shown = await site.sign("events", body)
        assert (status, json.loads(shown)) == (200, {"challenge": "3eZbrw1aB"})
        assert (await site.post("events", body, {}))[0] == 401
        assert (await site.sign("events", body, secret="another"))[0] == 401


async def test_what_is_forged_changed_too_old_or_from_the_future_is_refused_and_does_nothing(tmp_path: Path) -> None:
    async with asked(tmp_path) as site:
        people = site.it.double.people
        body = site.command("subscribe bp.>")
        good = people.signed(body, time.time())
        at, signature = good["X-Slack-Request-Timestamp"], good["X-Slack-Signature"]
        wrong: list[Mapping[str, str]] = [
            {},
            BEARER,
            {"X-Slack-Signature": signature},
            {"X-Slack-Request-Timestamp": at},
            {**good, "X-Slack-Signature": signature.upper()},
            {**good, "X-Slack-Signature": signature.replace("v0=", "v1=")},
            {**good, "X-Slack-Signature": f"v0={'0' * 64}"},
            {**good, "X-Slack-Signature": f"{signature}0"},
            {**good, "X-Slack-Signature": "v0=é"},
            {**good, "X-Slack-Request-Timestamp": f"{int(at) + 1}"},
            {**good, "X-Slack-Request-Timestamp": f"+{at}"},
            {**good, "X-Slack-Request-Timestamp": "١٢"},
            {**good, "X-Slack-Request-Timestamp": "9" * 400},
            {**good, "X-Slack-Request-Timestamp": ""},
        ]
        for headers in wrong:
            assert (await site.post("commands", body, headers))[0] == 401, headers
        assert (await site.post("commands", body + b"&x=1", good))[0] == 401
        assert (await site.post("commands", body.replace(b"bp.", b"qp."), good))[0] == 401
        for ago in (301, 3600, -301, -(10**9)):
            status, said = await site.sign("commands", body, ago=ago)
            assert status == 401
            assert "clock" in said
        assert (await site.sign("commands", body, secret=SECRET[:-1]))[0] == 401
        assert site.kept() == 0
        assert site.it.subscribed() == []
        assert (await site.sign("commands", body, ago=290))[0] == 200
        assert len(site.it.subscribed()) == 1


async def test_a_request_that_comes_again_is_refused_and_by_the_next_daemon_not_carried_out(
    tmp_path: Path, database_url: str
) -> None:
    async with asked(tmp_path, database_url) as site:
        body = site.command("test")
        headers = site.it.double.people.signed(body, time.time())
        assert (await site.post("commands", body, headers))[0] == 200
        for _ in range(3):
            status, said = await site.post("commands", body, headers)
            assert status == 401
            assert "taken already" in said
        # Signed anew, as Slack does when it had no answer, it is no forgery, and no second command either.
        assert await site.sign("commands", body, ago=60) == (200, "")
        await site.it.heard()
    async with asked(tmp_path, database_url) as site:
        assert await site.post("commands", body, headers) == (200, "")
        acts = [row["act"] for row in site.it.rows("SELECT act FROM chat_acts")]
        assert acts == ["test"]


async def test_the_same_request_many_times_at_once_is_one_command(tmp_path: Path) -> None:
    async with asked(tmp_path) as site:
        body = site.command("test")
        headers = site.it.double.people.signed(body, time.time())
        statuses: list[int] = []

        async def send() -> None:
            statuses.append((await site.post("commands", body, headers))[0])

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(send)
        assert set(statuses) <= {200, 401}
        assert 200 in statuses
        assert len(site.it.rows("SELECT id FROM chat_acts")) == site.kept() == 1


async def test_a_request_that_could_not_be_carried_out_may_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asked(tmp_path) as site:
        chat = site.it.app.chats.slack
        assert chat is not None
        mention = site.it.double.people.happened("app_mention", channel=ROOM, user=OWNER, text="<@U0SENSORD> subs")
        body = json.dumps(mention).encode()
        headers = site.it.double.people.signed(body, time.time())

        async def broken(*_: object) -> None:
            raise RuntimeError("out of order")

        with monkeypatch.context() as patched:
            patched.setattr(type(chat._conversations), "hear", broken)
            assert (await site.post("events", body, headers))[0] == 503
        assert (await site.post("events", body, headers))[0] == 200
        await until(lambda: len(site.it.texts(ROOM)) == 1)


async def test_a_body_is_bounded_before_it_is_read_and_one_that_is_signed_may_still_be_nonsense(tmp_path: Path) -> None:
    async with asked(tmp_path) as site:
        good = site.it.double.people.signed(b"", time.time())
        assert (await site.post("commands", b"x" * (1 << 20) + b"x", good))[0] == 413
        long = {**good, "X-Slack-Request-Timestamp": "1"}
        assert (await site.post("commands", b"x" * (1 << 20) + b"x", long))[0] == 401
        for what, bodies in {
            "commands": (b"\xff=%ff", b"&".join(b"a%d=1" % number for number in range(200)), b"text=%ff"),
            "interactivity": (b"payload=", b"payload={", b"payload=[]", b"payload=1", b"payload=" + b"[" * 100_000),
            "events": (b"", b"{", b"[]", b'{"a":1,"a":2}', b"\xff", b"[" * 5000),
        }.items():
            for body in bodies:
                assert (await site.sign(what, body))[0] == 400, body[:40]
        for what, body in (
            ("commands", b""),
            ("commands", b"ssl_check=1&token=x"),
            ("commands", b"trigger_id=1&user_id=x&channel_id=y&text=subs"),
            ("interactivity", b"payload={}"),
            ("interactivity", b'payload={"type":"view_submission","trigger_id":"1"}'),
            ("events", b"{}"),
            ("events", b'{"type":"event_callback","event_id":"E","event":{"type":"app_mention"}}'),
        ):
            assert await site.sign(what, body) == (200, ""), body
        assert site.kept() == 0


async def test_these_three_routes_and_no_others_are_open_and_only_where_they_are_used(tmp_path: Path) -> None:
    mine = {"/api/slack/commands", "/api/slack/interactivity", "/api/slack/events"}
    async with asked(tmp_path) as site:
        async with site.http.get(f"{site.url}/openapi.json", headers=BEARER) as answer:
            paths = json.loads(await answer.read())["paths"]
        open_ = {path for path, item in paths.items() for one in item.values() if one.get("security") == []}
        assert open_ == {*mine, "/healthz", "/readyz", "/login"}
        for path in mine:
            async with site.http.get(f"{site.url}{path}") as answer:
                assert answer.status in (401, 405)
        signed = site.it.double.people.signed(b"{}", time.time())
        async with site.http.post(f"{site.url}/api/events", data=b"{}", headers={**JSON, **signed}) as answer:
            assert answer.status == 401
    elsewhere: tuple[dict[str, Any], ...] = ({"app_token": "xapp-1"}, {"signing_secret": None}, {"commands": "false"})
    for number, more in enumerate(elsewhere):
        (tmp_path / str(number)).mkdir()
        async with asked(tmp_path / str(number), **more) as site:
            routes = {route.resource.canonical for route in build_web(site.it.app).router.routes() if route.resource}
            assert not mine & routes


@given(st.binary(max_size=50), st.integers(0, 10**11), st.binary(max_size=20))
def test_only_what_was_signed_is_taken(body: bytes, at: int, other: bytes) -> None:
    signatures = Signatures(SECRET)
    headers = SlackDouble().people.signed(body, at)
    timestamp, signature = headers["X-Slack-Request-Timestamp"], headers["X-Slack-Signature"]
    assert signatures.stale(timestamp, signature, at + 299) is None
    assert signatures.stale(timestamp, signature, at + 302) is not None
    assert signatures.wrong(timestamp, signature, body) is None
    if other != body:
        assert signatures.wrong(timestamp, signature, other) is not None


def test_what_was_taken_is_remembered_for_as_long_as_it_is_fresh_and_no_longer() -> None:
    signatures = Signatures(SECRET)
    for number in range(20_000):
        signatures.take(f"v0={number:064x}", 1000.0 + number)
    assert len(signatures._taken) <= 601
    last = f"v0={19_999:064x}"
    assert signatures.stale("20999", last, 20_999.0) == "this request was taken already"
    assert signatures.stale("22000", last, 22_000.0) is None
