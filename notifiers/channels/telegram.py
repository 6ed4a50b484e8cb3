"""Telegram: a message as texts with entities, one call of the Bot API for each part."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from msgspec import Struct
from pydantic import Field, field_validator

from notifiers.channels import DeliveryError, Part, Reason, Receipt, telegram_text
from notifiers.message import Message
from notifiers.settings import Secret, Settings
from notifiers.text import utf16_len
from rules.pacing import Window

if TYPE_CHECKING:
    from telegram import Bot

GENERAL_TOPIC = 1
_TARGET = re.compile(r"(?P<chat>-?\d{1,16}|@[A-Za-z]\w{3,31})(?:/(?P<thread>\d{1,10}))?", re.ASCII)


HOOK_PATH = "/api/chat/telegram"
"""Where the daemon takes updates that are posted to it."""

_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?/", re.ASCII)


class TelegramWebhookConfig(Settings):
    """Updates are posted here by Telegram, instead of being fetched."""

    url: str = Field(description=f"https address that leads to this daemon's {HOOK_PATH}")
    secret_token: Secret = Field(description="1 to 256 of A-Z a-z 0-9 _ -: what Telegram proves itself with")

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        # Plain HTTP is for a Bot API server on this machine.
        if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value) or not (
            value.startswith("https://") or _LOOPBACK.match(value)
        ):
            raise ValueError(f"write an https address, e.g. https://sensord.example.com{HOOK_PATH}")
        if not value.endswith(HOOK_PATH):
            raise ValueError(f"the address must end in {HOOK_PATH}, where the daemon takes updates")
        return value

    @field_validator("secret_token")
    @classmethod
    def _secret(cls, value: Secret) -> Secret:
        if not re.fullmatch("[A-Za-z0-9_-]{1,256}", value.get_secret_value()):
            raise ValueError("secret_token is 1 to 256 characters of A-Z a-z 0-9 _ -")
        return value


class TelegramConfig(Settings):
    """The keys of `telegram:`."""

    token: Secret = Field(description="the bot's token, from @BotFather")
    api_url: str = Field(default="https://api.telegram.org", description="the Bot API server")
    edits: bool = Field(default=True, description="a run is one message that changes; false: one for each event")
    commands: bool = Field(default=True, description="answer commands in the chats; false: send only")

    webhook: TelegramWebhookConfig | None = Field(
        default=None, description="have updates posted here; default: fetch them"
    )

    @field_validator("api_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
            raise ValueError("write the server's address, e.g. https://api.telegram.org")
        return value.rstrip("/")


class Target(Struct, frozen=True):
    """A chat, by id or @name, and one of its topics. The General topic is none: its id must not be sent."""

    chat: int | str
    thread: int | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read `<chat_id or @name>[/<thread_id>]`; ValueError says what was expected."""
        match = _TARGET.fullmatch(text)
        if match is None or (match["chat"].lstrip("-").isdecimal() and not int(match["chat"])):
            raise ValueError(f"{text!r} is not a Telegram chat; write CHAT_ID or @NAME, and /THREAD_ID for a topic")
        chat = match["chat"]
        thread = int(match["thread"] or GENERAL_TOPIC)
        return cls(chat if chat.startswith("@") else int(chat), None if thread <= GENERAL_TOPIC else thread)


class Telegram:
    """The channel; see `open_telegram`."""

    def __init__(self, open_bot: Callable[[], Awaitable[Bot]]) -> None:
        self._open_bot = open_bot
        self._bot: Bot | None = None
        self._opening = anyio.Lock()

    async def bot(self) -> Bot:
        """The library's bot, also for the part that listens to the chats. Who asks first waits until it is loaded."""
        if self._bot is None:
            async with self._opening:
                if self._bot is None:
                    self._bot = await self._open_bot()
        return self._bot

    def render(self, message: Message) -> Sequence[Part]:
        """Texts and files; see `telegram_text`."""
        return telegram_text.render(message)

    def windows(self, target: str) -> Sequence[Window]:
        """30 a second for the bot, 1 a second for a chat, 20 a minute for a group or channel (Bots FAQ).

        All topics of a chat count together. A target that cannot be read has the bot's window alone.
        """
        windows = [Window("telegram:bot", 30, 1.0)]
        try:
            chat = Target.parse(target).chat
        except ValueError:
            return windows
        key = f"telegram:{str(chat).lower()}"
        windows.append(Window(key, 1, 1.0))
        if isinstance(chat, str) or chat < 0:
            windows.append(Window(f"{key}:minute", 20, 60.0))
        return windows

    async def send(self, target: str, part: Part) -> Receipt:
        """Make one call; the receipt's id is the message's, its data has `chat_id`, `message_id` and `date`.

        The one exception to one call: where Telegram refuses the entities of a text, and so surely has not
        sent it, the same text goes out at once without them, its links written out. That second call is not
        counted by the windows; as entities are made to be valid, it is rare enough for the bursts that
        Telegram allows.
        """
        await self.bot()
        from notifiers.channels.telegram_api import Undelivered
        from notifiers.channels.telegram_errors import EntitiesRefusedError

        try:
            where = Target.parse(target)
        except ValueError as exc:
            where, error = None, DeliveryError(str(exc), Reason.refused, permanent=True)
        if where is not None:
            try:
                return await self._call(where, part)
            except Undelivered as undelivered:
                error = undelivered.error
            if isinstance(error, EntitiesRefusedError) and part.payload.get("entities"):
                try:
                    return await self._call(where, _without_entities(part))
                except Undelivered as undelivered:
                    error = undelivered.error
        # Raised out here, it has no context: nothing of the libraries' frames and texts can be shown with it.
        raise error

    async def answers(self) -> None:
        """Ask who the bot is, which Telegram does not count."""
        bot = await self.bot()
        from notifiers.channels.telegram_api import Undelivered

        try:
            await bot.do_api_request("GetMe")
        except Undelivered as undelivered:
            error = undelivered.error
        else:
            return
        # Raised out here, it has no context, as in `send`.
        raise error

    def edit_windows(self, target: str) -> Sequence[Window]:
        """Telegram floods edits as it floods messages (python-telegram-bot#3765), so they share their windows."""
        return self.windows(target)

    async def edit(self, target: str, receipt: Receipt, part: Part) -> None:  # noqa: ARG002 - the receipt knows its chat
        """Put a text in the place of a text, with the buttons of the part, or none where it has none.

        That the message shows this already ("message is not modified") is success, so an edit whose answer was
        lost is simply made again. Of refused entities the same as with `send` holds. DeliveryError: `permanent`
        where the message is deleted or too old (48 hours for some), or was lost as its group moved; the error
        then has no `moved_to`, for the message has not gone along under its number.
        """
        await self.bot()
        from notifiers.channels.telegram_api import Undelivered
        from notifiers.channels.telegram_errors import EntitiesRefusedError, of_edit

        if {"document", "photo"} & part.payload.keys() or not {"chat_id", "message_id"} <= receipt.data.keys():
            raise DeliveryError("only a text can be put in the place of a text", Reason.refused, permanent=True)
        tries = [part, _without_entities(part)] if part.payload.get("entities") else [part]
        for attempt in tries:
            params = _text(attempt) | {name: receipt.data[name] for name in ("chat_id", "message_id")}
            try:
                await (await self.bot()).do_api_request("EditMessageText", params)
            except Undelivered as undelivered:
                failure = undelivered.error
            else:
                return
            if not isinstance(failure, EntitiesRefusedError):
                break
        # Raised out here, it has no context, as in `send`.
        if (error := of_edit(failure)) is not None:
            raise error

    async def _call(self, where: Target, part: Part) -> Receipt:
        # `do_api_request` and not `send_message`, which makes an object of every entity and of the whole answer,
        # and takes twice the time. The capital keeps it from advising otherwise; the Bot API reads any case.
        if document := part.payload.get("document"):
            method, params = "SendDocument", _file("document", part.text, document)
        elif photo := part.payload.get("photo"):
            method, params = "SendPhoto", _file("photo", part.text, photo)
        else:
            method, params = "SendMessage", _text(part)
        params |= {"chat_id": where.chat, "message_thread_id": where.thread}
        if part.under is not None and "message_id" in part.under.data:
            reply = {"message_id": part.under.data["message_id"], "allow_sending_without_reply": True}
            params["reply_parameters"] = reply
        sent = await (await self.bot()).do_api_request(method, params)
        data = {"chat_id": sent["chat"]["id"], "message_id": sent["message_id"], "date": sent["date"]}
        return Receipt(id=str(sent["message_id"]), data=data)


def _text(part: Part) -> dict[str, Any]:
    params = {
        "text": part.text,
        "entities": part.payload.get("entities", []),
        "link_preview_options": {"is_disabled": True},
    }
    if rows := part.payload.get("buttons"):
        params["reply_markup"] = {"inline_keyboard": [[_button(**button) for button in row] for row in rows]}
    return params


def _button(text: str, nonce: str, style: str) -> dict[str, str]:
    made = {"text": text, "callback_data": nonce}
    return made if style == "default" else made | {"style": style}


def _file(kind: str, caption: str, document: Mapping[str, str]) -> dict[str, Any]:
    from telegram import InputFile

    file = InputFile(base64.b64decode(document["content"]), filename=document["name"])
    return {kind: file, "caption": caption}


def _without_entities(part: Part) -> Part:
    """The part as plain text, with each link's URL behind its words while there is room."""
    text = part.text.encode("utf-16-le")
    for entity in reversed(part.payload["entities"]):
        url = f" ({entity['url']})" if "url" in entity else ""
        if len(text) // 2 + utf16_len(url) <= telegram_text.TEXT_UNITS:
            end = 2 * (entity["offset"] + entity["length"])
            text = text[:end] + url.encode("utf-16-le") + text[end:]
    return Part(text=text.decode("utf-16-le"), payload={**part.payload, "entities": []})


@asynccontextmanager
async def open_telegram(config: TelegramConfig, *, read_seconds: float = 30.0) -> AsyncIterator[Telegram]:
    """The way out to Telegram. Opening makes no call: a wrong token or a dead network shows at the first send.

    `read_seconds` is how long Telegram may be silent after a request before its answer counts as lost. The library
    is loaded at the first send, in a thread: that takes as long as a sixth of the daemon's start, and nothing else
    needs to wait for it.
    """
    async with AsyncExitStack() as stack:

        async def open_bot() -> Bot:
            api = await to_thread.run_sync(import_module, "notifiers.channels.telegram_api")
            bot: Bot = await stack.enter_async_context(
                api.open_bot(config.api_url, config.token, read_seconds=read_seconds)
            )
            return bot

        yield Telegram(open_bot)
