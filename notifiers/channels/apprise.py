"""Apprise: a message through whatever service the apprise library knows, by its URL.

The library waits for its sockets, so it is called in threads, a few at most. It answers yes or no; what else is known
of a no is read from what it logs meanwhile, of which nothing is passed on, since it may hold the URL.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar

import anyio
from anyio import to_thread
from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from notifiers.channels import Channel, DeliveryError, Part, Reason, Receipt
from notifiers.clock import SYSTEM, Clock
from notifiers.message import Block, Message, Pre, Table, Text
from notifiers.settings import Duration, Secret, Settings
from notifiers.text import visible
from rules.event import Severity
from rules.pacing import Window

log = logging.getLogger(__name__)

THREADS = 8
"""Calls under way at a time. One that hangs keeps its thread until the library lets go of it."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_STATUS = re.compile(r"\berror=(\d{3})\b")
_SMTP = re.compile(r"\((\d{3}), b['\"]")
_UNREACHED = ("NewConnectionError", "ConnectTimeout", "NameResolutionError", "Connection refused", "Name or service")
_KINDS = {Severity.warning: "warning", Severity.error: "failure", Severity.critical: "failure"}


class AppriseConfig(Settings):
    """One entry of `apprise:`, whose name is the destination `apprise:NAME`. May be written as its URL alone."""

    SECRET_AS_TEXT: ClassVar[bool] = True

    url: Secret = Field(description="as in apprise's documentation, e.g. mailto://user:password@example.org")
    timeout: Duration = Field(default=30.0, gt=0, le=600, description="how long one call may take")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"url": data} if isinstance(data, str) else data

    @field_validator("url")
    @classmethod
    def _usable(cls, url: Secret) -> Secret:
        if find_spec("apprise") is None:
            raise ValueError("the apprise library is not installed; add it: pip install 'sensord[apprise]'")
        if not _URL.fullmatch(url.get_secret_value()):
            raise ValueError("an apprise URL is SERVICE://…, e.g. mailto://user:password@example.org, without spaces")
        return url

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A mapping, or the URL as text."""
        return {"anyOf": [{"type": "string"}, dict(handler.resolve_ref_schema(handler(core)))]}


@asynccontextmanager
async def open_apprise(services: Mapping[str, AppriseConfig], *, clock: Clock = SYSTEM) -> AsyncIterator[Channel]:
    """Open the channel `apprise`. A target is the name of one of `services`; a URL that no service takes is logged."""
    with _overheard() as said:
        plugins: dict[str, Any] = {}
        for name, config in services.items():
            plugin = await to_thread.run_sync(_instantiate, config)
            if plugin is None:
                log.error("apprise.unusable", extra={"key": f"apprise.{name}", "advice": "see its service's URL form"})
            plugins[name] = plugin
        yield Apprise(services, plugins, said, clock)


def _instantiate(config: AppriseConfig) -> Any:
    """The library's object for a URL; None where no service of it takes that."""
    import apprise

    plugin = apprise.Apprise.instantiate(config.url.get_secret_value(), suppress_exceptions=True)
    if plugin is not None:
        # So that the library lets go of the thread by itself, about when nobody waits for it any more.
        plugin.socket_connect_timeout = min(plugin.socket_connect_timeout, config.timeout / 2)
        plugin.socket_read_timeout = config.timeout / 2
        plugin.request_rate_per_sec = 0  # `windows` paces; the library would sleep in the thread.
        if plugin.overflow_mode == apprise.OverflowMode.UPSTREAM:
            plugin.overflow_mode = apprise.OverflowMode.SPLIT
    return plugin


class _Overheard(logging.Handler):
    """What the library logs in each thread that asked for it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: dict[int, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line of a thread that listens; the others' are nobody's."""
        lines = self.lines.get(record.thread or 0)
        if lines is not None and len(lines) < 100:  # noqa: PLR2004 - a call says a few things
            lines.append(record.getMessage()[:2000])


@contextmanager
def _overheard() -> Iterator[_Overheard]:
    """Listen to the library's log, and let nothing of it out: it holds URLs and messages."""
    logger = logging.getLogger("apprise")
    before = logger.level, logger.propagate
    handler = _Overheard()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
        logger.setLevel(before[0])


class Apprise:
    """The channel."""

    def __init__(
        self, services: Mapping[str, AppriseConfig], plugins: Mapping[str, Any], said: _Overheard, clock: Clock
    ) -> None:
        self._services = services
        self._plugins = plugins
        self._said = said
        self._clock = clock
        self._free = threading.BoundedSemaphore(THREADS)
        self._limiter = anyio.CapacityLimiter(THREADS)

    def render(self, message: Message) -> Sequence[Part]:
        """One part: a title and plain text. The library cuts it to what the service takes."""
        title = visible(message.title)
        facts = [f"{visible(label)}: {visible(value)}" for label, value in message.facts]
        blocks = [_plain(block) for block in message.body]
        links = [f"{visible(link.text)}: {visible(link.url)}" for link in message.links]
        body = "\n\n".join(
            text for text in (visible(message.note), "\n".join(facts), *blocks, "\n".join(links)) if text
        )
        payload = {"title": title, "body": body or title, "kind": _KINDS.get(message.severity, "info")}
        return [Part(text=f"{title}\n{body}".strip(), payload=payload)]

    def windows(self, target: str) -> Sequence[Window]:
        """One call a second to one service: our courtesy, as the library's own is slower than most need."""
        return [Window(f"apprise:{target}", 1, 1.0)]

    async def send(self, target: str, part: Part) -> Receipt:
        """Make one call of the library. Its yes is the receipt."""
        config, plugin = self._services.get(target), self._plugins.get(target)
        if config is None:
            known = ", ".join(sorted(self._services)) or "none"
            raise DeliveryError(f"apprise: has no {target!r}, only {known}", Reason.gone, permanent=True, pause=True)
        if plugin is None:
            text = f"the url of apprise.{target} is of no service that the library knows; see its documentation"
            raise DeliveryError(text, Reason.refused, permanent=True, pause=True)
        if not self._free.acquire(blocking=False):
            text = f"apprise {target!r}: all {THREADS} threads wait for services that do not answer"
            raise DeliveryError(text, Reason.unreachable)
        sent: bool | None = None
        said: list[str] = []
        with anyio.move_on_after(config.timeout):
            call = partial(self._notify, plugin, dict(part.payload))
            sent, said = await to_thread.run_sync(call, limiter=self._limiter, abandon_on_cancel=True)
        if sent is None:
            text = f"apprise {target!r} did not answer within {config.timeout:g} s"
            raise DeliveryError(text, Reason.answer_lost, uncertain=True)
        if not sent:
            raise _refusal(f"apprise {target!r}", said)
        return Receipt(id=part.key or self._clock.new_id(), data={"service": str(plugin.service_name)})

    def _notify(self, plugin: Any, payload: Mapping[str, str]) -> tuple[bool, list[str]]:
        """In a thread: the library's answer, and what it logged meanwhile."""
        thread = threading.get_ident()
        self._said.lines[thread] = []
        try:
            sent = plugin.notify(
                title=payload["title"], body=payload["body"], notify_type=payload["kind"], body_format="text"
            )
            return bool(sent), self._said.lines[thread]
        finally:
            del self._said.lines[thread]
            self._free.release()


def _refusal(who: str, said: Sequence[str]) -> DeliveryError:
    """What a no amounts to. The library's own words stay here: they may hold an address, a token, the message."""
    text = "\n".join(said)
    if (found := _STATUS.search(text)) is not None:
        return _answered(who, int(found[1]))
    if (found := _SMTP.search(text)) is not None:
        answer = f"the mail server of {who} answered {found[1]}"
        if found[1] == "535":
            return DeliveryError(answer, Reason.unauthorised, pause=True)
        if found[1].startswith("5"):
            return DeliveryError(answer, Reason.refused, permanent=True)
        return DeliveryError(answer, Reason.server_error)
    if any(sign in text for sign in _UNREACHED):
        return DeliveryError(f"{who} cannot be reached", Reason.unreachable)
    # The library says no more: of several recipients some may have it, or the answer was lost.
    return DeliveryError(f"{who} failed, and the library does not say how", Reason.answer_lost, uncertain=True)


def _answered(who: str, status: int) -> DeliveryError:
    text = f"the service of {who} answered HTTP {status}"
    if status == 429:  # noqa: PLR2004
        return DeliveryError(text, Reason.rate_limited)
    if status in (401, 403):
        return DeliveryError(text, Reason.unauthorised, pause=True)
    if status in (404, 410):
        return DeliveryError(text, Reason.gone, pause=True)
    if status >= 500:  # noqa: PLR2004
        return DeliveryError(text, Reason.server_error)
    return DeliveryError(text, Reason.refused, permanent=True)


def _plain(block: Block) -> str:
    if isinstance(block, Text):
        return visible(block.text)
    if isinstance(block, Pre):
        return "\n".join(part for part in (visible(block.title), visible(block.text)) if part)
    return _rows(block)


def _rows(table: Table) -> str:
    lines = [visible(table.title)] if table.title else []
    return "\n".join([*lines, *(" | ".join(visible(cell) for cell in row) for row in (table.header, *table.rows))])
