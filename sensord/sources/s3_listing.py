"""The bucket as it can be asked: pages of its listing, and one object by its key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import anyio
from anyio.lowlevel import checkpoint

from notifiers.clock import Clock
from rules.event import rfc3339
from sensord.sources.s3 import S3Config
from sensord.sources.s3_account import Account, Place
from sensord.sources.s3_objects import Names, Version, marks_in, printable
from sensord.sources.s3_trouble import S3Trouble, refused, unreachable

if TYPE_CHECKING:
    import aiohttp

    from sensord.sources.s3_pages import Page

_OK, _NOT_FOUND = 200, 404
_PAUSES = (0.2, 0.8, 3.0)
_LARGEST = 16 * 1024 * 1024
_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_T = TypeVar("_T")


@asynccontextmanager
async def open_bucket(config: S3Config, clock: Clock) -> AsyncIterator[Bucket]:
    """The bucket that the configuration names; nothing is asked of it yet."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS)
    connector = aiohttp.TCPConnector(limit=config.parallel + 2)
    cookies = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=cookies) as http:
        yield Bucket(config, Account(config), http, clock)


class Bucket:
    """Asks the bucket. Every failure is an S3Trouble; what may pass was tried for four seconds by then."""

    def __init__(self, config: S3Config, account: Account, http: aiohttp.ClientSession, clock: Clock) -> None:
        self.account = account
        self.names = Names(config)
        self._marks = marks_in(config.bucket)
        self._name = f"the bucket {printable(config.bucket)}"
        self._http = http
        self._clock = clock
        # Between two turns of the loop there is one step of one page.
        self._reading = anyio.Lock()

    async def page(
        self, prefix: str, *, token: str | None = None, after: str | None = None, delimiter: str | None = None
    ) -> Page:
        """The next 1,000 keys that begin with `prefix`: behind `token` if there is one, else after the key `after`."""
        await checkpoint()  # To sign and to send is a piece of work as well.
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": "1000"}
        if token is not None:
            query["continuation-token"] = token
        elif after is not None:
            query["start-after"] = after
        if delimiter is not None:
            query["delimiter"] = delimiter
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return await self._patiently(lambda: self._page(text))

    async def head(self, key: str) -> Version | None:
        """The newest version of the object of this key, None if there is none."""
        return await self._patiently(lambda: self._head(key))

    async def _patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask; what may pass is waited for a little, and a bucket that moved is followed once."""
        pauses = list(_PAUSES)
        moved = False
        while True:
            try:
                return await ask()
            except S3Trouble as trouble:
                if trouble.region is not None and not moved:
                    moved = True
                    await self.account.move(trouble.region)
                    continue
                if trouble.reopen:
                    self.account.forget()
                if not trouble.passing or not pauses:
                    raise
            await self._clock.sleep(pauses.pop(0))

    async def _page(self, query: str) -> Page:
        from sensord.sources.s3_pages import NotAPageError, read_page

        reading = read_page(await self._listed(query), self.names.among, self._marks)
        page: Page | None = None
        while page is None:
            async with self._reading:
                await checkpoint()
                try:
                    next(reading)
                except StopIteration as end:
                    page = end.value
                except NotAPageError as error:
                    raise S3Trouble(f"{self._name} cannot be listed: {error}; check endpoint_url") from None
        await checkpoint()
        return page

    async def _listed(self, query: str) -> bytes:
        place = await self.account.place()
        url = f"{place.url}?{query}"
        async with self._asked(place, "GET", url) as answer:
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > _LARGEST:
                    raise S3Trouble(f"{self._name} cannot be listed: its answer has no end; check endpoint_url")
            if answer.status != _OK:
                raise self._refused(place, answer, bytes(body))
        return bytes(body)

    async def _head(self, key: str) -> Version | None:
        place = await self.account.place()
        url = f"{place.url}/{quote(key, safe='/~')}"
        async with self._asked(place, "HEAD", url) as answer:
            if answer.status == _NOT_FOUND:
                return None
            if answer.status != _OK:
                raise self._refused(place, answer, b"")
            headers = answer.headers
        modified = headers.get("Last-Modified", "")
        return Version(
            key=key,
            etag=headers.get("ETag", "").strip('"'),
            size=int(headers.get("Content-Length", 0)),
            modified=rfc3339(parsedate_to_datetime(modified)) if modified else "",
            version=headers.get("x-amz-version-id"),
        )

    @asynccontextmanager
    async def _asked(self, place: Place, method: str, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp
        from yarl import URL

        headers = await self.account.sign(place, method, url)
        headers["Accept-Encoding"] = "identity"
        try:
            async with self._http.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                proxy=place.proxy,
                ssl=place.tls,
                allow_redirects=False,
            ) as answer:
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(self._name, error) from None

    def _refused(self, place: Place, answer: aiohttp.ClientResponse, body: bytes) -> S3Trouble:
        from sensord.sources.s3_pages import read_error

        code, message = read_error(body)
        region = answer.headers.get("x-amz-bucket-region")
        return refused(
            self._name, answer.status, code, message, region=region if region and region != place.region else None
        )
