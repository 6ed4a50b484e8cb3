"""The keys of `chat:`: who may do what from the chats."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from notifiers.settings import Settings
from rules.rights import EVERYTHING, Grant, Role
from rules.topics import check_pattern

_PERSON = r"(telegram:-?[1-9][0-9]{0,15}|slack:[A-Z0-9]{2,32})"


def check_person(value: str) -> str:
    """Pass a person's id; ValueError says how one is written."""
    if re.fullmatch(_PERSON, value) is None:
        raise ValueError(
            f"{value!r:.60} is no person; write telegram:USER_ID (a number, as the bot answers it to /start) "
            "or slack:MEMBER_ID (U0123ABC)"
        )
    return value


def _pattern(value: str) -> str:
    check_pattern(value)
    return value


PersonId = Annotated[str, AfterValidator(check_person), WithJsonSchema({"type": "string", "pattern": f"^{_PERSON}$"})]


class GrantConfig(Settings):
    """Some people, and the topics on which they have the role."""

    users: list[PersonId] = Field(min_length=1, description="telegram:USER_ID or slack:MEMBER_ID")
    topics: list[Annotated[str, AfterValidator(_pattern)]] = Field(
        default=list(EVERYTHING), min_length=1, description="patterns; `*` stands for one token, `>` for the rest"
    )


def _grants(value: Any) -> Any:
    """`[telegram:1]` and `{users: …, topics: …}` are both one grant; a list may hold several with topics."""
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        return value
    plain = [one for one in value if not isinstance(one, dict)]
    return [*([{"users": plain}] if plain else []), *(one for one in value if isinstance(one, dict))]


class _Written:
    """How grants are written, for editors: what `_grants` takes."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        grant = handler(schema)["items"]
        person = {"type": "string", "pattern": f"^{_PERSON}$"}
        return {"anyOf": [grant, {"type": "array", "items": {"anyOf": [person, grant]}}]}


Grants = Annotated[list[GrantConfig], BeforeValidator(_grants), _Written()]
"""A list of people, `{users: [...], topics: [...]}`, or a list of both."""


class RolesConfig(Settings):
    """Who has which role; each may do what those below it may."""

    owner: Grants = Field(default_factory=list, description="lets others in")
    operator: Grants = Field(default_factory=list, description="acts on runs")
    viewer: Grants = Field(default_factory=list, description="looks, and subscribes")


class ChatConfig(Settings):
    """The keys of `chat:`."""

    roles: RolesConfig = Field(default_factory=RolesConfig)

    def granted(self) -> Mapping[str, tuple[Grant, ...]]:
        """What each person may do by the configuration."""
        found: dict[str, tuple[Grant, ...]] = {}
        for person, grant in self._each():
            found[person] = (*found.get(person, ()), grant)
        return found

    def _each(self) -> Iterator[tuple[str, Grant]]:
        for role in Role:
            for one in getattr(self.roles, role.name):
                for person in one.users:
                    yield person, Grant(role, tuple(one.topics))
