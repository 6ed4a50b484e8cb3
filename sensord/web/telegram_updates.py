"""Telegram's updates, posted here by Telegram: taken with its secret alone, answered once what they ask is durable."""

from __future__ import annotations

from hmac import compare_digest

from aiohttp import web

from notifiers.channels import DeliveryError
from notifiers.channels.telegram import HOOK_PATH
from sensord.app import App
from sensord.web import schemas
from sensord.web.body import kind, read_json
from sensord.web.endpoint import Endpoint
from sensord.web.problems import Problem, answer

HEADER = "X-Telegram-Bot-Api-Secret-Token"


class TelegramUpdates:
    """The one route that Telegram calls. It is there only where the configuration asks for it."""

    def __init__(self, app: App) -> None:
        self._app = app

    def endpoints(self) -> list[Endpoint]:
        """None, where updates are fetched or not listened to."""
        telegram = self._app.config.telegram
        if telegram is None or telegram.webhook is None or not telegram.commands:
            return []
        self._secret = telegram.webhook.secret_token.get_secret_value().encode()
        return [
            Endpoint(
                method="POST",
                path=HOOK_PATH,
                handler=self._take,
                summary="Take one update from Telegram, with the secret_token of telegram.webhook in its header; "
                "answered once what it asks for is durable.",
                body=schemas.OBJECT,
                answers={
                    200: ("it is taken, or was before", schemas.ANY),
                    401: ("the secret is missing or wrong", schemas.ERROR),
                    503: ("not yet; send it again", schemas.ERROR),
                },
                public=True,
            )
        ]

    async def _take(self, request: web.Request) -> web.Response:
        given = request.headers.getall(HEADER, [])
        # Nothing of the body is read for whoever does not know it.
        if len(given) != 1 or not compare_digest(given[0].encode("utf-8", "surrogateescape"), self._secret):
            raise Problem(401, f"send the secret_token of telegram.webhook as {HEADER}, as Telegram does")
        update = await read_json(request)
        if not isinstance(update, dict):
            raise Problem(400, f"the body is {kind(update)}; an update is an object")
        chat = self._app.chats.telegram
        try:
            taken = chat is not None and await chat.posted(update)
        except DeliveryError as error:
            raise Problem(503, f"Telegram does not say who its bot is: {error}") from None
        if not taken:
            raise Problem(503, "sensord is starting; send it again", headers={"Retry-After": "1"})
        return answer({"status": "taken"})
