"""One request over HTTP, and what is known when it fails: that nothing came of it, or nothing at all."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
from msgspec import Struct

from notifiers.channels.webhook_guard import PrivateAddressError, public_socket
from notifiers.clock import Clock
from sensord.answers import bounded
from sensord.elsewhere_side import AwayError, RefusedError, UnansweredError
from sensord.launchers.http import HttpRequest, Method
from sensord.secrets import one_line, redact

if TYPE_CHECKING:
    import aiohttp

BODY = 1 << 20
"""Bytes of an answer that are read at most: nothing that we ask for is longer."""
_SHOWN = 200
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_NEXT = re.compile(r'<([^<>\s]{1,2000})>[^<>,]*?;\s*rel="?next"?')


class Reply(Struct, frozen=True, kw_only=True):
    """An answer: its JSON (None where it is none), and the little of its text that may be shown."""

    status: int
    json: Any
    shown: str
    location: str = ""
    next: str = ""
    """The next page, where it says so."""

    @property
    def fine(self) -> bool:
        """2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


@asynccontextmanager
async def open_wires(clock: Clock) -> AsyncIterator[Wires]:
    """Sessions for public addresses and for private ones."""
    import aiohttp

    def session(guard: Any) -> aiohttp.ClientSession:
        # A connection for each request: one kept open may be closed by the other side just as the next goes out,
        # which nobody could tell from a lost answer. Addresses are tried in turn, so that the guard's refusal shows.
        connector = aiohttp.TCPConnector(force_close=True, socket_factory=guard, happy_eyeballs_delay=None)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        )

    async with session(public_socket) as guarded, session(None) as unguarded:
        yield Wires(guarded, unguarded, clock)


class Wires:
    """Gives each job its wire."""

    def __init__(self, guarded: aiohttp.ClientSession, unguarded: aiohttp.ClientSession, clock: Clock) -> None:
        self._guarded = guarded
        self._unguarded = unguarded
        self._clock = clock

    def of(self, config: HttpRequest) -> Wire:
        """How this job asks."""
        return Wire(config, self._unguarded if config.allow_private else self._guarded, self._clock)


class Wire:
    """Asks one job's endpoint. aiohttp's errors may hold addresses, so none is chained to what is raised."""

    def __init__(self, config: HttpRequest, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._config = config
        self._session = session
        self._clock = clock
        parts = urlsplit(config.url)
        self.name = f"{parts.hostname}{f':{parts.port}' if parts.port else ''}"

    async def ask(self, method: Method, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """The answer, whatever it is but 429 and 503. AwayError, RefusedError, UnansweredError."""
        import aiohttp

        sent = {name: value.get_secret_value() for name, value in self._config.headers.items()}
        sent |= {"Accept-Encoding": "identity", **(headers or {})}
        data = None
        if body is not None:
            data = io.BytesIO(json.dumps(body).encode())  # ASCII: a name that is not UTF-8 is written as \udcXX.
            sent["Content-Type"] = "application/json"
        seconds = self._config.timeout
        timeout = aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds / 2, sock_read=seconds)
        try:
            with anyio.fail_after(2 * seconds):
                async with self._session.request(
                    method, url, data=data, headers=sent, timeout=timeout, allow_redirects=False
                ) as answer:
                    return self._reply(answer, await bounded(answer, BODY))
        except PrivateAddressError as error:
            failure: Exception = RefusedError(f"{self.name}: {error}; set allow_private to reach it")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            failure = AwayError(f"{self.name} cannot be reached: {_why(error)}")
        except (aiohttp.InvalidURL, UnicodeError, ValueError) as error:
            failure = RefusedError(f"{self.name}: its url is not valid ({type(error).__name__})")
        except (aiohttp.ClientError, OSError) as error:
            failure = UnansweredError(f"the answer of {self.name} was lost ({type(error).__name__})")
        raise failure

    def _reply(self, answer: aiohttp.ClientResponse, body: bytes | None) -> Reply:
        if answer.status in _BUSY:
            wait = _retry_after(answer.headers.get("Retry-After"), self._clock.now())
            raise AwayError(f"{self.name} is busy (HTTP {answer.status})", wait)
        found = _NEXT.search(answer.headers.get("Link", ""))
        return Reply(
            status=answer.status,
            json=_json(body),
            shown=one_line(redact((body or b"")[:4000].decode("utf-8", "replace").strip()))[:_SHOWN],
            location=answer.headers.get("Location", ""),
            next=found[1] if found else "",
        )


def _json(body: bytes | None) -> Any:
    try:
        return json.loads(body or b"null")
    except (ValueError, RecursionError):
        return None


def _why(error: Exception) -> str:
    inner = getattr(error, "os_error", None)
    return (getattr(inner, "strerror", None) or "") if inner is not None else type(error).__name__


def _retry_after(header: str | None, now: datetime) -> float:
    """Seconds from a Retry-After in either form (RFC 9110, 10.2.3); 0 where there is none to understand."""
    header = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", header):
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError, TypeError):
        return 0.0
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)
