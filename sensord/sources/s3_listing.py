"""The bucket as it can be asked: pages of its listing, and one object by its key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import anyio
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from notifiers.clock import Clock
from sensord.answers import bounded
from sensord.sources.s3 import S3Config
from sensord.sources.s3_account import Account, Place
from sensord.sources.s3_objects import Names, Version, marks_in, shown
from sensord.sources.s3_trouble import S3Trouble, led_away, refused, unreachable

if TYPE_CHECKING:
    import aiohttp

    from sensord.sources.s3_pages import Page

_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEYS_A_PAGE = 1000
_PAUSES = (0.2, 0.8, 3.0)
_TURN_SECONDS = 0.0005
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
        self._versions = config.versions
        self._marks = marks_in(config.bucket)
        self.name = f"the bucket {shown(config.bucket)}"
        self._right = "s3:ListBucketVersions" if config.versions else "s3:ListBucket"
        self._http = http
        self._clock = clock
        # Between two turns of the loop one page is read a little further, or one request is made.
        self._turn = anyio.Lock()

    async def page(
        self,
        prefix: str,
        *,
        on: str | None = None,
        after: str | None = None,
        delimiter: str | None = None,
        most: int = _KEYS_A_PAGE,
    ) -> Page:
        """The next keys that begin with `prefix`: where `on` of the page before leads, else after that key."""
        asked = self._clock.monotonic()
        query = {"encoding-type": "url", "prefix": prefix, "max-keys": str(most)}
        if after is not None and on is None:
            query["key-marker" if self._versions else "start-after"] = after
        if delimiter is not None:
            query["delimiter"] = delimiter
        pieces = ["versions=" if self._versions else "list-type=2", *([] if on is None else [on])]
        text = "&".join([*pieces, *(f"{name}={quote(value, safe='')}" for name, value in query.items())])
        return replace(await self._patiently(lambda: self._page(text, after)), asked=asked)

    async def find(self, key: str, version: str | None = None) -> Version | None:
        """The newest version of the object of this key, or the version of that id; None if there is none.

        Asked of the listing, as nothing else tells an object that is not there from a bucket that is not.
        """
        # Of all keys that begin so, the key itself sorts first.
        page = await self.page(key, most=_KEYS_A_PAGE if self._versions else 1)
        found = [one for one in page.versions(range(len(page.keys))) if one.key == key]
        return next((one for one in found if (one.latest if version is None else one.version == version)), None)

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

    async def _page(self, query: str, after: str | None) -> Page:
        from sensord.sources.s3_pages import NotAPageError, read_page

        reading = read_page(await self._listed(query), self.names.among, self._marks, after)
        page: Page | None = None
        while page is None:
            async with self._turn:
                await checkpoint()
                until = perf_counter() + _TURN_SECONDS
                try:
                    while perf_counter() < until:
                        next(reading)
                except StopIteration as end:
                    page = end.value
                except NotAPageError as error:
                    words = f"{self.name} cannot be listed: {error}; check endpoint_url"
                    raise S3Trouble(words, passing=True) from None
        await checkpoint()
        return page

    async def _listed(self, query: str) -> bytes:
        place = await self.account.place()
        url = f"{place.url}?{query}"
        async with self._asked(place, url) as answer:
            body = await bounded(answer, _LARGEST)
            if body is None:
                raise S3Trouble(f"{self.name} cannot be listed: its answer has no end; check endpoint_url")
            if answer.status != _OK:
                raise self._refused(place, answer, body)
        return body

    @asynccontextmanager
    async def _asked(self, place: Place, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp
        from yarl import URL

        async with self._turn:
            await checkpoint()
            headers = await self.account.sign(place, url)
        headers["Accept-Encoding"] = "identity"
        try:
            async with self._http.get(
                URL(url, encoded=True), headers=headers, proxy=place.proxy, ssl=place.tls, allow_redirects=False
            ) as answer:
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(self.name, error) from None

    def _refused(self, place: Place, answer: aiohttp.ClientResponse, body: bytes) -> S3Trouble:
        from sensord.sources.s3_pages import read_error

        code, message, region = read_error(body)
        region = answer.headers.get("x-amz-bucket-region") or region
        elsewhere = region if region and region != place.region else None
        if answer.status in _REDIRECTS and elsewhere is None:
            return led_away(self.name, answer.status, code, answer.headers.get("Location", ""))
        return refused(self.name, answer.status, code, message, right=self._right, region=elsewhere)
