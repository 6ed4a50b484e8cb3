"""A bucket over real HTTP: ListObjectsV2 as Amazon answers it, in small pages, with trouble on demand.

It refuses what S3 refuses: a request that is not signed for its region (400, with the right region in a header), an
unknown bucket or operation. It does not check the signature itself: `rclone serve s3` does, in other tests.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import md5
from urllib.parse import quote, quote_plus, unquote
from xml.sax.saxutils import escape

from aiohttp import web

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/s3/aws4_request, ")


@dataclass
class Asked:
    """One request of a listing."""

    prefix: str
    after: str
    token: str
    delimiter: str
    answered: int = 0


@dataclass
class S3Double:
    """`objects` are keys with their contents. `page` is how many a page holds at most.

    `trouble` answers the next requests, one each: a status and a code; "cut" (the connection ends within the answer),
    "drop" (it ends without one) or "html". `always` answers every request so until it is None again.
    """

    bucket: str = "data"
    region: str = "us-east-1"
    page: int = 1000
    objects: dict[str, bytes] = field(default_factory=dict)
    trouble: list[tuple[int, str] | str] = field(default_factory=list)
    always: tuple[int, str] | str | None = None
    denied: str | None = None
    asked: list[Asked] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    keys_used: set[str] = field(default_factory=set)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        scope = _SCOPE.match(request.headers.get("Authorization", ""))
        if scope is None:
            return _error(403, "AccessDenied")
        self.keys_used.add(scope["key"])
        what = self.trouble.pop(0) if self.trouble else self.always
        if what is not None:
            return await _troubled(request, what)
        if scope["region"] != self.region:
            return _error(400, "AuthorizationHeaderMalformed", {"x-amz-bucket-region": self.region})
        bucket, _, key = unquote(request.rel_url.raw_path).lstrip("/").partition("/")
        if bucket != self.bucket:
            return _error(404, "NoSuchBucket")
        return self._head(key) if request.method == "HEAD" else self._list(request, key)

    def _head(self, key: str) -> web.Response:
        self.heads.append(key)
        if key not in self.objects:
            return web.Response(status=404)
        body = self.objects[key]
        headers = {"ETag": _etag(body), "Last-Modified": "Fri, 20 Nov 2026 12:00:00 GMT"}
        return web.Response(headers={**headers, "Content-Length": str(len(body))})

    def _list(self, request: web.Request, key: str) -> web.Response:
        query = request.query
        if key or query.get("list-type") != "2":
            return _error(501, "NotImplemented")
        asked = Asked(
            prefix=query.get("prefix", ""),
            after=query.get("start-after", ""),
            token=query.get("continuation-token", ""),
            delimiter=query.get("delimiter", ""),
        )
        self.asked.append(asked)
        if self.denied is not None and asked.prefix.startswith(self.denied):
            return _error(403, "AccessDenied")
        after = unquote(asked.token.removeprefix("t:")) if asked.token else asked.after
        items: list[tuple[str, str]] = []
        more = False
        for item in self._items(asked.prefix, after, asked.delimiter):
            if len(items) == min(self.page, int(query.get("max-keys", "1000"))):
                more = True
                break
            items.append(item)
        asked.answered = len(items)
        # The token of a page that ends in a common prefix leads behind everything below it.
        last = "" if not more else items[-1][0] + ("\U0010ffff" if items[-1][1] == "prefix" else "")
        return web.Response(text=self._page(asked, items, last), content_type="application/xml")

    def _items(self, prefix: str, after: str, delimiter: str) -> Iterator[tuple[str, str]]:
        keys = sorted(self.objects)
        told = ""
        for key in keys[bisect_right(keys, after) :]:
            if not key.startswith(prefix):
                continue
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if not found:
                yield key, "key"
            elif (folder := prefix + head + delimiter) != told:
                told = folder
                yield folder, "prefix"

    def _page(self, asked: Asked, items: list[tuple[str, str]], last: str) -> str:
        parts = [
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
            f"<Name>{self.bucket}</Name><Prefix>{_encoded(asked.prefix)}</Prefix><EncodingType>url</EncodingType>",
            f"<KeyCount>{len(items)}</KeyCount><IsTruncated>{'true' if last else 'false'}</IsTruncated>",
        ]
        if last:
            parts.append(f"<NextContinuationToken>t:{quote(last)}</NextContinuationToken>")
        for name, kind in items:
            if kind == "prefix":
                parts.append(f"<CommonPrefixes><Prefix>{_encoded(name)}</Prefix></CommonPrefixes>")
                continue
            body = self.objects[name]
            parts.append(
                f"<Contents><Key>{_encoded(name)}</Key><LastModified>2026-11-20T12:00:00.000Z</LastModified>"
                f"<ETag>{escape(_etag(body), {chr(34): '&quot;'})}</ETag><Size>{len(body)}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
        return "".join([*parts, "</ListBucketResult>"])


def _encoded(text: str) -> str:
    return escape(quote_plus(text, safe="/"))


def _etag(body: bytes) -> str:
    return f'"{md5(body).hexdigest()}"'


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    text = f"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>{code}</Code><Message>said {code}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml", headers=headers)


async def _troubled(request: web.Request, what: tuple[int, str] | str) -> web.StreamResponse:
    if isinstance(what, tuple):
        return _error(*what)
    if what == "html":
        return web.Response(text="<!doctype html><title>a login page</title>", content_type="text/html")
    answer = web.StreamResponse(headers={"Content-Length": "5000"})
    if what == "cut":
        await answer.prepare(request)
        await answer.write(b"<ListBucketResult>")
    assert request.transport is not None
    request.transport.abort()
    return answer


@asynccontextmanager
async def serving(double: S3Double) -> AsyncIterator[S3Double]:
    """Serve it on a free port of this machine; its `url` is the endpoint."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", double.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        double.url = f"http://{host}:{port}"
        yield double
    finally:
        await runner.cleanup()
