"""Who may do what from the chats, over HTTP: invitations made, people listed and removed, and what they did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, select

from notifiers.channels import DeliveryError
from notifiers.chat.people import Invite, Removed, add_invites, list_people, new_token, remove_guests
from notifiers.chat.settings import check_person
from notifiers.chat.tables import chat_acts
from notifiers.clock import from_us, to_us
from notifiers.settings import parse_duration
from notifiers.subscriptions import Ended, end_subscriptions
from notifiers.tables import subscriptions
from rules.commands import invitation
from rules.event import rfc3339
from rules.rights import EVERYTHING, Grant, Role
from rules.topics import check_pattern
from sensord.app import App
from sensord.secrets import redact
from sensord.web import schemas
from sensord.web.body import kind, read_object, text_of
from sensord.web.endpoint import ID, Endpoint, only, read_page
from sensord.web.problems import Problem, answer, shown

_MOST_PATTERNS = 50
_LONGEST_DAYS = 30
_PATTERNS = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": _MOST_PATTERNS}
_ROLE = {"type": "string", "enum": [role.name for role in Role]}
_TIME = {"type": "string", "format": "date-time"}
_MAYBE = {"type": ["string", "null"]}

_INVITE = {
    "type": "object",
    "properties": {"role": _ROLE, "topics": _PATTERNS, "expires": {"type": "string", "examples": ["1d"]}},
    "required": ["role"],
    "additionalProperties": False,
}
_INVITED = {
    "type": "object",
    "properties": {
        "role": _ROLE,
        "topics": _PATTERNS,
        "expires_at": _TIME,
        "command": {"type": "string"},
        "link": _MAYBE,
        "group_link": _MAYBE,
        "slack_command": _MAYBE,
    },
    "required": ["role", "topics", "expires_at", "command", "link", "group_link", "slack_command"],
}
_PERSON = {
    "type": "object",
    "properties": {"person": {"type": "string"}, "name": _MAYBE, "role": _ROLE, "topics": _PATTERNS, "since": _MAYBE},
    "required": ["person", "role", "topics"],
}
_REMOVE = {
    "type": "object",
    "properties": {"person": {"type": "string"}},
    "required": ["person"],
    "additionalProperties": False,
}
_HINT = {
    "type": "object",
    "properties": {"chat": {"type": "string"}, "text": {"type": "string"}},
    "required": ["chat", "text"],
}
_ACT = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "at": _TIME,
        **{name: {"type": "string"} for name in ("person", "name", "place", "act", "detail")},
        "allowed": {"type": "boolean"},
    },
    "required": ["id", "at", "person", "place", "act", "allowed"],
}


class ChatPeople:
    """The routes under `/api/chat`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """Four of them."""
        return [
            Endpoint(
                method="POST",
                path="/api/chat/invites",
                handler=self._invite,
                summary="Make an invitation: whoever uses it first, before it expires, gets the role.",
                body=_INVITE,
                answers={201: ("the invitation; it is shown in this answer alone", _INVITED)},
            ),
            Endpoint(
                method="GET",
                path="/api/chat/people",
                handler=self._people,
                summary="Everybody who has a role, by the configuration or by an invitation (`since`).",
                answers={200: ("all of them", schemas.listing(_PERSON))},
            ),
            Endpoint(
                method="DELETE",
                path="/api/chat/people",
                handler=self._remove,
                summary="Take away what invitations gave somebody, and end what their private chat is told.",
                body=_REMOVE,
                answers={200: ("it is taken away", schemas.ANY)},
            ),
            Endpoint(
                method="GET",
                path="/api/chat/hints",
                handler=self._hints,
                summary="What of a bot's or an app's own settings is in the way, asked of its service now.",
                answers={200: ("each with what to do", schemas.listing(_HINT))},
            ),
            Endpoint(
                method="GET",
                path="/api/chat/acts",
                handler=self._acts,
                summary="What people did from the chats, and what they were refused, newest first.",
                query={
                    "limit": ({"type": "integer", "minimum": 1, "maximum": 1000}, "how many at most"),
                    "after": ({"type": "string"}, "`next` of the page before"),
                    **{name: ({"type": "string"}, "only those with this value") for name in ("person", "place", "act")},
                },
                answers={200: ("a page", schemas.listing(_ACT))},
            ),
        ]

    async def _invite(self, request: web.Request) -> web.Response:
        body = await read_object(request, ("role", "topics", "expires"))
        role, expires = text_of(body, "role"), text_of(body, "expires") or "1d"
        topics = _patterns(body.get("topics"))
        try:
            grant = Grant(Role.parse(role or ""), topics)
            seconds = parse_duration(expires)
            for pattern in topics:
                check_pattern(pattern)
        except ValueError as error:
            raise Problem(400, str(error)) from None
        if not 0 < seconds <= _LONGEST_DAYS * 86_400:
            raise Problem(400, f"expires is {shown(expires)}; an invitation holds for at most {_LONGEST_DAYS}d")
        now, token = to_us(self._app.clock.now()), new_token()
        invite = Invite(token=token, grant=grant, now=now, expires_at=now + round(seconds * 1e6))
        await self._app.database.write(add_invites, invite)
        payload = invitation(token)
        return answer(
            {
                "role": grant.role.name,
                "topics": list(topics),
                "expires_at": rfc3339(from_us(invite.expires_at)),
                "command": f"/start {payload}",
                "link": await self._link(payload, group=False),
                "group_link": await self._link(payload, group=True),
                "slack_command": None if self._app.chats.slack is None else f"/sensord start {payload}",
            },
            201,
        )

    async def _link(self, payload: str, *, group: bool) -> str | None:
        """None where no bot is listened to, or Telegram does not say what it is called."""
        telegram = self._app.chats.telegram
        if telegram is None:
            return None
        try:
            return await telegram.link(payload, group=group)
        except DeliveryError:
            return None

    async def _people(self, request: web.Request) -> web.Response:
        only(request)
        granted = self._app.chats.granted
        return answer({"items": await self._app.database.read(lambda conn: list_people(conn, granted)), "next": None})

    async def _hints(self, request: web.Request) -> web.Response:
        only(request)
        hints = await self._app.chats.hints()
        return answer({"items": [{"chat": chat, "text": redact(text)} for chat, text in hints], "next": None})

    async def _remove(self, request: web.Request) -> web.Response:
        only(request)
        person = text_of(await read_object(request, ("person",)), "person")
        try:
            check_person(person or "")
        except ValueError as error:
            raise Problem(400, str(error)) from None
        assert person is not None  # noqa: S101 - checked above
        now = to_us(self._app.clock.now())
        removed = await self._app.database.write(remove_guests, Removed(person=person, now=now))
        if not removed:
            here = " and has it by the configuration: remove it there" if person in self._app.chats.granted else ""
            raise Problem(404, f"{shown(person)} has no role by an invitation{here}")
        ended = await self._app.database.read(lambda conn: _own(conn, person))
        await self._app.database.write_many(end_subscriptions, [Ended(id=one, at=now) for one in ended])
        await self._app.delivery.refresh()
        return answer({"person": person, "roles": removed, "subscriptions": ended})

    async def _acts(self, request: web.Request) -> web.Response:
        page = read_page(request, ("person", "place", "act"), cursor=ID)

        def read(conn: Connection) -> list[Mapping[str, Any]]:
            query = select(chat_acts).order_by(chat_acts.c.id.desc()).limit(page.limit + 1)
            for name, values in page.filters.items():
                query = query.where(chat_acts.c[name].in_(values))
            if page.after is not None:
                query = query.where(chat_acts.c.id < page.after)
            return [dict(row) for row in conn.execute(query).mappings()]

        rows = await self._app.database.read(read)
        following = rows[page.limit - 1]["id"] if len(rows) > page.limit else None
        items = [{**row, "at": rfc3339(from_us(row["at"]))} for row in rows[: page.limit]]
        return answer({"items": items, "next": following})


def _own(conn: Connection, person: str) -> list[str]:
    """What was asked for in the person's own chat, which is called as they are."""
    mine = (subscriptions.c.destination == person) & (subscriptions.c.origin == "user")
    return list(conn.scalars(select(subscriptions.c.id).where(mine, subscriptions.c.ended_at.is_(None))))


def _patterns(value: Any) -> tuple[str, ...]:
    if value is None:
        return EVERYTHING
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise Problem(400, f"topics is {kind(value)}; send a list of patterns")
    if len(value) > _MOST_PATTERNS:
        raise Problem(400, f"topics has {len(value)} patterns; at most {_MOST_PATTERNS} are taken")
    return tuple(dict.fromkeys(value))
