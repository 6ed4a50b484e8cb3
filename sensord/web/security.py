"""Who may ask: the names we answer to, where a request comes from, the token, and the headers of every answer."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from hmac import compare_digest
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from sensord.config import HttpConfig
from sensord.tokens import FULL, Access, Scope, Tokens
from sensord.web.access import ACCESS
from sensord.web.problems import Problem

if TYPE_CHECKING:
    from aiohttp.web_urldispatcher import AbstractRoute

log = logging.getLogger(__name__)

COOKIE = "sensord_token"
_READS = frozenset({"GET", "HEAD"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Every path of ours is made of these; whatever is spelled in another way (`//`, `..`, `%2e`, `;`) is not one.
_PATH = re.compile(r"/(?:[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?")
_STARTED = web.RequestKey("started", bool)
_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer; a page may tell its own policy or caching."""


class Guard:
    """Decides whether a request goes on to its route, by the configuration of `http:` and the tokens there are."""

    def __init__(self, config: HttpConfig, tokens: Tokens) -> None:
        self._tokens = tokens
        self._token = None if config.token is None else config.token.get_secret_value().encode()
        # What a browser keeps is made from the token and is not the token: it opens nothing but this daemon.
        self.session = "" if self._token is None else hmac.new(self._token, b"sensord page", "sha256").hexdigest()
        self._names = _LOOPBACK | {name.lower() for name in (config.host, *config.allowed_hosts)}
        self._any_address = _is_wildcard(config.host)
        # Whoever calls names us alike each time; what others make up is bounded.
        self._is_ours = lru_cache(maxsize=64)(self._is_name_of_ours)

    def admit(
        self, request: web.Request, public: Collection[AbstractRoute], scopes: Mapping[AbstractRoute, Scope]
    ) -> None:
        """Pass a request that may go on; Problem otherwise. Nothing of the body is read for it."""
        self._check_host(request)
        if not _PATH.fullmatch(request.raw_path.partition("?")[0]):
            self._authenticate(request, None)
            raise Problem(404, "there is no such path; GET /openapi.json lists those there are")
        if request.method not in _READS:
            self._check_origin(request)
        if request.match_info.route not in public:
            self._authenticate(request, scopes.get(request.match_info.route))

    def _check_host(self, request: web.Request) -> None:
        """No page of another name may talk to us through its own DNS (rebinding), not even on loopback."""
        hosts = request.headers.getall(hdrs.HOST, [])
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            raise Problem(
                421, "this is not the Host of this sensord; add its name to http.allowed_hosts if it should be"
            )

    def _is_name_of_ours(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}" if _HOST.fullmatch(host) else "")
            name = (parts.hostname or "").lower()
            _ = parts.port  # ValueError where it is none.
        except ValueError:
            return False
        # An address cannot be rebound: where we listen on all of them, each is a name of ours.
        return name in self._names or (self._any_address and _is_address(name))

    def _check_origin(self, request: web.Request) -> None:
        """A browser says where a request comes from; a page that is not ours may change nothing."""
        site = request.headers.get("Sec-Fetch-Site")
        if site not in (None, "same-origin", "none"):
            raise Problem(403, "requests from pages of other sites are refused; use the API without a browser")
        for origin in request.headers.getall(hdrs.ORIGIN, []):
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or rest.lower() != request.headers.get(hdrs.HOST, "").lower():
                raise Problem(403, "requests from pages of other origins are refused; use the API without a browser")

    def _authenticate(self, request: web.Request, scope: Scope | None) -> None:
        access = self._access(request)
        if access is None:
            raise Problem(
                401,
                "send the token of http.token, or one of `sensord tokens` that holds: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": 'Bearer realm="sensord"'},
            )
        if not access.allows(scope):
            may = [f"publish on {', '.join(access.publish)}"] if access.publish else []
            may += [f"read {', '.join(access.read)}"] if access.read else []
            raise Problem(403, f"the token {access.name} may {' and '.join(may)}, and nothing else")
        request[ACCESS] = access

    def _access(self, request: web.Request) -> Access | None:
        """What may be done; None where the token is missing or is none. Without http.token none need be sent."""
        given = request.headers.getall(hdrs.AUTHORIZATION, [])
        schemes = [one.partition(" ")[0].lower() for one in given]
        if schemes == ["bearer"]:
            token = given[0].partition(" ")[2]
            return FULL if self.is_token(token) else self._tokens.find(token)
        if self._token is None:
            return None if "bearer" in schemes else FULL
        good = compare_digest(request.cookies.get(COOKIE, "").encode(), self.session.encode())
        return FULL if good and not given else None

    def is_token(self, given: str) -> bool:
        """Whether this is the token, told in a time that says nothing of it."""
        return self._token is not None and compare_digest(given.encode("utf-8", "surrogateescape"), self._token)


def guard_middleware(
    guard: Guard,
    public: Collection[AbstractRoute],
    scopes: Mapping[AbstractRoute, Scope],
    pages: Collection[AbstractRoute],
    login: Callable[[web.Request], web.Response],
) -> Middleware:
    """Ask the guard before the route, and answer what is refused or fails in JSON; for a page, with the form."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            guard.admit(request, public, scopes)
            response = await handler(request)
        except Problem as problem:
            asks = problem.status == 401 and request.match_info.route in pages  # noqa: PLR2004
            response = login(request) if asks else problem.response()
        except web.HTTPException as error:
            response = _plain(error)
        except ConnectionError:
            return _gone(request)
        except Exception:
            log.exception("http.failed", extra={"method": request.method, "path": request.path})
            if request.get(_STARTED):
                return _gone(request)  # Half an answer is out: only its end can say that it is none.
            response = Problem(500, "this failed in sensord; its log says why").response()
        if not request.content.is_eof() and request.body_exists:
            response.force_close()  # What is left of the body is not read.
        return response

    return guarded


def _gone(request: web.Request) -> web.StreamResponse:
    """End the connection: there is nobody to answer, or nothing more to be said in this answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)  # Goes nowhere.


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put our headers on every answer, streams too (a signal of the application)."""
    request[_STARTED] = True
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _plain(error: web.HTTPException) -> web.StreamResponse:
    """The library's own answers (no such route, wrong method) in our form."""
    if error.status == 405:  # noqa: PLR2004
        allowed = error.headers.get(hdrs.ALLOW, "")
        return Problem(405, f"this path takes {allowed or 'other methods'}", headers={"Allow": allowed}).response()
    if error.status == 404:  # noqa: PLR2004
        return Problem(404, "there is no such path; GET /openapi.json lists those there are").response()
    return Problem(error.status, error.reason).response()


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
