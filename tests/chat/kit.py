"""The whole daemon in this process, beside a Bot API that refuses what Telegram refuses, and people who write to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notifiers.channels import telegram as channel
from rules import living
from sensord.app import App
from tests.conftest import rows
from tests.doubles.telegram import Limits, TelegramDouble, open_double
from tests.sources.app_kit import JOBS, running
from tests.sources.directory_kit import until

EDIT_GAP_US = 100_000
"""Between two edits of a run's message, where nobody reads them."""

GROUP = -1_001_000_000_001
OWNER, VIEWER, STRANGER, ADMIN = 1, 2, 3, 4
ROLES = """
  roles:
    owner: [telegram:1]
    viewer: {users: [telegram:2], topics: ["bp.>", "runs.load.*"]}
"""


@dataclass
class Telegram:
    """What a test has in hand."""

    app: App
    double: TelegramDouble

    def texts(self, chat: int) -> list[str]:
        """What the bot wrote in a chat."""
        messages = self.double.chats.get(chat).messages.values()
        return [one["text"] for one in messages if one.get("from", {}).get("id") == 42 and "text" in one]

    async def ask(self, text: str, *, chat: int | None = None, user: int = OWNER, **more: Any) -> str:
        """What the bot answers to a message: in the person's own chat, unless another is named."""
        where = user if chat is None else chat
        before = len(self.texts(where))
        self.double.say(where, text, user=user, **more)
        await until(lambda: len(self.texts(where)) > before)
        return self.texts(where)[before]

    async def heard(self) -> None:
        """Return when everything that was told is confirmed, every event routed, and every delivery has ended."""
        await until(lambda: not self.double.people.updates)
        routed = "SELECT seq FROM events WHERE seq > (SELECT max(seq) FROM bus_cursors WHERE name = 'deliveries')"
        await until(lambda: not self.rows(routed))
        await until(lambda: not self.rows("SELECT id FROM deliveries WHERE status IN ('pending', 'sending')"))

    def rows(self, statement: str) -> list[dict[str, Any]]:
        return rows(self.app.database, statement)

    def subscribed(self) -> list[tuple[str, str, str]]:
        query = 'SELECT topic, destination, "where" AS w FROM subscriptions WHERE ended_at IS NULL ORDER BY id'
        return [(row["topic"], row["destination"], row["w"]) for row in self.rows(query)]


@asynccontextmanager
async def telegram(
    folder: Path,
    url: str | None = None,
    *,
    double: TelegramDouble | None = None,
    roles: str = ROLES,
    jobs: str = JOBS,
    **more: Any,
) -> AsyncIterator[Telegram]:
    """A daemon that listens to the chats of a double; without limits on calls unless the double is given."""
    async with AsyncExitStack() as stack:
        if double is None:
            double = await stack.enter_async_context(open_double(limits=Limits(enforce=False)))
        if not double.limits.enforce:
            # A double without limits is for tests of what is said, not of when: they need not wait a second for each.
            hurry = stack.enter_context(pytest.MonkeyPatch.context())
            hurry.setattr(channel.Telegram, "windows", lambda *_: ())
            hurry.setattr(living, "EDIT_GAP_US", EDIT_GAP_US)
        options = "".join(f", {key}: {value}" for key, value in more.items())
        text = f"telegram: {{token: '{double.token}', api_url: '{double.url}'{options}}}\nchat:{roles}"
        app = await stack.enter_async_context(running(folder, text, url, jobs))
        yield Telegram(app, double)
