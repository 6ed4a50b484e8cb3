"""A receiver of webhooks on loopback: records what comes, verifies it, answers what it is told to.

It verifies with its own reading of Standard Webhooks 1.0: every `v1` signature in the list is tried against
HMAC-SHA256 of the id, the timestamp and the raw body, and a timestamp may be five minutes off.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hmac import HMAC
from pathlib import Path
from typing import Any

from aiohttp import web

TOLERANCE = 300


@dataclass(kw_only=True)
class Answer:
    """What to answer: a status with headers and a body, or a kind of trouble.

    trouble: `lost` (the request was taken, then the connection drops), `endless` (a body that never ends), `slow`
    (nothing until `double.release`).
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"thanks"
    trouble: str = ""


@dataclass(kw_only=True)
class WebhookDouble:
    """`requests` is everything that came; answers are given in order, the last one for good."""

    secret: str | None = None
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    wall: Callable[[], float] = time.time
    record: Path | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0
    url: str = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        line = {
            "path": request.path_qs,
            "method": request.method,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": body.decode(),
            "problem": self.problem(request, body),
        }
        self.requests.append(line)
        if self.record is not None:
            with self.record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.trouble == "lost":
            assert request.transport is not None
            request.transport.abort()
        if answer.trouble == "slow":
            await self.release.wait()
        if answer.trouble == "endless":
            return await self._endless(request, answer)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _endless(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        await response.prepare(request)
        while not self.release.is_set():
            try:
                await response.write(b"x" * 16_384)
            except ConnectionError:
                break
            self.sent += 16_384
        return response

    def problem(self, request: web.Request, body: bytes) -> str:
        """Why the request is not to be trusted; empty if it is."""
        missing = {"Webhook-Id", "Webhook-Timestamp"} - {name.title() for name in request.headers}
        if missing:
            return f"missing {sorted(missing)}"
        sent_id, moment = request.headers["Webhook-Id"], request.headers["Webhook-Timestamp"]
        if "." in sent_id or not moment.isdigit() or abs(int(moment) - self.wall()) > TOLERANCE:
            return "bad id or timestamp"
        if self.secret is None:
            return ""
        key = b64decode(self.secret[6:]) if self.secret.startswith("whsec_") else self.secret.encode()
        mac = HMAC(key, digestmod=hashlib.sha256)
        for piece in (sent_id.encode(), b".", moment.encode(), b".", body):
            mac.update(piece)
        wanted = b64encode(mac.digest()).decode()
        signatures = request.headers.get("Webhook-Signature", "").split(" ")
        return "" if f"v1,{wanted}" in signatures else "bad signature"


@asynccontextmanager
async def running(double: WebhookDouble, port: int = 0) -> AsyncIterator[WebhookDouble]:
    """Serve on loopback; `double.url` is where."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", double.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    double.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield double
    finally:
        double.release.set()
        await runner.cleanup()


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A receiver of webhooks on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--secret")
    parser.add_argument("--answers", default="[{}]", help='JSON, e.g. [{"status": 503}, {"status": 200}]')
    options = parser.parse_args()
    answers = [Answer(**answer) for answer in json.loads(options.answers)]
    async with running(WebhookDouble(secret=options.secret, answers=answers, record=options.record), options.port) as d:
        print(d.url.rpartition(":")[2], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
