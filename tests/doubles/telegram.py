"""A local Bot API that refuses what Telegram refuses: real HTTP on a loopback port.

In a test:

    async with open_double(monotonic=clock) as double:
        config = TelegramConfig(token=double.token, api_url=double.url)
        double.chats.add(-100123, kind="supergroup").topics[7] = "closed"
        double.fail_next("lost")
        …
        assert [call.text for call in double.committed] == […]

- `double.requests` has a `Call` for each request in the order of arrival, `double.committed` those that changed
  a chat, in the order of commit: count real duplicates and losses there, not in what the client believes.
- `double.chats.get(chat).texts()` is what stands in a chat. Set `.state`, `.moved_to`, `.topics` to let it die.
- Limits (`Limits`) are enforced over `monotonic`, which a test may hold; `Limits(enforce=False)` lifts them.
- `double.fail_next(kind, …)` or `double.faults` say which of the coming sends go wrong, and how (`Fault`).
- `double.say(…)` and `double.press(…)` make updates for getUpdates or, once there is one, for the webhook;
  `double.people` has whatever else people do, and who is what in which chat. `double.refusals` are what the
  coming getUpdates calls are answered.

As a process: `python -m tests.doubles.telegram --port 0 --record FILE --faults JSON` prints its URL and port,
and appends one JSON line for each request to FILE before it answers. `--faults` is a list of `Fault` objects.

Texts and entities are judged by TDLib. Not served: inline mode, media other than documents.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

from tests.doubles.telegram_chats import Chats, Limits, Turnstile, too_many
from tests.doubles.telegram_judge import Refusal, bad_request
from tests.doubles.telegram_methods import COUNTED, ELSEWHERE, IN_A_CHAT, World
from tests.doubles.telegram_wire import Call, Fault, Trouble, answer, call_of, parameters_of, spoil

__all__ = ["Call", "Fault", "Limits", "TelegramDouble", "open_double"]

TOKEN = "4242:this-is-no-real-token"


class TelegramDouble:
    """The server's state; see the module's words."""

    limits = Limits()

    def __init__(
        self,
        *,
        token: str,
        limits: Limits,
        faults: Iterable[Fault],
        strict_chats: bool,
        monotonic: Callable[[], float],
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        record: Path | None,
        seed: int,
    ) -> None:
        self.token = token
        self.url = ""
        self.chats = Chats(strict=strict_chats)
        self.faults = list(faults)
        self.requests: list[Call] = []
        self.committed: list[Call] = []
        self.world = World(self.chats, now)
        self.limits = limits
        self._turnstile = Turnstile(limits, monotonic)
        self._monotonic = monotonic
        self._sleep = sleep
        self._record = record
        self._chance = random.Random(seed).random
        self.people = self.world.people
        self.say, self.press = self.people.say, self.people.press
        self.refusals: list[Refusal] = []
        self.elsewhere: list[tuple[str, Mapping[str, Any]]] = []

    def fail_next(self, kind: Trouble, **more: Any) -> Fault:
        """Let the next send, or the next `count`, go wrong."""
        fault = Fault(kind=kind, **more)
        self.faults.append(fault)
        return fault

    def file(self, chat: int | str, message_id: int) -> tuple[str, bytes]:
        """The name and content of the document that stands in a chat."""
        about = self.chats.get(chat).messages[message_id]["document"]
        return about["file_name"], self.world.files[about["file_id"]]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request, from the check of its token to the answer or to its fault."""
        at = self._monotonic()
        match = re.fullmatch(r"/bot([^/]*)/(\w+)", request.path)
        if match is None or not re.match(r"\d+:", match[1]):
            return answer(Refusal(404, "Not Found"))
        if match[1] != self.token:
            return answer(Refusal(401, "Unauthorized"))
        method = match[2].lower()
        try:
            params = await parameters_of(request)
            call = call_of(at, method, params)
        except ValueError:
            return answer(bad_request("can't parse request body"))
        if method in IN_A_CHAT:
            return await self._call(request, method, call)
        fault = next((one for one in self.faults if one.everywhere and one.strikes("", self._chance)), None)
        if fault is not None:
            fault.hits += 1
            return await spoil(request, fault, answer(Refusal(500, "Internal Server Error")), self._sleep)
        return answer(await self._elsewhere(method, params))

    async def _elsewhere(self, method: str, params: Mapping[str, Any]) -> Any:
        if method == "getupdates":
            return self.refusals.pop(0) if self.refusals else await self.people.get_updates(params)
        if method not in ELSEWHERE:
            return Refusal(404, "Not Found: method not found")
        self.elsewhere.append((method, params))
        return _attempt(lambda: ELSEWHERE[method](self.world, params))

    async def _call(self, request: web.Request, method: str, call: Call) -> web.StreamResponse:
        struck = [fault for fault in self.faults if method in COUNTED and fault.strikes(call.chat, self._chance)]
        fault = struck[0] if struck else None
        if fault is not None:
            fault.hits += 1
        carried_out = fault is None or fault.committed or fault.kind in ("lost", "cut", "slow")
        if fault is not None and fault.kind == "429":
            result: Any = too_many(int(fault.seconds))
        elif carried_out:
            result = _attempt(lambda: self._carry_out(method, call))
        else:
            result = Refusal(500, "Internal Server Error")
        call.fault = fault.kind if fault else None
        if isinstance(result, Refusal):
            call.status, call.description = result.code, result.description
        self.requests.append(call)
        if call.committed:
            self.committed.append(call)
        self._write(call)
        if fault is None or (carried_out and isinstance(result, Refusal)):
            return answer(result)
        return await spoil(request, fault, answer(result), self._sleep)

    def _carry_out(self, method: str, call: Call) -> Any:
        chat = self.chats.get(call.chat)
        if method in COUNTED:
            self._turnstile.enter(chat)
        result = IN_A_CHAT[method](self.world, chat, call.params)
        call.committed = method in COUNTED or method == "deletemessage"
        call.message_id = result.get("message_id") if isinstance(result, dict) else None
        return result

    def _write(self, call: Call) -> None:
        if self._record is not None:
            with self._record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(call.as_json()) + "\n")


def _attempt(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Refusal as refusal:
        return refusal


@asynccontextmanager
async def open_double(
    *,
    token: str = TOKEN,
    port: int = 0,
    limits: Limits | None = None,
    faults: Iterable[Fault] = (),
    strict_chats: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    record: Path | None = None,
    seed: int = 0,
) -> AsyncIterator[TelegramDouble]:
    """A double that listens on 127.0.0.1 while the block runs; `port` 0 takes a free one.

    `strict_chats` answers `chat not found` for every chat that was not added first.
    """
    double = TelegramDouble(
        token=token,
        limits=limits or Limits(),
        faults=faults,
        strict_chats=strict_chats,
        monotonic=monotonic,
        now=now,
        sleep=sleep,
        record=record,
        seed=seed,
    )
    app = web.Application(client_max_size=120_000_000)
    app.router.add_route("*", "/{path:.*}", double.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        double.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with anyio.create_task_group() as posting:
            posting.start_soon(double.people.post_updates, sleep)
            yield double
            posting.cancel_scope.cancel()
    finally:
        await runner.cleanup()


async def _serve(arguments: argparse.Namespace) -> None:
    async with open_double(
        token=arguments.token,
        port=arguments.port,
        limits=Limits(enforce=not arguments.unlimited),
        faults=[Fault(**fault) for fault in json.loads(arguments.faults)],
        record=arguments.record,
        seed=arguments.seed,
    ) as double:
        print(double.url, double.url.rpartition(":")[2], flush=True)
        await anyio.sleep_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.telegram")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--faults", default="[]", help="a JSON list of Fault objects")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unlimited", action="store_true", help="lift the limits on calls")
    anyio.run(_serve, parser.parse_args())


if __name__ == "__main__":
    main()
