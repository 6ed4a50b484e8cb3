"""One route: where it is, what it takes and gives. The application and its OpenAPI description are made of these."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from aiohttp import web
from msgspec import Struct, field

from sensord.web.body import checked_text
from sensord.web.problems import Problem, shown

ID = "[0-9a-f-]{36}"
NAME = "[A-Za-z0-9_-]{1,100}"
MAX_LIMIT = 1000

Schema = Mapping[str, Any]


class Endpoint(Struct, frozen=True, kw_only=True):
    """A method and a path with its handler. `path` has `{id}` for an id and `{name}` for a job or sensor.

    `query` is name → (schema, description); `body` the JSON Schema of a body, where there may be one; `answers`
    status → (description, JSON Schema or None). `gives` is the answer's media type. A `page` is answered
    with the login form where a browser has no token yet. A token for some topics is taken where `scope` is one of its.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    query: Mapping[str, tuple[Schema, str]] = field(default_factory=dict)
    body: Schema | None = None
    takes: tuple[str, ...] = ("application/json",)
    answers: Mapping[int, tuple[str, Schema | None]] = field(default_factory=dict)
    gives: str = "application/json"
    public: bool = False
    page: bool = False
    scope: Literal["publish", "read"] | None = None

    @property
    def pattern(self) -> str:
        """The path as the router takes it: ids and names have the form they have, or it is no path of ours."""
        return self.path.replace("{id}", f"{{id:{ID}}}").replace("{name}", f"{{name:{NAME}}}")


class Page(Struct, frozen=True, kw_only=True):
    """What a list was asked for: how much, after what, with which values of which fields."""

    limit: int
    after: str | None
    filters: Mapping[str, list[str]]


def read_page(request: web.Request, known: tuple[str, ...], *, cursor: str) -> Page:
    """The query of a list. Problem names the filters there are; `cursor` is the pattern of its `after`."""
    filters: dict[str, list[str]] = {}
    for name in request.query:
        if name in ("limit", "after") or name in filters:
            continue
        if name not in known:
            raise Problem(400, f"{shown(name)} is no filter of this list; it takes limit, after, {', '.join(known)}")
        values = [checked_text(name, value) for value in request.query.getall(name)]
        if len(values) > 100:  # noqa: PLR2004 - more is no question of a person
            raise Problem(400, f"{name} has {len(values)} values; at most 100 are taken")
        filters[name] = values
    after = one(request, "after")
    if after is not None and not re.fullmatch(cursor, after):
        raise Problem(400, f"after is {shown(after)}; give the `next` of the page before")
    return Page(limit=read_limit(request), after=after, filters=filters)


def read_limit(request: web.Request) -> int:
    """How many items are wanted: 1 to 1000, 100 by default."""
    text = one(request, "limit")
    if text is None:
        return 100
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise Problem(400, f"limit is {shown(text)}; give a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def one(request: web.Request, name: str) -> str | None:
    """A query's value that may come once."""
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise Problem(400, f"{name} comes {len(values)} times; give it once")
    return checked_text(name, values[0]) if values else None


def flag(request: web.Request, name: str) -> bool:
    """A query's value that is yes or no."""
    text = one(request, name)
    if text not in (None, "0", "1", "false", "true"):
        raise Problem(400, f"{name} is {shown(text or '')}; give 1 or 0")
    return text in ("1", "true")


def only(request: web.Request, *known: str) -> None:
    """Refuse what a query does not take, so that a misspelt key is no silent surprise."""
    for name in request.query:
        if name not in known:
            there_are = ", ".join(known) or "none"
            raise Problem(400, f"{shown(name)} is no key of this query; it takes {there_are}")
