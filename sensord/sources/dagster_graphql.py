"""Asks a Dagster web server over GraphQL, and says in a sentence what is wrong where it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import orjson

from notifiers.clock import Clock, to_us
from sensord.answers import bounded
from sensord.secrets import one_line, redact
from sensord.sources.dagster import DagsterConfig

if TYPE_CHECKING:
    import aiohttp

BODY = 16 * 1024 * 1024
"""Bytes of an answer that are read at most."""

_SHOWN = 300
_CONNECT_SECONDS = 10.0
_UNKNOWN = ("Cannot query field", "Unknown argument", "Unknown type", "is not defined by type", "Unknown field")


class DagsterTrouble(OSError):
    """Dagster cannot be looked at; its text says why, and what to do."""


class Untellable(DagsterTrouble):
    """An answer is longer than `BODY`, or Dagster fails to write it down: less is to be asked for at once.

    Dagster keeps text that it cannot send, such as a file's name that is no UTF-8.
    """


class Graph:
    """One web server.

    Of the last answer: `now` is what the server's clock said when it was asked, to a second, in milliseconds since
    1970; `length` is how many bytes it had.
    """

    def __init__(self, config: DagsterConfig, http: aiohttp.ClientSession, clock: Clock) -> None:
        self.now = 0
        self.length = 0
        self._http = http
        self._clock = clock
        self._url = f"{config.url}/graphql"
        self._what = f"Dagster at {config.url}"
        parts = urlsplit(config.url)
        self._proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)

    async def ask(self, query: str, variables: Mapping[str, Any]) -> Any:
        """What GraphQL calls the data. DagsterTrouble, which may be Untellable."""
        import aiohttp

        asked = orjson.dumps({"query": query, "variables": variables})
        try:
            try:
                return await self._post(asked)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise
                # The connection was kept from the last time, and Dagster closed it as this went out.
                return await self._post(asked)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            said = _shown(str(error) or type(error).__name__)
            raise DagsterTrouble(f"{self._what} cannot be reached ({said}); it is asked again") from None

    async def _post(self, asked: bytes) -> Any:
        began = self._clock.monotonic()
        async with self._http.post(self._url, data=asked, proxy=self._proxy, allow_redirects=False) as answer:
            body = await self._bounded(answer)
        took = round((self._clock.monotonic() - began) * 1000)
        self.now = to_us(_date(answer) or self._clock.now()) // 1000 - took
        self.length = len(body)
        return self._data(answer.status, body)

    async def _bounded(self, answer: aiohttp.ClientResponse) -> bytes:
        body = await bounded(answer, BODY)
        if body is None:
            raise Untellable(f"{self._what} answers with more than {BODY} bytes at once")
        return body

    def _data(self, status: int, body: bytes) -> Any:
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            said = None
        if isinstance(said, dict) and isinstance(errors := said.get("errors"), list) and errors:
            raise self._refused(errors[0])
        if status != HTTPStatus.OK or not isinstance(said, dict) or not isinstance(said.get("data"), dict):
            raise self._no_answer(status, body)
        return said["data"]

    def _refused(self, error: Any) -> DagsterTrouble:
        message = str(error.get("message")) if isinstance(error, dict) else str(error)
        if any(words in message for words in _UNKNOWN):
            advice = "it is another version than this source knows (1.x); upgrade Dagster"
            return DagsterTrouble(f"{self._what} does not know what it is asked ({_shown(message)}); {advice}")
        return self.failed(message)

    def failed(self, message: str) -> DagsterTrouble:
        """Dagster says so itself: something in it went wrong."""
        first = message.strip().partition("\n")[0]
        return DagsterTrouble(f"{self._what} cannot answer: {_shown(first)}; it is asked again")

    def _no_answer(self, status: int, body: bytes) -> DagsterTrouble:
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return DagsterTrouble(f"{self._what} refuses us (HTTP {status}); check token, or headers")
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            advice = "write its real address as url; if it leads to a login, set token or headers"
            return DagsterTrouble(f"{self._what} sends us elsewhere (HTTP {status}); {advice}")
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            kind = Untellable if status == HTTPStatus.INTERNAL_SERVER_ERROR else DagsterTrouble
            return kind(f"{self._what} cannot answer now (HTTP {status}); it is asked again")
        begins = _shown(body[:80].decode("utf-8", "replace").strip())
        advice = "check url: it is the address of Dagster's page, e.g. http://localhost:3000"
        return DagsterTrouble(f"no GraphQL answers at {self._url} (HTTP {status}: {begins}); {advice}")


def _shown(text: str) -> str:
    return one_line(redact(text))[:_SHOWN]


def _date(answer: aiohttp.ClientResponse) -> datetime | None:
    """When it answered by its own clock, in whole seconds."""
    try:
        date = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    return date if date.tzinfo is not None else None


@asynccontextmanager
async def open_graph(config: DagsterConfig, clock: Clock) -> AsyncIterator[Graph]:
    """A session of its own; nothing is asked before `ask`."""
    import aiohttp

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=2),
        timeout=aiohttp.ClientTimeout(total=config.timeout, connect=min(_CONNECT_SECONDS, config.timeout)),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Content-Type": "application/json", **config.sent()},
    ) as http:
        yield Graph(config, http, clock)
