"""Runs told over real HTTP to doubles of Telegram and Slack whose clocks are held, with everything counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from notifiers.channels import Channel, Editable, Part, Receipt
from notifiers.channels.slack import SlackConfig, open_slack
from notifiers.channels.telegram import TelegramConfig, open_telegram
from notifiers.clock import new_uuid7
from notifiers.delivery import Delivery
from notifiers.message import Message
from notifiers.settings import Secret
from notifiers.wording import to_message
from rules.event import Event, Severity
from rules.pacing import Window
from sensord.run_events import SEVERITY
from tests.doubles.slack import SlackDouble
from tests.doubles.slack import running as serving_slack
from tests.doubles.telegram import Limits, TelegramDouble, open_double
from tests.notifiers.service import START, HeldTime, Watched, delivering, publish

CHAT = 4711
GROUP = -1_001_000_000_000
ROOM = "C0GENERAL"


class Meanwhile:
    """A channel during whose calls held time stands still."""

    def __init__(self, inner: Channel, database: Watched) -> None:
        self.inner = cast("Editable", inner)
        self.database = database

    def render(self, message: Message) -> Sequence[Part]:
        return self.inner.render(message)

    def windows(self, target: str) -> Sequence[Window]:
        return self.inner.windows(target)

    def edit_windows(self, target: str) -> Sequence[Window]:
        return self.inner.edit_windows(target)

    async def send(self, target: str, part: Part) -> Receipt:
        self.database.busy += 1
        try:
            return await self.inner.send(target, part)
        finally:
            self.database.busy -= 1

    async def edit(self, target: str, receipt: Receipt, part: Part) -> None:
        self.database.busy += 1
        try:
            await self.inner.edit(target, receipt, part)
        finally:
            self.database.busy -= 1


@dataclass
class Chats:
    """Both doubles, and what stands in them."""

    telegram: TelegramDouble
    slack: SlackDouble
    delivery: Delivery

    def texts(self, chat: int = CHAT) -> list[str]:
        return self.telegram.chats.get(chat).texts()

    def posts(self, *, top: bool = True) -> list[str]:
        """What people see in the room, without what is in threads alone."""
        return [
            one["shown"]
            for one in self.slack.committed
            if not one.get("deleted") and (not top or one.get("thread_ts") is None)
        ]

    def calls(self) -> dict[str, int]:
        return {
            "telegram": len(self.telegram.requests),
            "slack": sum(not one["method"].startswith("/") for one in self.slack.requests),
        }

    def refusals(self) -> list[Any]:
        telegram = [call.description for call in self.telegram.requests if call.status == 429]
        return telegram + [one for one in self.slack.requests if one["status"] == 429]


@asynccontextmanager
async def doubles(time: HeldTime) -> AsyncIterator[tuple[TelegramDouble, SlackDouble]]:
    """The services, whose clocks are the test's."""
    slack = SlackDouble(clock=lambda: time.seconds)
    async with (
        open_double(limits=Limits(tolerance=0.0), monotonic=lambda: time.seconds, now=lambda: time.seconds) as telegram,
        serving_slack(slack),
    ):
        yield telegram, slack


@asynccontextmanager
async def telling(
    database: Watched, time: HeldTime, served: tuple[TelegramDouble, SlackDouble], **options: Any
) -> AsyncIterator[Chats]:
    """One life of a daemon that tells both of them."""
    telegram, slack = served
    config = TelegramConfig(token=Secret(telegram.token), api_url=telegram.url)
    slack_config = SlackConfig(token=Secret(slack.token), api_url=f"{slack.url}/api/")
    options.setdefault("wording", to_message)
    async with open_telegram(config) as chat, open_slack(slack_config) as room:
        channels: dict[str, Channel] = {"telegram": Meanwhile(chat, database), "slack": Meanwhile(room, database)}
        channels |= options.pop("more", {})
        async with delivering(database, channels, time, **options) as delivery:
            yield Chats(telegram, slack, delivery)


@dataclass
class Story:
    """The events of one run, as the daemon publishes them."""

    job: str = "load"
    key: str = "houses.csv"
    run: str = ""

    def __post_init__(self) -> None:
        self.run = self.run or new_uuid7()

    def event(self, what: str, *, attempt: int = 1, **data: Any) -> Event:
        severity = SEVERITY.get(what, Severity.debug)
        about = {"job": self.job, "run": self.run, "run_key": self.key, "attempt": attempt, "status": what}
        return Event(
            id=new_uuid7(),
            type=f"run.{what}",
            topic=f"runs.{self.job}.{what}",
            time=START,
            severity=severity,
            message=f"{self.job} {what}",
            run=self.run,
            job=self.job,
            data={**about, **data},
        )

    async def tell(self, database: Watched, chats: Chats | None, what: str, **more: Any) -> Event:
        event = self.event(what, **more)
        await publish(database, event)
        if chats is not None:
            chats.delivery.wake()
        return event
