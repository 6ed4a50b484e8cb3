"""What goes back to a caller: JSON, and for what is wrong a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web


class Problem(Exception):
    """A request that is not done: its status, a sentence for whoever sent it, and headers that belong to it.

    `more` stands beside the sentence in the answer.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    def response(self) -> web.Response:
        """The answer that says so. The connection ends with it where a body may still be on its way."""
        return answer({"error": self.sentence, **self.more}, self.status, headers=self.headers)


def answer(value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=orjson.dumps(value, default=str), status=status, content_type="application/json", headers=headers
    )


def shown(text: str, limit: int = 80) -> str:
    """What somebody sent, as it may stand in a sentence: one printable line of bounded length."""
    cut = text if len(text) <= limit else f"{text[:limit]}…"
    return ascii(cut) if not cut.isprintable() else repr(cut)
