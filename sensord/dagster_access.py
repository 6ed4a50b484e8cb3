"""Where a Dagster instance is, and who asks it: what its sensors and its jobs have in common."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from notifiers.settings import Secret, Settings

_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset({"content-type", "content-length", "host", "accept-encoding"})


class DagsterAccess(Settings):
    """The keys that every `dagster:` has."""

    url: str = Field(description="the address of Dagster's page, e.g. http://localhost:3000")
    token: Secret | None = Field(default=None, description="a token of Dagster+")
    headers: dict[str, Secret] = Field(default_factory=dict, description="sent along, e.g. for a proxy before Dagster")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not _ADDRESS.fullmatch(value):
            raise ValueError("write the address of Dagster's page, http:// or https://, without a password in it")
        return value.rstrip("/").removesuffix("/graphql").rstrip("/")

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or name.lower() in _OURS:
                raise ValueError(f"header {name!r} cannot be set; write a name such as Authorization")
            _check_ascii(value, f"header {name!r}")
        return headers

    @field_validator("token")
    @classmethod
    def _is_a_token(cls, token: Secret | None) -> Secret | None:
        if token is not None:
            _check_ascii(token, "the token")
        return token

    def sent(self) -> dict[str, str]:
        """The headers that say who asks."""
        sent = {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.token is not None:
            sent["Dagster-Cloud-Api-Token"] = self.token.get_secret_value()
        return sent


def _check_ascii(value: Secret, what: str) -> None:
    if not re.fullmatch(r"[\t\x20-\x7e]+", value.get_secret_value()):
        raise ValueError(f"the value of {what} may hold printable ASCII characters only, and some")
