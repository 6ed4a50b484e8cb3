"""The launchers of jobs that are Dagster's, and how its web server is asked."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from notifiers.clock import Clock
from sensord.answers import bounded
from sensord.elsewhere import Elsewhere
from sensord.elsewhere_notes import Notes
from sensord.elsewhere_side import AwayError, RefusedError, UnansweredError
from sensord.launchers.dagster import DagsterJobConfig, DagsterTarget
from sensord.launchers.dagster_side import DagsterSide
from sensord.secrets import one_line, redact

if TYPE_CHECKING:
    import aiohttp

BODY = 16 * 1024 * 1024
"""Bytes of an answer that are read at most."""
_SHOWN = 300
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A connection for each request: of one kept open nobody could tell whether a launch went out on it."""
    import aiohttp

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=16), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield session


class DagsterJobs:
    """Makes the launchers of jobs that are Dagster's."""

    def __init__(self, state: Path, clock: Clock, session: aiohttp.ClientSession) -> None:
        self._state = state
        self._clock = clock
        self._session = session

    def launcher(self, config: DagsterJobConfig, *, timeout: float | None) -> Elsewhere:
        """The launcher of one job; `timeout` is seconds."""
        target = config.dagster
        side = DagsterSide(target, Server(target, self._session), self._clock)
        return Elsewhere(side, Notes(self._state), self._clock, timeout=timeout)


class Server:
    """One web server. aiohttp's errors may hold addresses, so none is chained to what is raised."""

    def __init__(self, target: DagsterTarget, session: aiohttp.ClientSession) -> None:
        self._url = f"{target.url}/graphql"
        self._seconds = target.timeout
        self._headers = {"Content-Type": "application/json", **target.sent()}
        self._session = session
        parts = urlsplit(target.url)
        self.name = f"Dagster at {parts.hostname}{f':{parts.port}' if parts.port else ''}"

    async def ask(self, query: str, variables: Mapping[str, Any]) -> Any:
        """What GraphQL calls the data. AwayError: nothing came of it; UnansweredError: nobody knows."""
        import aiohttp

        data = io.BytesIO(json.dumps({"query": query, "variables": variables}).encode())
        seconds = aiohttp.ClientTimeout(total=None, connect=self._seconds, sock_read=self._seconds)
        try:
            with anyio.fail_after(2 * self._seconds):
                async with self._session.post(
                    self._url, data=data, headers=self._headers, timeout=seconds, allow_redirects=False
                ) as answer:
                    return self._data(answer.status, await self._read(answer))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            failure: Exception = AwayError(f"{self.name} cannot be reached")
        except (aiohttp.InvalidURL, UnicodeError):
            failure = RefusedError(f"the address of {self.name} is not valid; check url")
        except (aiohttp.ClientError, OSError) as error:
            failure = UnansweredError(f"the answer of {self.name} was lost ({type(error).__name__})")
        raise failure

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        body = await bounded(answer, BODY)
        if body is None:
            raise UnansweredError(f"{self.name} answers with more than {BODY} bytes at once")
        return body

    def _data(self, status: int, body: bytes) -> Any:
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if status in _BUSY:
            raise AwayError(f"{self.name} is busy (HTTP {status})")
        if status in _REFUSED or HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise RefusedError(f"{self.name} refuses us (HTTP {status}); check url, token and headers")
        if isinstance(said, dict) and isinstance(errors := said.get("errors"), list) and errors:
            first = errors[0].get("message") if isinstance(errors[0], dict) else errors[0]
            text = f"{self.name} cannot answer: {shown(str(first))}"
            raise RefusedError(text) if status == HTTPStatus.BAD_REQUEST else UnansweredError(text)
        if status != HTTPStatus.OK or not isinstance(said, dict) or not isinstance(said.get("data"), dict):
            raise UnansweredError(f"{self.name} gives no answer (HTTP {status})")
        return said["data"]


def shown(text: str) -> str:
    """A little of what somebody else says, on a line."""
    return one_line(redact(text.strip().partition("\n")[0]))[:_SHOWN]
