"""The web page: a shell that scripts of ours fill through the API, and the form that lets a browser in."""

from __future__ import annotations

import hashlib
import re
import secrets
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sensord.app import App
from sensord.web.body import read_body
from sensord.web.endpoint import ID, Endpoint
from sensord.web.problems import Problem
from sensord.web.schemas import ANY
from sensord.web.security import COOKIE, HEADERS, Guard

_HERE = Path(__file__).parent
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FORM = "application/x-www-form-urlencoded"
_NEXT = re.compile(f"/|/(?:runs|events)/{ID}")
_COOKIE_SECONDS = 90 * 86_400
# Other sites learn nothing, as with `no-referrer`; but under that browsers send our own forms with `Origin: null`.
_REFERRER = {"Referrer-Policy": "same-origin"}


class Pages:
    """Everything under `/` that a browser shows."""

    def __init__(self, app: App, guard: Guard) -> None:
        self._guard = guard
        self._open = app.config.http.token is None
        self._environment = app.config.environment
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )
        self._static = {path.name: path.read_bytes() for path in sorted((_HERE / "static").iterdir())}
        self._style = self._static["style.css"].decode()

    def endpoints(self) -> list[Endpoint]:
        """The pages, what they are made of, and the form's two routes."""
        pages = [("/", "home", "Sensord"), ("/runs/{id}", "run", "Run"), ("/events/{id}", "event", "Event")]
        return [
            *(
                Endpoint(
                    method="GET",
                    path=path,
                    handler=partial(self._page, kind, title),
                    summary=f"The page: {kind}.",
                    answers={200: ("the page", None)},
                    gives="text/html",
                    page=True,
                )
                for path, kind, title in pages
            ),
            *(
                Endpoint(
                    method="GET",
                    path=f"/static/{name}",
                    handler=partial(self._file, name),
                    summary="A part of the page.",
                    answers={200: ("the file", None), 304: ("it is as it was", None)},
                    gives=_KINDS[Path(name).suffix],
                )
                for name in self._static
            ),
            Endpoint(
                method="POST",
                path="/login",
                handler=self._let_in,
                summary="Take the token from the form, and give the browser a cookie.",
                body={"type": "object", "properties": {"token": {"type": "string"}, "next": {"type": "string"}}},
                takes=(_FORM,),
                answers={303: ("let in", None), 401: ("the form again", ANY)},
                public=True,
            ),
            Endpoint(
                method="POST",
                path="/logout",
                handler=self._let_out,
                summary="Take the cookie back.",
                answers={303: ("out", None)},
            ),
        ]

    async def _page(self, kind: str, title: str, request: web.Request) -> web.Response:
        subject = request.match_info.get("id", "")
        text = self._templates.get_template("shell.html").render(
            kind=kind, title=title, subject=subject, open=self._open, environment=self._environment
        )
        return web.Response(text=text, content_type="text/html", headers=_REFERRER)

    async def _file(self, name: str, request: web.Request) -> web.Response:
        content = self._static[name]
        tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=_KINDS[Path(name).suffix], charset="utf-8", headers=headers)

    def login(self, request: web.Request, *, wrong: bool = False, path: str | None = None) -> web.Response:
        """The form, as the answer 401. Its style and script stand in it: nothing else is public."""
        nonce = secrets.token_urlsafe(16)
        asked = path if path is not None else request.path
        text = self._templates.get_template("login.html").render(
            nonce=nonce, style=self._style, next=asked if _NEXT.fullmatch(asked) else "/", wrong=wrong
        )
        policy = HEADERS["Content-Security-Policy"]
        policy += f"; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'"
        headers = {"Content-Security-Policy": policy, "WWW-Authenticate": 'Bearer realm="sensord"', **_REFERRER}
        return web.Response(text=text, status=401, content_type="text/html", headers=headers)

    async def _let_in(self, request: web.Request) -> web.Response:
        if request.content_type != _FORM:
            raise Problem(415, "the form sends application/x-www-form-urlencoded; programs send the token as a header")
        if (request.content_length or 0) > 8192:  # noqa: PLR2004 - a token and a path
            raise Problem(413, "the form is longer than a token can be")
        try:
            form = parse_qs((await read_body(request)).decode(), max_num_fields=4)
        except ValueError:
            raise Problem(400, "the form could not be read; send it again") from None
        token, path = form.get("token", [""])[0], form.get("next", ["/"])[0]
        if not self._guard.is_token(token.strip()):
            return self.login(request, wrong=True, path=path)
        response = web.Response(status=303, headers={"Location": path if _NEXT.fullmatch(path) else "/"})
        response.set_cookie(
            COOKIE,
            self._guard.session,
            max_age=_COOKIE_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=request.secure,
            path="/",
        )
        return response

    async def _let_out(self, _request: web.Request) -> web.Response:
        response = web.Response(status=303, headers={"Location": "/"})
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
        return response
