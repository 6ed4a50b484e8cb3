"""What goes over the double's wire: calls as they arrive, answers, and answers that go wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.doubles.telegram_chats import too_many
from tests.doubles.telegram_judge import Refusal

PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>nginx</body></html>"
Trouble = Literal["lost", "cut", "reset", "302", "500", "502", "504", "html", "empty", "429", "slow"]


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with some sends and edits.

    kind: `lost` carries the call out and hangs up without an answer; `cut` hangs up in the middle of the
    answer; `slow` carries it out and answers after `seconds`; `reset` hangs up and does nothing; `500`
    answers in JSON, `302` sends elsewhere, `502` and `504` come with a gateway's page, `html` is 200 and a page,
    `empty` 200 and `{}`: all having done nothing, unless `committed`; `429` asks to wait `seconds`.
    at: how many calls (to `chat`, or to all) pass before it; count: how many it hits, None for all after that;
    rate: with what probability it hits each; everywhere: whether it hits methods that show nothing as well.
    """

    kind: Trouble
    at: int = 0
    count: int | None = 1
    chat: int | str | None = None
    rate: float = 1.0
    seconds: float = 1.0
    committed: bool = False
    everywhere: bool = False
    seen: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    def strikes(self, chat: str, chance: Callable[[], float]) -> bool:
        """Whether it would hit this call, which it has now seen."""
        if self.chat is not None and str(self.chat) != chat:
            return False
        self.seen += 1
        spent = self.count is not None and self.hits >= self.count
        return self.seen > self.at and not spent and chance() < self.rate


@dataclass(kw_only=True)
class Call:
    """One request as it arrived and ended. `text` is a message's text or a document's caption, as it was sent."""

    at: float
    method: str
    chat: str
    thread: int | None
    text: str
    entities: list[dict[str, Any]]
    document: str | None = None
    status: int = 200
    description: str = ""
    committed: bool = False
    message_id: int | None = None
    fault: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def as_json(self) -> dict[str, Any]:
        names = [known.name for known in dataclasses.fields(self) if known.name != "params"]
        return {name: getattr(self, name) for name in names}


async def spoil(
    request: web.Request, fault: Fault, good: web.Response, sleep: Callable[[float], Awaitable[None]]
) -> web.Response:
    """Answer, or do not, as the fault says."""
    if fault.kind == "slow":
        await sleep(fault.seconds)
        return good
    if fault.kind in ("lost", "reset", "cut"):
        transport = request.transport
        assert transport is not None
        if fault.kind == "cut":
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{")
            transport.close()
        else:
            transport.abort()
        return good
    if fault.kind == "302":
        return web.Response(status=302, headers={"Location": "/elsewhere"})
    if fault.kind == "empty":
        return web.json_response({})
    if fault.kind in ("502", "504", "html"):
        title = {"502": "502 Bad Gateway", "504": "504 Gateway Time-out"}.get(fault.kind, "Welcome")
        status = 200 if fault.kind == "html" else int(fault.kind)
        return web.Response(status=status, text=PAGE.format(title), content_type="text/html")
    return answer(too_many(int(fault.seconds)) if fault.kind == "429" else Refusal(500, "Internal Server Error"))


def answer(result: Any) -> web.Response:
    if not isinstance(result, Refusal):
        return web.json_response({"ok": True, "result": result})
    body: dict[str, Any] = {"ok": False, "error_code": result.code, "description": result.description}
    if result.parameters:
        body["parameters"] = dict(result.parameters)
    wait = result.parameters.get("retry_after")
    return web.json_response(body, status=result.code, headers={"Retry-After": str(wait)} if wait else None)


async def parameters_of(request: web.Request) -> dict[str, Any]:
    """JSON, form, multipart or query; a file is a pair of its name and content."""
    params: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        body = await request.json()
        if not isinstance(body, dict):
            raise ValueError("not an object")
        return params | body
    for name, value in (await request.post()).items():
        params[name] = (value.filename, value.file.read()) if isinstance(value, web.FileField) else value
    return params


def call_of(at: float, method: str, params: Mapping[str, Any]) -> Call:
    document = params.get("document")
    entities = params.get("entities")
    return Call(
        at=at,
        method=method,
        chat=str(params.get("chat_id", "")),
        thread=int(params["message_thread_id"]) if params.get("message_thread_id") else None,
        text=str(params.get("text", params.get("caption", ""))),
        entities=entities if isinstance(entities, list) else [],
        document=document[0] if isinstance(document, tuple) else None,
        params=params,
    )
