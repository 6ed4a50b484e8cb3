"""How an endpoint is asked: for an attempt, for how it is doing, for its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import urljoin

from rules.templates import TemplateError, compile_expression, compile_text, compile_tree
from sensord.elsewhere_reach import reach
from sensord.elsewhere_side import (
    AwayError,
    Begun,
    Look,
    RefusedError,
    UnansweredError,
    UnknownAttemptError,
    words_of,
)
from sensord.launchers import Ending, Run
from sensord.launchers.http import HttpFind, HttpFollow, HttpRequest, origin_of
from sensord.launchers.http_secrets import Secrets
from sensord.launchers.http_wire import Reply, Wire

PAGES = 20
"""So many pages of a list are searched at most."""
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_UNSURE = frozenset({HTTPStatus.REQUEST_TIMEOUT})


class Endpoint:
    """The other side of one job; see `Side`."""

    def __init__(self, job: str, config: HttpRequest, wire: Wire, secrets: Secrets | None) -> None:
        self._job = job
        self._config = config
        self._wire = wire
        self._secrets = secrets
        follow = config.follow
        self.name = wire.name
        self.every = 5.0 if follow is None else follow.every
        self.repeatable = config.repeatable
        self.finds = config.find is not None
        self.within = 0.0 if config.find is None else config.find.within
        self.absent: Literal["lost", "start"] = "lost" if config.find is None else config.find.absent
        self.unknown_for = 0.0 if follow is None else follow.unknown_for
        self.looks = follow is None or follow.url is not None

    async def reach(self) -> None:
        """Connect."""
        await reach(origin_of(self._config.url), self.name, self._config.timeout)

    async def start(self, run: Run) -> Begun:
        """Make the request."""
        config = self._config
        words = self._words(run)
        headers = {} if config.idempotency_header is None else {config.idempotency_header: run.token}
        try:
            url, body = _url(config.url, words), _body(config.body, words)
        except TemplateError as error:
            raise RefusedError(f"the request cannot be made: {error}") from error
        reply = await self._wire.ask(config.method, url, body, headers)
        if reply.fine:
            return self._begun(words, reply.json if isinstance(reply.json, dict | list) else {}, reply.location)
        if reply.status in config.already:
            return self._begun(words, {}, "")
        text = f"{self.name} answered HTTP {reply.status}{': ' if reply.shown else ''}{reply.shown}"
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in _UNSURE:
            raise UnansweredError(text)
        raise RefusedError(text)

    async def find(self, run: Run, asked_at: datetime) -> Begun | None:
        """Search the list, page after page."""
        find = self._config.find
        if find is None:
            return None
        words = self._words(run)
        words["run"] |= {"asked_at": f"{asked_at:%Y-%m-%dT%H:%M:%SZ}"}
        try:
            url = _url(find.url, words)
            for _ in range(PAGES):
                try:
                    reply = await self._get(url)
                except UnknownAttemptError as error:
                    raise AwayError(f"{error}; check the url of find") from error
                if (item := await self._match(find, words, reply)) is not None:
                    return self._begun(words, item, "")
                following = urljoin(url, reply.next) if reply.next else ""
                if not following or origin_of(following) != origin_of(url):
                    return None
                url = following
        except TemplateError as error:
            raise AwayError(f"what {self.name} lists is not understood: {error}") from error
        raise AwayError(f"{self.name} lists more than {PAGES} pages; let the url of find ask for less")

    async def look(self, run: Run, said: Any) -> Look:
        """Ask how it is doing. Without `follow`, its answer was the end."""
        follow = self._config.follow
        if follow is None or follow.url is None:
            return Look(status="succeeded")
        words = self._words(run) | said
        try:
            reply = await self._get(_url(follow.url, words))
            return _judged(follow, words | {"answer": reply.json, "status": reply.status})
        except TemplateError as error:
            raise AwayError(f"the answer of {self.name} is not understood: {error}") from error

    async def stop(self, run: Run, said: Any) -> bool:
        """Ask for its end; what is not there any more has ended."""
        cancel = self._config.cancel
        if cancel is None:
            return False
        words = self._words(run) | said
        try:
            url, body = _url(cancel.url, words), _body(cancel.body, words)
        except TemplateError as error:
            raise AwayError(f"the request for its end cannot be made: {error}") from error
        try:
            reply = await self._wire.ask(cancel.method, url, body)
        except (UnansweredError, RefusedError) as error:
            raise AwayError(str(error)) from error
        if not reply.fine and reply.status not in {*_GONE, HTTPStatus.CONFLICT}:
            raise AwayError(f"{self.name} does not end it: HTTP {reply.status} {reply.shown}")
        return True

    async def _get(self, url: str) -> Reply:
        try:
            reply = await self._wire.ask("GET", url)
        except (UnansweredError, RefusedError) as error:  # To ask changes nothing.
            raise AwayError(str(error)) from error
        if reply.status in _GONE:
            raise UnknownAttemptError(f"{self.name} knows it no more (HTTP {reply.status})")
        if not reply.fine:
            raise AwayError(f"{self.name} answered HTTP {reply.status}: {reply.shown}")
        if reply.json is None:
            raise AwayError(f"{self.name} answered what is no JSON, or more than 1 MiB of it")
        return reply

    async def _match(self, find: HttpFind, words: Mapping[str, Any], reply: Reply) -> Any:
        items = compile_expression(find.items).evaluate({**words, "answer": reply.json})
        if not isinstance(items, list):
            raise AwayError(f"{self.name} answered no list; check the items of find")
        wanted = compile_expression(find.match)
        for item in items:
            about = {**words, "item": item}
            if find.detail is not None:
                try:
                    about["detail"] = (await self._get(_url(find.detail, about))).json
                except UnknownAttemptError:  # It went meanwhile.
                    continue
            if wanted.evaluate(about) is True:
                return item
        return None

    def _begun(self, words: Mapping[str, Any], started: Any, location: str) -> Begun:
        said = {"started": started, "location": location}
        link = ""
        if self._config.link is not None:
            try:
                link = compile_text(self._config.link).render({**words, **said})
            except TemplateError:  # What was started goes on without a link.
                link = ""
        return Begun(said=said, link=link)

    def _words(self, run: Run) -> dict[str, Any]:
        words = words_of(run)
        follow = self._config.follow
        if self._secrets is not None and follow is not None:
            words |= {
                "callback": f"{follow.callback}/api/runs/{run.id}/callback",
                "secret": self._secrets.of(run.token),
            }
        return {"run": words}


def _url(template: str, words: Mapping[str, Any]) -> str:
    """The address; whatever a run brings along, its host stays as written."""
    url = compile_text(template).render(words)
    if origin_of(url) != origin_of(template) or any(char <= " " or char in "\\\x7f" for char in url):
        raise TemplateError("what it is filled with is no part of an address; write {{ … | urlencode }}")
    return url


def _body(template: Any, words: Mapping[str, Any]) -> Any:
    return None if template is None else compile_tree(template).render(words)


def _judged(follow: HttpFollow, words: Mapping[str, Any]) -> Look:
    wanted: dict[Ending, str | None] = {
        "succeeded": follow.succeeded,
        "failed": follow.failed,
        "cancelled": follow.cancelled,
    }
    for status, condition in wanted.items():
        if condition is not None and compile_expression(condition).evaluate(words) is True:
            metadata = {} if follow.metadata is None else compile_tree(follow.metadata).render(words)
            said = "" if follow.error is None or status == "succeeded" else compile_text(follow.error).render(words)
            return Look(status=status, error=said[:2000], metadata=metadata if isinstance(metadata, dict) else {})
    return Look(status="running")
