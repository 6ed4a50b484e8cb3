"""Slack."""

from __future__ import annotations

from pydantic import Field

from notifiers.settings import Secret, Settings


class SlackConfig(Settings):
    """The keys of `slack:`."""

    token: Secret = Field(description="the bot's token, xoxb-…")
    app_token: Secret | None = Field(default=None, description="the app-level token, xapp-…, for Socket Mode")
    api_url: str = Field(default="https://slack.com/api/", description="the Web API's base")
