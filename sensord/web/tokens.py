"""Tokens for programs over HTTP: made, listed, revoked. Only who may do everything gets here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from notifiers.clock import to_us
from notifiers.settings import parse_duration
from rules.topics import check_pattern
from sensord.app import App
from sensord.ledger.tokens import list_tokens
from sensord.web import schemas
from sensord.web.body import checked_text, kind, read_object, text_of
from sensord.web.endpoint import NAME, Endpoint, only
from sensord.web.problems import Problem, answer, shown

MOST_PATTERNS = 50
_LONGEST = 36_500 * 86_400.0


class Tokens:
    """The routes under `/api/tokens`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """Four of them."""
        return [
            Endpoint(
                method="POST",
                path="/api/tokens",
                handler=self._create,
                summary="Make a token that may publish and read on some topics. Its secret is in this answer alone.",
                body=schemas.NEW_TOKEN,
                answers={
                    201: ("the token", schemas.MADE_TOKEN),
                    409: ("one of that name holds", schemas.ERROR),
                },
            ),
            Endpoint(
                method="GET",
                path="/api/tokens",
                handler=self._list,
                summary="Every token, without its secret, by name.",
                answers={200: ("all of them", schemas.listing(schemas.TOKEN))},
            ),
            Endpoint(
                method="GET",
                path="/api/tokens/{name}",
                handler=self._show,
                summary="One token, without its secret.",
                answers={200: ("the token", schemas.TOKEN)},
            ),
            Endpoint(
                method="DELETE",
                path="/api/tokens/{name}",
                handler=self._revoke,
                summary="Revoke a token: from this answer on it opens nothing, and streams that it opened end.",
                body=schemas.NOTHING,
                answers={200: ("it is revoked", schemas.ANY)},
            ),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        body = await read_object(request, ("name", "publish", "read", "expires"))
        name, expires = text_of(body, "name"), text_of(body, "expires")
        if name is None or not re.fullmatch(NAME, name):
            raise Problem(400, f"name is {shown(name or '')}; a token's name is 1 to 100 letters, digits, _ and -")
        publish, read = _patterns(body, "publish"), _patterns(body, "read")
        if not publish and not read:
            raise Problem(400, 'say what the token may do: {"publish": ["bp.>"], "read": ["runs.>"]}')
        try:
            seconds = None if expires is None else parse_duration(expires)
        except ValueError as error:
            raise Problem(400, f"expires: {error}") from None
        if seconds is not None and not 0 < seconds <= _LONGEST:
            raise Problem(400, f"expires is {shown(expires or '')}; give a time from now that is to come, e.g. 30d")
        made = await self._app.tokens.create(name, publish=publish, read=read, seconds=seconds)
        if made is None:
            raise Problem(409, f"a token {shown(name)} holds already; revoke it first, or take another name")
        self._app.published()
        return answer(made, 201)

    async def _list(self, request: web.Request) -> web.Response:
        only(request)
        return answer({"items": await self._read(), "next": None})

    async def _show(self, request: web.Request) -> web.Response:
        only(request)
        name = request.match_info["name"]
        found = [one for one in await self._read() if one["name"] == name]
        if not found:
            raise Problem(404, f"there is no token {shown(name)}; GET /api/tokens lists those there are")
        return answer(found[0])

    async def _read(self) -> list[dict[str, Any]]:
        now = to_us(self._app.clock.now())
        return await self._app.database.read(lambda conn: list_tokens(conn, now))

    async def _revoke(self, request: web.Request) -> web.Response:
        await read_object(request, ())
        name = request.match_info["name"]
        if not await self._app.tokens.revoke(name):
            raise Problem(404, f"there is no token {shown(name)} that holds; GET /api/tokens lists them")
        self._app.published()
        return answer({"name": name, "revoked": True})


def _patterns(body: Mapping[str, Any], name: str) -> list[str]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MOST_PATTERNS:
        raise Problem(400, f"{name} is {kind(value)}; send a list of at most {MOST_PATTERNS} patterns")
    found: list[str] = []
    for one in value:
        if not isinstance(one, str):
            raise Problem(400, f"{name} holds {kind(one)}; send patterns of topics as text")
        try:
            check_pattern(checked_text(name, one))
        except ValueError as error:
            raise Problem(400, f"{name}: {error}") from None
        found.append(one)
    return found
