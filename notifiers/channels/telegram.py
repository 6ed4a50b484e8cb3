"""Telegram."""

from __future__ import annotations

from pydantic import Field

from notifiers.settings import Secret, Settings


class TelegramConfig(Settings):
    """The keys of `telegram:`."""

    token: Secret = Field(description="the bot's token, from @BotFather")
    api_url: str = Field(default="https://api.telegram.org", description="the Bot API server")
