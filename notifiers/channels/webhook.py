"""Webhooks: a message as a signed HTTP request to an address of the user's.

The request follows Standard Webhooks 1.0 (standardwebhooks.com): `webhook-id`, `webhook-timestamp`, and with a
secret `webhook-signature`, which is `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
from pydantic import Field, field_validator

from notifiers.channels import Channel, DeliveryError, Part, Reason, Receipt
from notifiers.channels.webhook_guard import PrivateAddressError, public_socket
from notifiers.clock import SYSTEM, Clock
from notifiers.message import Block, Message, Pre, Table, Text
from notifiers.settings import Duration, Secret, Settings
from notifiers.text import visible
from rules.pacing import Window

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver

BODY = 64 * 1024
"""Bytes of an answer that are read: the status is the answer, the rest is courtesy."""
BODY_SECONDS = 1.0
LONGEST_WAIT = 86_400.0
"""Seconds: a Retry-After beyond a day is taken as a day."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_OURS = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "content-length", "host"})


class WebhookConfig(Settings):
    """The keys of one entry of `webhooks:`; its name is the destination `webhook:NAME`."""

    url: Secret = Field(description="http or https; may hold a token, so it is treated as a secret")
    secret: Secret | None = Field(default=None, description="key of the HMAC-SHA256 signature")
    headers: dict[str, Secret] = Field(default_factory=dict)
    allow_private: bool = Field(default=False, description="let it reach loopback and private addresses")
    timeout: Duration = Field(default=10.0)

    @field_validator("url")
    @classmethod
    def _http(cls, url: Secret) -> Secret:
        if not _host(url.get_secret_value()):
            raise ValueError("a webhook's url is http:// or https:// and a host, with no spaces in it")
        return url

    @field_validator("secret")
    @classmethod
    def _decodes(cls, secret: Secret | None) -> Secret | None:
        if secret is not None:
            _key(secret.get_secret_value())
        return secret

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or name.lower() in _OURS:
                raise ValueError(f"header {name!r} cannot be set; write a name such as Authorization")
            if not re.fullmatch(r"[\t\x20-\x7e]*", value.get_secret_value()):
                raise ValueError(f"the value of header {name!r} may hold printable ASCII characters only")
        return headers


@asynccontextmanager
async def open_webhook(
    webhooks: Mapping[str, WebhookConfig], *, clock: Clock = SYSTEM, resolver: AbstractResolver | None = None
) -> AsyncIterator[Channel]:
    """Open the channel `webhook`. A target is the name of one of `webhooks`."""
    import aiohttp

    async with AsyncExitStack() as stack:

        async def session(*, private: bool) -> aiohttp.ClientSession:
            # A connection for each call: one kept open may be closed by the receiver just as the next call goes
            # out, which nobody could tell from a lost answer. Answers stay compressed: no bomb is unpacked.
            # Addresses are tried in turn: racing them would swallow the guard's refusal.
            guard = None if private else public_socket
            connector = aiohttp.TCPConnector(
                force_close=True, resolver=resolver, socket_factory=guard, happy_eyeballs_delay=None
            )
            return await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
                )
            )

        yield Webhook(webhooks, await session(private=False), await session(private=True), clock)


class Webhook:
    """The channel. Private addresses are reached through a session of their own."""

    def __init__(
        self,
        webhooks: Mapping[str, WebhookConfig],
        guarded: aiohttp.ClientSession,
        unguarded: aiohttp.ClientSession,
        clock: Clock,
    ) -> None:
        self._webhooks = webhooks
        self._guarded = guarded
        self._unguarded = unguarded
        self._clock = clock

    def render(self, message: Message) -> Sequence[Part]:
        """One part, whose payload is the body: title, severity, note, facts, text, links.

        A payload may be given an `id`; it becomes `webhook-id`, by which receivers know repeats. Without one
        each call has a fresh id, for the same words may be said of two events, and neither may be taken for the
        other.
        """
        title, note = visible(message.title), visible(message.note)
        facts = [(visible(label), visible(value)) for label, value in message.facts]
        text = "\n\n".join(_plain(block) for block in message.body)
        payload = {
            "title": title,
            "severity": message.severity.name,
            "note": note,
            "facts": [list(fact) for fact in facts],
            "text": text,
            "links": [{"text": visible(link.text), "url": visible(link.url)} for link in message.links],
        }
        if message.attachments:
            payload["attachments"] = [
                {"name": visible(file.name), "content_base64": base64.b64encode(file.content).decode("ascii")}
                for file in message.attachments
            ]
        lines = (note, title, *(f"{label}: {value}" for label, value in facts), text)
        return [Part(text="\n".join(line for line in lines if line), payload=payload)]

    def windows(self, target: str) -> Sequence[Window]:
        """Ten calls a second to one webhook: our courtesy, no service's limit."""
        return [Window(f"webhook:{target}", 10, 1.0)]

    async def send(self, target: str, part: Part) -> Receipt:
        """POST the part. Any 2xx is the receipt; redirects are not followed."""
        config = self._webhooks.get(target)
        if config is None:
            known = ", ".join(sorted(self._webhooks)) or "none"
            raise DeliveryError(
                f"no webhook is called {target!r}; webhooks: has {known}", Reason.gone, permanent=True, pause=True
            )
        body = json.dumps(part.payload, separators=(",", ":")).encode()
        sent_id = self._id(part)
        status, headers = await self._request(target, config, body, self._headers(config, sent_id, body))
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise _refusal(f"webhook {target!r} ({_host(config.url.get_secret_value())})", status, headers, self._clock)
        return Receipt(id=sent_id, data={"status": status})

    def _id(self, part: Part) -> str:
        given = part.key or part.payload.get("id")
        if given is None:
            return self._clock.new_id()
        # What is signed is joined by dots, so an id must hold none.
        return str(given) if _ID.fullmatch(str(given)) else hashlib.sha256(str(given).encode()).hexdigest()

    def _headers(self, config: WebhookConfig, sent_id: str, body: bytes) -> dict[str, str]:
        moment = str(int(self._clock.now().timestamp()))
        headers = {name: value.get_secret_value() for name, value in config.headers.items()}
        headers |= {"Content-Type": "application/json", "Webhook-Id": sent_id, "Webhook-Timestamp": moment}
        if config.secret is not None:
            signed = b".".join((sent_id.encode(), moment.encode(), body))
            digest = hmac.digest(_key(config.secret.get_secret_value()), signed, "sha256")
            headers["Webhook-Signature"] = f"v1,{base64.b64encode(digest).decode('ascii')}"
        return headers

    async def _request(
        self, name: str, config: WebhookConfig, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str]]:
        """Make the request. aiohttp's errors may hold the URL, so none is chained to what is raised."""
        import aiohttp

        url = config.url.get_secret_value()
        who = f"webhook {name!r} ({_host(url)})"
        session = self._unguarded if config.allow_private else self._guarded
        seconds = config.timeout
        timeout = aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds / 2, sock_read=seconds)
        try:
            with anyio.fail_after(2 * seconds):
                async with session.post(
                    url, data=io.BytesIO(body), headers=headers, timeout=timeout, allow_redirects=False
                ) as answer:
                    await _drain(answer)
                    return answer.status, answer.headers.copy()
        except PrivateAddressError as error:
            advice = f"set webhooks.{name}.allow_private to reach it"
            failure = DeliveryError(f"{who}: {error}; {advice}", Reason.refused, permanent=True, pause=True)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            failure = DeliveryError(f"{who} cannot be reached: {type(error).__name__}", Reason.unreachable)
        except (aiohttp.InvalidURL, UnicodeError) as error:
            text = f"{who}: its url is not valid ({type(error).__name__})"
            failure = DeliveryError(text, Reason.refused, permanent=True, pause=True)
        except (aiohttp.ClientError, OSError) as error:
            text = f"the answer of {who} was lost: {type(error).__name__}"
            failure = DeliveryError(text, Reason.answer_lost, uncertain=True)
        raise failure


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read a little of the body, so that the receiver can end its answer in peace."""
    import aiohttp

    with suppress(aiohttp.ClientError, OSError), anyio.move_on_after(BODY_SECONDS):
        left = BODY
        while left > 0 and (chunk := await answer.content.read(left)):
            left -= len(chunk)


def _refusal(who: str, status: int, headers: Mapping[str, str], clock: Clock) -> DeliveryError:
    text = f"{who} answered HTTP {status}"
    wait = _retry_after(headers.get("Retry-After"), clock.now())
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None):
        return DeliveryError(text, Reason.rate_limited, retry_after=wait)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return DeliveryError(text, Reason.server_error, retry_after=wait)
    if status == HTTPStatus.GONE:
        return DeliveryError(f"{text}: it wants no more calls", Reason.gone, pause=True)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return DeliveryError(f"{text}; check its url, headers and secret", Reason.unauthorised, pause=True)
    if status < HTTPStatus.BAD_REQUEST:
        text += "; redirects are not followed: set its url to where it leads"
    return DeliveryError(text, Reason.refused, permanent=True)


def _retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After in either form (RFC 9110, 10.2.3); None where there is none to understand."""
    if header is None:
        return None
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,12}", header):
        return min(float(header), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), LONGEST_WAIT)


def _host(url: str) -> str:
    """The host that may be told of a URL; empty where the URL cannot be called."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # ValueError where it is no number up to 65535.
    except ValueError:
        return ""
    fine = parts.scheme in ("http", "https") and host and not re.search(r"[\x00-\x20\x7f]", url)
    return host if fine and host else ""


def _key(secret: str) -> bytes:
    """The bytes to sign with: the base64 after `whsec_`, or the secret as it is."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ in a webhook's secret is not base64") from None


def _plain(block: Block) -> str:
    match block:
        case Text(text):
            return visible(text)
        case Pre(text, title):
            return visible(f"{title}\n{text}" if title else text)
        case Table(header, rows, title):
            lines = ["\t".join(_cell(cell) for cell in row) for row in (header, *rows)]
            return "\n".join([visible(title), *lines] if title else lines)


def _cell(text: str) -> str:
    return visible(text).replace("\n", " ").replace("\t", " ")
