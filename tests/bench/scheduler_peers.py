"""The same load through python-telegram-bot's AIORateLimiter and slack-sdk's own retry handlers, in virtual time.

Each message is a task of its own from the start. Both libraries give up after RETRIES retries, which is slack-sdk's
default and more than python-telegram-bot's; what they give up is counted as a message that never came. With more of
them python-telegram-bot's takes hours of virtual time: whoever is refused lets all others wait, and comes too early.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Awaitable, Callable

import anyio

from tests.bench.scheduler_load import Load

RETRIES = 1
TELEGRAM_CONNECTIONS = 64


async def all_at_once(
    load: Load, send: Callable[[str, str], Awaitable[object]], failures: tuple[type[Exception], ...]
) -> None:
    """Every message in a task; one that is given up is dropped."""

    async def one(to: str, text: str) -> None:
        try:
            await send(to.partition(":")[2], text)
        except failures:
            return

    async with anyio.create_task_group() as tasks:
        for to, text in load.messages:
            tasks.start_soon(one, to, text)


async def through_telegram(load: Load, url: str, token: str) -> None:
    """An ExtBot with its rate limiter, as ApplicationBuilder makes it, with a pool of connections that suffices."""
    from telegram.error import TelegramError
    from telegram.ext import AIORateLimiter, ExtBot
    from telegram.request import HTTPXRequest

    logging.getLogger("telegram.ext.AIORateLimiter").setLevel(logging.CRITICAL)
    request = HTTPXRequest(connection_pool_size=TELEGRAM_CONNECTIONS, pool_timeout=3600, read_timeout=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bot = ExtBot(token, base_url=f"{url}/bot", request=request, rate_limiter=AIORateLimiter(max_retries=RETRIES))
    async with bot:
        await all_at_once(load, lambda chat, text: bot.send_message(int(chat), text), (TelegramError,))


async def through_slack(load: Load, url: str, token: str) -> None:
    """An AsyncWebClient with the handler of 429s beside the default one."""
    import aiohttp
    from slack_sdk.errors import SlackApiError
    from slack_sdk.http_retry.builtin_async_handlers import (
        AsyncConnectionErrorRetryHandler,
        AsyncRateLimitErrorRetryHandler,
    )
    from slack_sdk.web.async_client import AsyncWebClient

    handlers = [AsyncConnectionErrorRetryHandler(), AsyncRateLimitErrorRetryHandler(max_retry_count=RETRIES)]
    quiet = logging.getLogger("tests.bench.slack")
    quiet.setLevel(logging.CRITICAL)
    # A handler waits with its connection in hand: with aiohttp's 100 of them, 2,000 posts would wait for each other.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        client = AsyncWebClient(
            token=token, base_url=f"{url}/api/", session=session, retry_handlers=handlers, logger=quiet
        )
        failures = (SlackApiError, aiohttp.ClientError, TimeoutError)
        await all_at_once(load, lambda room, text: client.chat_postMessage(channel=room, text=text), failures)
