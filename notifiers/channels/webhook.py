"""Webhooks: an event as a signed HTTP request to an address of the user's."""

from __future__ import annotations

from pydantic import Field

from notifiers.settings import Duration, Secret, Settings


class WebhookConfig(Settings):
    """The keys of one entry of `webhooks:`; its name is the destination `webhook:NAME`."""

    url: Secret = Field(description="http or https; may hold a token, so it is treated as a secret")
    secret: Secret | None = Field(default=None, description="key of the HMAC-SHA256 signature")
    headers: dict[str, Secret] = Field(default_factory=dict)
    allow_private: bool = Field(default=False, description="let it reach loopback and private addresses")
    timeout: Duration = Field(default=10.0)
