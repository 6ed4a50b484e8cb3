"""Jobs that are a request to an address of the user's: any REST endpoint that starts something.

The request's texts are templates over `run`: `id job key attempt config tags partition_key partition token sensor
requested_at`, and with a callback `run.callback` (its address) and `run.secret`. What is asked afterwards sees the
answer as `started` too, and its own as `answer` (JSON), `status` (of HTTP) and, of a list that is searched, `item`
and `detail`. An address has its scheme, host and port written out: no run can lead a request elsewhere. Redirects are
not followed, and private addresses are not reached without `allow_private`.

`run.token` names the attempt, the same before and after a restart. Where the endpoint knows it again (it has an
`idempotency_header`, or answers one of `already`), a request whose answer was lost is made again; else it is looked
for with `find`; else the attempt is `lost`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from notifiers.clock import Clock
from notifiers.settings import Interval, Secret, Settings
from sensord.templated import Expression, TextTemplate, Tree

if TYPE_CHECKING:
    from sensord.launchers.http_jobs import HttpJobs

_ORIGIN = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(?=[/?]|$)")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset({"content-type", "content-length", "host", "accept-encoding"})
_CALLBACK = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


def _address(value: str) -> str:
    from rules.templates import compile_text

    if not origin_of(value):
        raise ValueError("write it from https:// or http:// and a host on; templates may come behind these")
    compile_text(value)
    return value


def origin_of(address: str) -> str:
    """Scheme, host and port of an address or its template; "" where they are not written out."""
    found = _ORIGIN.match(address)
    return found[0].lower() if found else ""


Address = Annotated[str, AfterValidator(_address)]


class HttpFollow(Settings):
    """How the end becomes known: an address that is asked, or a callback, or both."""

    url: Address | None = Field(default=None, description="asked with GET; template over run and started")
    every: Interval = Field(default=5.0, description="how often at most; at first more often")
    succeeded: Expression | None = Field(default=None, description="over answer, e.g. \"answer.state == 'success'\"")
    failed: Expression | None = Field(default=None, description="the same, for a failure")
    cancelled: Expression | None = Field(default=None, description="the same, for what was cancelled there")
    unknown_for: Interval = Field(
        default=60.0,
        description="how long it has to answer 404 or 410 until the run is lost: a gateway may, for a while",
    )
    error: TextTemplate | None = Field(default=None, description="what is said of a failure; template over answer")
    metadata: Tree = Field(default=None, description="a mapping of templates over answer: the run's metadata")
    callback: str | None = Field(
        default=None, description="the address of this sensord as the other side has it: it tells of the end by itself"
    )

    @field_validator("callback")
    @classmethod
    def _reaches_us(cls, value: str | None) -> str | None:
        if value is not None and not _CALLBACK.fullmatch(value):
            raise ValueError("write the address of this sensord, e.g. https://sensord.example.com")
        return None if value is None else value.rstrip("/")

    @field_validator("metadata")
    @classmethod
    def _is_a_mapping(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, dict | str):
            raise ValueError("write a mapping, or one {{ expression }} that yields one")
        return value

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.url is None and self.callback is None:
            raise ValueError("add url (and succeeded), or callback: nothing would tell of the end")
        if (self.url is None) != (self.succeeded is None):
            raise ValueError("url and succeeded belong together: what is asked, and what of it is a success")
        if self.url is None and (self.failed or self.cancelled or self.error or self.metadata):
            raise ValueError("failed, cancelled, error and metadata read the answer of url; add it")
        return self


class HttpCancel(Settings):
    """How an attempt is ended there."""

    url: Address = Field(description="template over run and started")
    method: Method = "POST"
    body: Tree = Field(default=None, description="JSON whose texts are templates")


class HttpFind(Settings):
    """How an attempt is found whose answer was lost. Pages are followed (`Link: …; rel="next"`)."""

    url: Address = Field(description="asked with GET; template over run, and run.asked_at")
    items: Expression = Field(default="answer", description="the list in the answer")
    detail: Address | None = Field(default=None, description="asked for each item with GET; template over run and item")
    match: Expression = Field(description="over run, item and detail: this is it")
    within: Interval = Field(default=60.0, description="for how long it is looked for")
    absent: Literal["lost", "start"] = Field(
        default="lost", description="what becomes of what is not found by then; start: it is started (again)"
    )


class HttpRequest(Settings):
    """The keys of `http:`. Without `follow` the answer is the end."""

    url: Address = Field(description="template over run")
    method: Method = "POST"
    headers: dict[str, Secret] = Field(default_factory=dict, description="sent with every request, e.g. Authorization")
    body: Tree = Field(default=None, description="JSON whose texts are templates over run")
    idempotency_header: str | None = Field(
        default=None, description="carries the token of the attempt; declares that a repeated one starts nothing"
    )
    already: list[int] = Field(default_factory=list, description="statuses that mean: this token is there already")
    find: HttpFind | None = None
    follow: HttpFollow | None = None
    cancel: HttpCancel | None = None
    link: TextTemplate | None = Field(
        default=None, description="a page about the run there; template over run and started"
    )
    timeout: Interval = Field(default=30.0, description="how long an answer may take")
    allow_private: bool = Field(default=False, description="let it reach loopback and private addresses")

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            _check_header(name)
            if not re.fullmatch(r"[\t\x20-\x7e]*", value.get_secret_value()):
                raise ValueError(f"the value of header {name!r} may hold printable ASCII characters only")
        return headers

    @field_validator("idempotency_header")
    @classmethod
    def _is_a_header(cls, value: str | None) -> str | None:
        if value is not None:
            _check_header(value)
        return value

    @field_validator("already")
    @classmethod
    def _are_statuses(cls, value: list[int]) -> list[int]:
        if any(not 300 <= status < 500 for status in value):  # noqa: PLR2004 - what HTTP has
            raise ValueError("these are refusals, 300 to 499, e.g. [409]")
        return value

    @model_validator(mode="after")
    def _one_host(self) -> Self:
        """The headers go to one origin, and hold its token."""
        for address in self._others():
            if self.headers and origin_of(address) != origin_of(self.url):
                raise ValueError("every url of one job is of the same host, because the headers are sent to each")
        return self

    def addresses(self) -> Iterator[str]:
        """Every address that is asked, as it is written."""
        yield self.url
        yield from self._others()

    def _others(self) -> Iterator[str]:
        if self.follow is not None and self.follow.url is not None:
            yield self.follow.url
        if self.cancel is not None:
            yield self.cancel.url
        if self.find is not None:
            yield from (one for one in (self.find.url, self.find.detail) if one is not None)

    @property
    def repeatable(self) -> bool:
        """Whether the endpoint knows a token again."""
        return self.idempotency_header is not None or bool(self.already)


def _check_header(name: str) -> None:
    if not _HEADER.fullmatch(name) or name.lower() in _OURS:
        raise ValueError(f"header {name!r} cannot be set; write a name such as Authorization")


class HttpConfig(Settings):
    """The keys of a job that is a request."""

    http: HttpRequest


@asynccontextmanager
async def open_http(state: Path, *, clock: Clock) -> AsyncIterator[HttpJobs]:
    """The connections of all jobs that are requests. Nothing is asked before a launch."""
    from sensord.launchers.http_jobs import HttpJobs
    from sensord.launchers.http_wire import open_wires

    async with open_wires(clock) as wires:
        yield HttpJobs(state, clock, wires)
