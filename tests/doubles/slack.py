"""A Slack workspace on loopback that refuses what Slack refuses; `slack_people` is who writes to the app there.

`python -m tests.doubles.slack --port 0 --record FILE --faults JSON` prints its port, and appends one JSON line to
FILE for each request before it answers it.

What Slack does not document is taken at its strictest: no burst above one post a second to a channel, lengths in
UTF-16 units, `client_msg_id` ignored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio
from aiohttp import web

from tests.doubles.slack_interactions import NoSuchThing
from tests.doubles.slack_people import SlackPeople
from tests.doubles.slack_workspace import Refused, Room, TooFast, Workspace

__all__ = ["Fault", "Room", "SlackDouble", "running"]


@dataclass(kw_only=True)
class Fault:
    """Something to go wrong with the `nth` call (from 1; 0 is every call) of a method, or with that share of them.

    kind: `lost` (done, then the connection drops), `reset` (dropped before anything is done), `slow` (done, then
    silence until `double.release`, or for `seconds`), `html` (a page instead of an answer), `garbage`, an HTTP
    status such as `502` or `429` (with `seconds` as Retry-After), or an error code such as `is_archived`.
    """

    kind: str
    method: str = "chat.postMessage"
    nth: int = 0
    seconds: float = 0
    rate: float = 1.0


@dataclass(kw_only=True)
class SlackDouble(Workspace):
    """The workspace, served. `requests` is what came, `committed` what people see, in order."""

    faults: list[Fault] = field(default_factory=list)
    record: Path | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    random: Random = field(default_factory=lambda: Random(0))
    people: SlackPeople = field(init=False)
    _calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.people = SlackPeople(self)

    def questions(self) -> dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        people = self.people
        return {
            "users.info": people.user, "conversations.info": people.channel, "conversations.members": people.inside,
            "views.open": people.doing.open_view,
        }  # fmt: skip

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/link":
            return await self.people.link(request)
        body = await _body(request) if not path.startswith("/upload/") else {"bytes": len(await request.read())}
        method = path.removeprefix("/api/") if path.startswith("/api/") else path
        if path.startswith(("/actions/", "/commands/")):
            method = "/response_url"
        self._calls[method] += 1
        fault = next((one for one in self.faults if self._strikes(one, method)), None)
        kind = fault.kind if fault else ""
        undone = kind not in ("", "lost", "slow")
        answer = self._refusal(fault) if fault and undone else await self._do(method, request, body)
        done = not undone and not method.startswith("/") and json.loads(answer.text or "{}").get("ok") is True
        line = {"method": method, "body": body, "fault": kind, "at": self.clock(), "status": answer.status}
        self._note(line | {"committed": done})
        if kind in ("lost", "reset"):
            assert request.transport is not None
            request.transport.abort()
        if fault and kind == "slow":
            with anyio.move_on_after(fault.seconds or None):
                await self.release.wait()
        return answer

    def _strikes(self, fault: Fault, method: str) -> bool:
        here = fault.method == method and fault.nth in (0, self._calls[method])
        return here and (fault.rate >= 1 or self.random.random() < fault.rate)

    def _note(self, line: dict[str, Any]) -> None:
        self.requests.append(line)
        if self.record is not None:
            with self.record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _refusal(self, fault: Fault) -> web.Response:
        if fault.kind in ("html", "502", "504"):
            status = 200 if fault.kind == "html" else int(fault.kind)
            return web.Response(text="<html><h1>Oops</h1></html>", content_type="text/html", status=status)
        if fault.kind == "garbage":
            return web.Response(text='{"ok": tru', content_type="application/json")
        if fault.kind == "429":
            return _too_fast(fault.seconds)
        if fault.kind.isdigit():
            return web.json_response({"ok": False, "error": "service_unavailable"}, status=int(fault.kind))
        return web.json_response({"ok": False, "error": fault.kind})

    async def _do(self, method: str, request: web.Request, body: Mapping[str, Any]) -> web.Response:
        try:
            if method.startswith("/"):
                return await self._elsewhere(method, request, body)
            token = request.headers.get("Authorization", "")
            if method == "apps.connections.open":
                answer = self.people.open(token)
            else:
                self.authorise(method, token, body)
                answer = self.call(method, body)
            said = {"X-OAuth-Scopes": ",".join(sorted(self.scopes))} if token == f"Bearer {self.token}" else {}
            return web.json_response({"ok": True, **answer}, headers=said)
        except Refused as refused:
            return web.json_response(refused.body)
        except NoSuchThing as none:
            metadata = {"response_metadata": {"messages": list(none.messages)}} if none.messages else {}
            return web.json_response({"ok": False, "error": str(none), **metadata})
        except TooFast as fast:
            return _too_fast(fast.seconds)

    async def _elsewhere(self, method: str, request: web.Request, body: Mapping[str, Any]) -> web.Response:
        """What is no method of the Web API."""
        if method.startswith("/upload/"):
            return self.take(method, await request.read())
        if method == "/response_url":
            return self.people.doing.respond(request.path, body)
        return self.incoming(method, body)


async def _body(request: web.Request) -> dict[str, Any]:
    """JSON, or a form whose nested values are JSON."""
    if request.content_type == "application/json":
        return dict(json.loads(await request.read()))
    form = {key: value for key, value in {**request.query, **await request.post()}.items() if isinstance(value, str)}
    return {key: json.loads(value) if key in ("blocks", "files") else value for key, value in form.items()}


def _too_fast(seconds: float) -> web.Response:
    wait = str(max(1, -int(-seconds // 1)))
    return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": wait})


@asynccontextmanager
async def running(double: SlackDouble, port: int = 0) -> AsyncIterator[SlackDouble]:
    """Serve on loopback; `double.url` is where. Its API is at `double.url + "/api/"`."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", double.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    double.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield double
    finally:
        double.release.set()
        await runner.cleanup()


def _faults(text: str) -> Iterator[Fault]:
    for fault in json.loads(text):
        yield Fault(**fault)


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A Slack workspace on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--faults", default="[]", help=f"JSON: a list of {asdict(Fault(kind='lost'))}")
    parser.add_argument("--token", default=SlackDouble.token)
    parser.add_argument("--seed", type=int, default=0, help="of what a fault's rate is thrown with")
    parser.add_argument("--rooms", default="C0GENERAL", help="ids, with commas between")
    parser.add_argument("--unlimited", action="store_true", help="lift the limits on calls")
    options = parser.parse_args()
    double = SlackDouble(
        token=options.token,
        record=options.record,
        faults=list(_faults(options.faults)),
        rooms=[Room(id=one, name=one.lower()) for one in options.rooms.split(",")],
        limits=not options.unlimited,
        random=Random(options.seed),
    )
    async with running(double, options.port):
        print(double.url.rpartition(":")[2], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
