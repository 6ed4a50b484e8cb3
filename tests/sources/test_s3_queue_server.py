"""Servers of queues that answer oddly, at once, or with more than one reader can carry."""

from __future__ import annotations

import json
from hashlib import md5
from typing import Any

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from tests.sources.directory_kit import until
from tests.sources.s3_kit import sensing
from tests.sources.s3_queue_kit import notice


def server_url(server: BaseTestServer) -> str:
    return str(server.make_url("/1/queue"))


@pytest.mark.parametrize(
    ("status", "kind", "body", "words"),
    [
        (200, "text/html", "<html>a login page</html>", "answers with a web page; check queue_url"),
        (502, "text/html", "<html>bad gateway</html>", "cannot answer now"),
        (403, "application/x-amz-json-1.0", '{"__type": "AccessDenied"}', "allow sqs:ReceiveMessage and sqs:DeleteMes"),
        (400, "application/x-amz-json-1.0", '{"__type": "ExpiredToken"}', "have expired"),
        (400, "text/plain", "\x00 not json", "cannot be looked at"),
        (0, "", "", "cannot be reached"),
    ],
)
async def test_a_queue_that_answers_oddly_is_named_and_asked_ever_less_often(
    status: int, kind: str, body: str, words: str
) -> None:
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if not status:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 200, content_type=kind or "text/plain", text=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with (
        TestServer(app) as server,
        sensing("http://127.0.0.1:9", listing=False, queue_url=server_url(server), wait=False) as sensor,
    ):
        assert words in await sensor.failed()
        for pause in (1, 2, 4):
            before = asked
            await sensor.wait(pause - 0.1)
            assert asked == before
            await sensor.wait(0.1)
            await until(lambda before=before: asked > before)  # type: ignore[misc]
        assert len(sensor.emit.failures) == 1


async def test_a_server_that_does_not_wait_for_messages_is_not_besieged() -> None:
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(content_type="application/x-amz-json-1.0", text="{}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with (
        TestServer(app) as server,
        sensing("http://127.0.0.1:9", listing=False, queue_url=server_url(server)) as sensor,
    ):
        for count in range(1, 5):
            await until(lambda: sensor.time and sensor.time._sleepers)
            assert asked == count
            await sensor.wait(1)


async def test_a_flood_of_notices_is_read_by_several_at_a_time_and_a_trickle_by_one() -> None:
    given, waiting, together = 0, 0, 0
    several = anyio.Event()
    patience: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        nonlocal given, waiting, together
        asked = await request.json()
        if "WaitTimeSeconds" not in asked:
            return web.Response(content_type="application/x-amz-json-1.0", text="{}")
        patience.append(asked["WaitTimeSeconds"])
        waiting += 1
        together = max(together, waiting)
        if together >= 3:
            several.set()
        if given:
            await several.wait()
        waiting -= 1
        messages: list[dict[str, str]] = []
        while given < 200 and len(messages) < 10:
            body = json.dumps({"Records": [notice("data", f"{given}.csv", size=1, eTag="e")]})
            digest = md5(body.encode()).hexdigest()
            messages.append({"MessageId": str(given), "ReceiptHandle": "r", "Body": body, "MD5OfBody": digest})
            given += 1
        return web.Response(content_type="application/x-amz-json-1.0", text=json.dumps({"Messages": messages}))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    queue: dict[str, Any] = {"listing": False, "wait": False}
    async with TestServer(app) as server, sensing(server_url(server), queue_url=server_url(server), **queue) as sensor:
        assert len(set(await sensor.emitted(200))) == 200
        await until(lambda: sensor.time and sensor.time._sleepers)
        await anyio.wait_all_tasks_blocked()
        assert {0, 20} == set(patience)
        patience.clear()
        await sensor.wait(1)
        await until(lambda: sensor.time and sensor.time._sleepers)
        assert patience == [20]
