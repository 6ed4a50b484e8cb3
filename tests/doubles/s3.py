"""A bucket over real HTTP: ListObjectsV2 and ListObjectVersions as Amazon answers them, with trouble on demand.

It refuses what S3 refuses: a request that is not signed for its region (400, with the right region in a header), an
unknown bucket or operation. It does not check the signature itself: `rclone serve s3` does, in other tests.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import md5
from urllib.parse import quote, quote_plus, unquote
from xml.sax.saxutils import escape

from aiohttp import web

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/s3/aws4_request, ")


Trouble = tuple[int, str] | tuple[int, str, Mapping[str, str]] | str
Item = tuple[str, str, bytes, bool]
"""What a listing names: a key with a version's id, its content, and whether it is the newest."""


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

    `versions` are keys with the ids and contents of their versions, the oldest first; None is a deletion's marker.
    `from_marker`: as old Ceph does, a listing of versions begins with the key of its marker, not behind it.

    `trouble` answers the next requests, one each: a status, a code and perhaps headers; "cut" (the connection ends
    within the answer), "drop" (it ends without one), "html" or "torn" (an answer whose XML ends too early). `always`
    answers every request so until it is None again. `tokens`: "none" gives no token, "same" always the same one, and
    "deaf" gives none and begins anew each time. `denied`: a prefix that may not be listed; `denied_after`: from this
    key on nothing may. `tells_region_in`: "header", "redirect" or "body".
    """

    bucket: str = "data"
    region: str = "us-east-1"
    page: int = 1000
    objects: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, list[tuple[str, bytes | None]]] = field(default_factory=dict)
    from_marker: bool = False
    trouble: list[Trouble] = field(default_factory=list)
    always: Trouble | None = None
    tokens: str = ""
    tells_region_in: str = "header"
    zipped: bool = False
    denied: str | None = None
    denied_after: str | None = None
    asked: list[Asked] = field(default_factory=list)
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
            return self._elsewhere()
        bucket, _, key = unquote(request.rel_url.raw_path).lstrip("/").partition("/")
        if bucket != self.bucket:
            return _error(404, "NoSuchBucket")
        query = request.query
        if request.method != "GET" or key or ("versions" in query) == (query.get("list-type") == "2"):
            return _error(501, "NotImplemented")
        answer = self._versions(query) if "versions" in query else self._list(query)
        if self.zipped:
            answer.enable_compression(web.ContentCoding.gzip)
        return answer

    def _elsewhere(self) -> web.Response:
        if self.tells_region_in == "body":
            return _error(400, "AuthorizationHeaderMalformed", more=f"<Region>{self.region}</Region>")
        status, code = (301, "PermanentRedirect") if self.tells_region_in == "redirect" else (400, "IllegalLocation")
        return _error(status, code, {"x-amz-bucket-region": self.region, "Location": "http://127.0.0.1:9/"})

    def _list(self, query: Mapping[str, str]) -> web.Response:
        asked = Asked(
            prefix=query.get("prefix", ""),
            after=query.get("start-after", ""),
            token=query.get("continuation-token", ""),
            delimiter=query.get("delimiter", ""),
        )
        self.asked.append(asked)
        if self.denied is not None and asked.prefix.startswith(self.denied):
            return _error(403, "AccessDenied")
        if self.denied_after is not None and max(asked.after, asked.token.removeprefix("t:")) >= self.denied_after:
            return _error(403, "AccessDenied")
        after = unquote(asked.token.removeprefix("t:")) if asked.token else asked.after
        rest = ((key, "", body, True) for key, body in sorted(self.objects.items()) if key > after)
        if self.tokens in {"same", "deaf"}:
            rest = ((key, "", body, True) for key, body in sorted(self.objects.items()))
        named, more = self._named(rest, asked, int(query.get("max-keys", "1000")))
        # The token of a page that ends in a common prefix leads behind everything below it.
        last = "" if not named else f"{named[-1]}\U0010ffff" if isinstance(named[-1], str) else named[-1][0]
        token = "t:same" if self.tokens == "same" else f"t:{quote(last)}" if not self.tokens else ""
        head = f"<NextContinuationToken>{token}</NextContinuationToken>" if more and token else ""
        return _page("ListBucketResult", "Contents", asked, named, head, more=more)

    def _versions(self, query: Mapping[str, str]) -> web.Response:
        marker, behind = query.get("key-marker", ""), query.get("version-id-marker", "")
        asked = Asked(query.get("prefix", ""), marker, behind, query.get("delimiter", ""))
        self.asked.append(asked)
        deleted: dict[tuple[str, str], bool] = {}

        def rest() -> Iterator[Item]:
            for key, versions in sorted(self.versions.items()):
                ids = [one for one, _ in reversed(versions)]
                first = ids.index(behind) + 1 if key == marker and behind else 0
                if key > marker or (key == marker and (behind or self.from_marker)):
                    for one, body in list(reversed(versions))[first:]:
                        deleted[key, one] = body is None
                        yield key, one, body or b"", one == ids[0]

        named, more = self._named(rest(), asked, int(query.get("max-keys", "1000")))
        head = ""
        if more:
            key, one = (named[-1], "") if isinstance(named[-1], str) else named[-1][:2]
            head = f"<NextKeyMarker>{_encoded(key)}</NextKeyMarker><NextVersionIdMarker>{one}</NextVersionIdMarker>"
        gone = [one for one in named if not isinstance(one, str) and deleted[one[:2]]]
        head += "".join(f"<DeleteMarker><Key>{_encoded(key)}</Key></DeleteMarker>" for key, _, _, _ in gone)
        kept = [one for one in named if one not in gone]
        return _page("ListVersionsResult", "Version", asked, kept, head, more=more)

    def _named(self, rest: Iterable[Item], asked: Asked, most: int) -> tuple[list[Item | str], bool]:
        """What a page names, folders by their prefix alone, and whether there is more."""
        named: list[Item | str] = []
        for one in rest:
            key, prefix = one[0], asked.prefix
            if not key.startswith(prefix):
                continue
            head, found, _ = key[len(prefix) :].partition(asked.delimiter) if asked.delimiter else (key, "", "")
            what = prefix + head + asked.delimiter if found else one
            if named and what == named[-1]:
                continue
            if len(named) == min(self.page, most):
                return named, True
            named.append(what)
            asked.answered = len(named)
        return named, False


def _page(root: str, item: str, asked: Asked, named: Sequence[Item | str], head: str, *, more: bool) -> web.Response:
    parts = [
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
        f"<Prefix>{_encoded(asked.prefix)}</Prefix><EncodingType>url</EncodingType>",
        f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{head}",
    ]
    for one in named:
        if isinstance(one, str):
            parts.append(f"<CommonPrefixes><Prefix>{_encoded(one)}</Prefix></CommonPrefixes>")
            continue
        key, version, body, newest = one
        ids = f"<VersionId>{version}</VersionId><IsLatest>{str(newest).lower()}</IsLatest>" if version else ""
        parts.append(
            f"<{item}><Key>{_encoded(key)}</Key>{ids}<LastModified>2026-11-20T12:00:00.000Z</LastModified>"
            f"<ETag>&quot;{md5(body).hexdigest()}&quot;</ETag><Size>{len(body)}</Size>"
            f"<StorageClass>STANDARD</StorageClass></{item}>"
        )
    return web.Response(text="".join([*parts, f"</{root}>"]), content_type="application/xml")


def _encoded(text: str) -> str:
    return escape(quote_plus(text, safe="/"))


def _error(status: int, code: str, headers: Mapping[str, str] | None = None, more: str = "") -> web.Response:
    text = f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>said {code}</Message>{more}</Error>"
    return web.Response(status=status, text=text, content_type="application/xml", headers=headers)


async def _troubled(request: web.Request, what: Trouble) -> web.StreamResponse:
    if not isinstance(what, str):
        return _error(*what)
    if what == "html":
        return web.Response(text="<!doctype html><title>a login page</title>", content_type="text/html")
    if what == "torn":
        return web.Response(text="<ListBucketResult><Contents><Key>a.c", content_type="application/xml")
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
