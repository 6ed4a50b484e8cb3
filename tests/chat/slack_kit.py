"""The whole daemon in this process, beside a workspace that refuses what Slack refuses, and people who write to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notifiers.channels import slack as channel
from rules import living
from sensord.app import App
from tests.chat.kit import EDIT_GAP_US
from tests.conftest import rows
from tests.doubles.slack import Room, SlackDouble
from tests.doubles.slack import running as serving
from tests.sources.app_kit import JOBS, running
from tests.sources.directory_kit import until

ROOM, SECRET_ROOM = "C0DATA", "G0SECRET"
OWNER, VIEWER, STRANGER, ADMIN, GUEST = "U0OWNER", "U0VIEWER", "U0STRANGER", "U0ADMIN", "U0GUEST"
ROLES = """
  roles:
    owner: [slack:U0OWNER]
    viewer: {users: [slack:U0VIEWER, slack:U0ADMIN, slack:U0GUEST], topics: ["bp.>", "runs.load.*"]}
"""


def workspace() -> SlackDouble:
    """A workspace of five people, of whom the founder of its channel is the owner."""
    people = (OWNER, VIEWER, STRANGER, ADMIN, GUEST)
    rooms = [Room(id=f"D{one[1:]}", user=one) for one in people]
    double = SlackDouble(rooms=[Room(id=ROOM, name="data"), *rooms], limits=False)
    double.people.users = {one: {} for one in people}
    double.people.users[ADMIN] = {"is_admin": True}
    double.people.users[GUEST] = {"is_restricted": True}
    double.people.creators[ROOM] = OWNER
    return double


@dataclass
class Slack:
    """What a test has in hand."""

    app: App
    double: SlackDouble

    def texts(self, room: str) -> list[str]:
        """What the app wrote in a conversation."""
        return [message["shown"] for message in self.double.committed if message["channel"] == room]

    async def ask(self, text: str, *, room: str | None = None, user: str = OWNER, **more: Any) -> str:
        """What is answered to a slash command: in the person's own conversation, unless another is named."""
        where = f"D{user[1:]}" if room is None else room
        before = len(self.texts(where))
        await self.double.people.command(where, text, user=user, **more)
        await until(lambda: len(self.texts(where)) > before)
        return self.texts(where)[before]

    async def heard(self) -> None:
        """Return when everything that was told is acknowledged, and every delivery has ended."""
        await until(lambda: not self.double.people.waiting)
        await until(lambda: not self.rows("SELECT id FROM deliveries WHERE status IN ('pending', 'sending')"))

    def rows(self, statement: str) -> list[dict[str, Any]]:
        return rows(self.app.database, statement)

    def subscribed(self) -> list[tuple[str, str, str]]:
        query = 'SELECT topic, destination, "where" AS w FROM subscriptions WHERE ended_at IS NULL ORDER BY id'
        return [(row["topic"], row["destination"], row["w"]) for row in self.rows(query)]


@asynccontextmanager
async def slack(
    folder: Path,
    url: str | None = None,
    *,
    double: SlackDouble | None = None,
    roles: str = ROLES,
    jobs: str = JOBS,
    connected: bool = True,
    beside: str = "",
    **more: Any,
) -> AsyncIterator[Slack]:
    """A daemon that listens to a workspace through Socket Mode, unless told of another way."""
    async with AsyncExitStack() as stack:
        if double is None:
            double = await stack.enter_async_context(serving(workspace()))
        if not double.limits:
            # Tests of what is said, not of when, need not wait a second for each.
            hurry = stack.enter_context(pytest.MonkeyPatch.context())
            hurry.setattr(channel.Slack, "windows", lambda *_: ())
            hurry.setattr(living, "EDIT_GAP_US", EDIT_GAP_US)
        keys = {"token": double.token, "api_url": f"{double.url}/api/", "app_token": double.people.app_token, **more}
        options = ", ".join(f"{key}: '{value}'" for key, value in keys.items() if value is not None)
        app = await stack.enter_async_context(
            running(folder, f"slack: {{{options}}}\nchat:{roles}\n{beside}", url, jobs)
        )
        if connected:
            await until(lambda: bool(double.people.lines))
        yield Slack(app, double)
