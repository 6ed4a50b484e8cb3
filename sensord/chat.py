"""The daemon's side of the chats: what commands ask of it, and which chats are listened to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from msgspec import Struct
from sqlalchemy import Connection, select

from notifiers.channels import Channel
from notifiers.channels.slack import Slack
from notifiers.channels.telegram import Telegram
from notifiers.chat import Order, Parameter
from notifiers.chat.figures import second
from notifiers.chat.tables import chat_granted
from notifiers.clock import Clock
from notifiers.database import Op
from notifiers.owner import Owner, ways_to
from notifiers.reading import Reader, Reading
from notifiers.store import Claimed, claim
from rules.phrases import changed, joined, phrase
from rules.request import RunRequest
from rules.rights import Grant
from sensord.launchers.command_log import read_log
from sensord.ledger.queries import get_run, list_runs
from sensord.ledger.requests import request_runs
from sensord.ledger.wishes import NewRun
from sensord.parameters import checked, parameters_of
from sensord.repeating import get_row, repeat_of
from sensord.run_events import SEVERITY, Hooks
from sensord.running import Running
from sensord.secrets import redact
from sensord.sensing import new_run

if TYPE_CHECKING:
    from notifiers.channels.slack_chat import SlackChat
    from notifiers.channels.slack_socket import SlackSocket
    from notifiers.channels.telegram_chat import TelegramChat
    from notifiers.chat.conversations import Conversations
    from sensord.app import App
    from sensord.config import Config
    from sensord.ledger.database import LedgerDatabase


@dataclass(kw_only=True)
class Chats:
    """The chats that talk back. `granted` is what people may do by the configuration.

    Without a `socket`, Slack's payloads come as signed requests.
    """

    granted: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)
    telegram: TelegramChat | None = None
    slack: SlackChat | None = None
    socket: SlackSocket | None = None

    async def run(self) -> None:
        """Listen until cancelled."""
        async with anyio.create_task_group() as group:
            if self.telegram is not None:
                group.start_soon(self.telegram.run, name="telegram chat")
            if self.slack is not None:
                group.start_soon(self.slack.run, name="slack words")
            if self.socket is not None:
                group.start_soon(self.socket.run, name="slack chat")

    async def hints(self) -> Sequence[tuple[str, str]]:
        """What of the chats' own settings keeps us from hearing or saying all, by the chat, each with what to do."""
        chats = (("telegram", self.telegram), ("slack", self.slack))
        return [(name, text) for name, chat in chats if chat is not None for text in await chat.hints()]

    @property
    def troubles(self) -> Sequence[str]:
        """Why something is not heard at the moment, in sentences."""
        chats = (("Telegram", self.telegram), ("Slack", self.slack))
        return [
            phrase("Commands from {name} are not heard: {why}", name=name, why=chat.trouble)
            for name, chat in chats
            if chat is not None and chat.trouble is not None
        ]


def claiming(config: Config, clock: Clock) -> Op[str, Claimed | None]:
    """How deliveries are claimed: with buttons on messages to chats that are listened to."""
    heard = {
        "telegram": config.telegram is not None and config.telegram.commands,
        "slack": config.slack is not None and config.slack.hears,
    }
    if not any(heard.values()):
        return claim
    from notifiers.chat.buttons import Buttons

    return Buttons({name for name, hears in heard.items() if hears}, clock).claim


def open_chats(app: App, channels: Mapping[str, Channel]) -> Chats:
    """The chats of the configuration; where none is to answer, nothing of theirs is loaded."""
    chats = Chats(granted=app.config.chat.granted())
    telegram, slack = channels.get("telegram"), channels.get("slack")
    conversations = cache(lambda: _conversations(app, channels, chats))
    if isinstance(telegram, Telegram) and app.config.telegram is not None and app.config.telegram.commands:
        from notifiers.channels.telegram_chat import TelegramChat

        webhook = app.config.telegram.webhook
        chats.telegram = TelegramChat(telegram, conversations(), clock=app.clock, webhook=webhook)
    if isinstance(slack, Slack) and app.config.slack is not None and app.config.slack.hears:
        from notifiers.channels.slack_chat import SlackChat

        chats.slack = SlackChat(slack, conversations(), clock=app.clock)
        if app.config.slack.app_token is not None:
            from notifiers.channels.slack_socket import SlackSocket

            chats.socket = SlackSocket(slack, chats.slack, app.config.slack.app_token, clock=app.clock)
    return chats


def _conversations(app: App, channels: Mapping[str, Channel], chats: Chats) -> Conversations:
    from notifiers.chat.conversations import Conversations

    return Conversations(
        app.database,
        app.delivery,
        Answering(app),
        chats.granted,
        clock=app.clock,
        owner=Owner(app.config.owner, app.clock, has_inbox="inbox" in channels),
        published=app.published,
        reader=Reader(app.config.language, app.config.zone),
    )


async def end_removed(config: Config, database: LedgerDatabase, clock: Clock) -> None:
    """End what the own chats of people are told who have no role by the configuration any more."""
    people = frozenset(config.chat.granted())
    before = frozenset(await database.read(lambda conn: list(conn.scalars(select(chat_granted.c.person)))))
    if people == before:
        return
    from notifiers.chat.leaving import Granted, sync_granted

    ways = ways_to(config.owner, has_inbox=True)
    await database.write(sync_granted, Granted(people=people, ways=ways, clock=clock))


class Asked(Struct, frozen=True):
    """A run that is asked for from a chat (`notifiers.chat.Order`)."""

    wish: NewRun
    running: Running

    @property
    def run(self) -> str:
        """The id it will have."""
        return self.wish.id

    def place(self, conn: Connection) -> None:
        """Write its row, as part of the caller's transaction."""
        request_runs(conn, [self.wish])

    def placed(self) -> None:
        """It may start."""
        self.running.claimed([self.wish])


class Answering:
    """What the daemon knows, for whoever asks from a chat (`notifiers.chat.Daemon`). No text of it holds a secret."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._jobs = {name: _topics(name, hooks) for name, hooks in app.hooks.items()}

    @property
    def jobs(self) -> Mapping[str, Collection[str]]:
        """Each job's name, and the topics on which its runs are told."""
        return self._jobs

    async def state(self) -> tuple[str, Sequence[str]]:
        """Whether everything is well, in a sentence, and what is not."""
        from sensord.web.overview import Overview

        seen = await Overview(self._app).look()
        return changed(seen["sentence"], redact), [changed(one["text"], redact) for one in seen["problems"]]

    async def runs(self, jobs: Collection[str], most: int) -> Sequence[dict[str, Any]]:
        """The newest runs of these jobs."""
        wanted = partial(list_runs, filters={"job": list(jobs)}, limit=most, after=None)
        page = await self._app.database.read(wanted)
        return [_without_secrets(run) for run in page["items"]]

    async def run(self, run: str) -> dict[str, Any] | None:
        """One run."""
        found = await self._app.database.read(partial(get_run, run=run))
        return None if found is None else _without_secrets(found)

    async def why(self, what: str) -> tuple[Sequence[str], str]:
        """The story of a run or an event."""
        from sensord.explain import explain

        told = await explain(self._app, what)
        lines = [_line(line["at"], changed(line["text"], redact)) for line in told["story"]]
        return lines, changed(told["verdict"], redact)

    async def chart(
        self, job: str, run: str | None, to: str, reading: Reading, *, least: int = 1
    ) -> Callable[[], None] | str | None:
        """What has a picture of a job's last runs sent, once it is called."""
        from sensord.pictures import Wanted, last_runs, missing

        points = await self._app.database.read(partial(last_runs, job=job, mark=run))
        if len(points) < least:
            return None
        if (why := missing()) is not None:
            return why
        reader = Reader(self._app.config.language, self._app.config.zone).but(*reading)
        return partial(self._app.pictures().ask, Wanted(job, run, to, reader))

    async def parameters(self, job: str) -> Sequence[Parameter]:
        """What a job's run is given."""
        return parameters_of(await self._schema(job))

    async def value(self, job: str, name: str, text: str) -> Any:
        """What a text says of one parameter."""
        return checked(await self._schema(job), name, text)

    async def _schema(self, job: str) -> Mapping[str, Any] | None:
        known = self._app.schemas.get(job)
        return None if known is None else await known.now()

    async def order(self, job: str, config: Mapping[str, Any]) -> Order | str:
        """A run of a job with these parameters."""
        known = self._app.config.jobs.get(job)
        if known is None:
            return phrase("There is no job {job} in the configuration.", job=job)
        if refused := await self._app.schemas[job].refusal(dict(config)):
            return phrase("The parameters do not go together: {why}", why=refused)
        asked = RunRequest(job_name=job, run_config=dict(config), tags=known.tags, priority=known.priority)
        return Asked(new_run(self._app.clock, asked, self._app.hooks[job]), self._app.running)

    async def repeat(self, run: str) -> Order | str:
        """A run that repeats one that has ended."""
        row = await self._app.database.read(partial(get_row, run=run))
        if row is None:
            return phrase("There is no run {run}.", run=run)
        wish = repeat_of(self._app.clock, row, self._app.hooks)
        return wish if isinstance(wish, str) else Asked(wish, self._app.running)

    async def log(self, run: str, most: int) -> bytes | None:
        """The last bytes of a run's newest attempt's output."""
        found = await self._app.database.read(partial(get_run, run=run))
        launcher = self._app.launchers.get(found["job"]) if found is not None else None
        if found is None or launcher is None:
            return None
        path = launcher.log(run, found["attempt"], datetime.fromisoformat(found["requested_at"]))
        if path is None:
            return None

        def read() -> bytes | None:
            try:
                return b"".join(read_log(path, tail_bytes=most))
            except FileNotFoundError:
                return None

        output = await to_thread.run_sync(read)
        return None if output is None else redact(output.decode(errors="replace")).encode()


def _line(at: str | None, text: str) -> str:
    """A line of a story, with the time of the day."""
    return text if at is None else joined(" ", [second(datetime.fromisoformat(at)), text])


def _topics(job: str, hooks: Hooks) -> tuple[str, ...]:
    """Where a job's runs and checks are told."""
    own = [f"runs.{job}.{what}" for what in SEVERITY] + [f"quality.{job}.{what}" for what in ("passed", "failed")]
    also = [topic for topic in (hooks.success, hooks.failure, hooks.quality) if topic is not None]
    return tuple(dict.fromkeys([*also, *own]))


def _without_secrets(run: dict[str, Any]) -> dict[str, Any]:
    texts = {name: redact(run[name]) for name in ("subject", "run_key", "error") if run[name] is not None}
    return {**run, **texts}
