"""The composition root: opens everything on one exit stack, starts everything in one task group."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup, TaskStatus

from notifiers.bus.embedded import EmbeddedBus
from notifiers.channels import Channel
from notifiers.channels.inbox import open_inbox
from notifiers.clock import SYSTEM, Clock, to_us
from notifiers.delivery import Delivery, open_delivery
from notifiers.quiet_hours import ConfiguredQuiet, sync_quiet
from notifiers.reading import Reader
from notifiers.reading.templates import NOTHING, read_own
from notifiers.since import parse_since
from notifiers.subscriptions import Configured, Wanted, sync_configured
from sensord import interpreter
from sensord.backfill_plans import Backfills
from sensord.backfilling import Backfilling
from sensord.chat import Chats, claiming, end_removed, open_chats
from sensord.checks import with_checks
from sensord.config import Config, JobConfig
from sensord.event_feed import EventFeed
from sensord.job_schemas import JobSchema, job_schemas
from sensord.launchers import Launcher
from sensord.launchers.command import open_commands
from sensord.launching import forget_ended, open_launchers
from sensord.ledger.database import LedgerDatabase, open_database
from sensord.progress import Watching
from sensord.retention import Kept, keep_bounded
from sensord.run_events import Hooks
from sensord.running import Job, Running
from sensord.sensing import Sensing
from sensord.sensors import open_source, rule_of
from sensord.slicing import sliced_job
from sensord.sources import Source
from sensord.tokens import Tokens

if TYPE_CHECKING:
    from sensord.pictures import Pictures

log = logging.getLogger(__name__)

_DRAIN_SECONDS = 5.0  # For the answers to messages that are out: without them each would be sent a second time.
_RESTART_SECONDS = (1.0, 60.0)  # Between two lives of a source that broke: from, and at most.


@dataclass(kw_only=True)
class App:
    """Everything that is open, and nothing that is not. Commands and the HTTP API work on this."""

    config: Config
    clock: Clock
    database: LedgerDatabase
    bus: EmbeddedBus
    running: Running
    delivery: Delivery
    feed: EventFeed
    backfills: Backfills
    backfilling: Backfilling
    hooks: Mapping[str, Hooks]
    launchers: Mapping[str, Launcher]
    schemas: Mapping[str, JobSchema]
    sensings: dict[str, Sensing] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    chats: Chats = field(default_factory=Chats)
    serving: bool = False  # True in the daemon, False where a command opened the database by itself.
    ready: bool = False
    tokens: Tokens = field(init=False)
    _pictures: Pictures | None = None
    _group: TaskGroup | None = None

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.database, self.clock)

    def pictures(self) -> Pictures:
        """Who draws; loaded when the first picture is asked for."""
        if self._pictures is None:
            from sensord.pictures import Pictures

            self._pictures = Pictures(self.database, self.delivery, self.clock, self.config.state)
            if self._group is not None:
                self._group.start_soon(self._pictures.run, name="pictures")
        return self._pictures

    def published(self) -> None:
        """There may be new events: whoever tells of them, or acts on them, looks."""
        self.delivery.wake()
        self.feed.ring()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Sense, run and tell until cancelled. Runs go on in their own processes afterwards."""
        self.serving = True
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(partial(self.delivery.run, drain=_DRAIN_SECONDS), name="delivery")
            await self.backfilling.open()
            await group.start(self.feed.run, name="event feed")
            await group.start(self.running.run, name="running")
            group.start_soon(self.backfilling.run, name="backfilling")
            for name, source in self.sources.items():
                group.start_soon(self._sense, name, source, name=f"sensor {name}")
            kept = Kept(**self.config.retention.model_dump())
            group.start_soon(keep_bounded, self.database, kept, self.config.state, self.clock, name="retention")
            group.start_soon(self._watching().run, name="progress")
            self.ready = True
            task_status.started()

    def _watching(self) -> Watching:
        return Watching(self.running, self.launchers, self.database, self.clock, self.published)

    async def _sense(self, name: str, source: Source) -> None:
        """Keep one source looking. One that breaks is said and started again: it harms no other sensor."""
        sensing = self.sensings[name]
        pause, longest = _RESTART_SECONDS
        while True:
            cursor = await sensing.open()
            try:
                await source.run(sensing, cursor)
            except Exception as error:
                log.exception("sensor.broke", extra={"sensor": name})
                await sensing.failed(f"it broke and is started again: {error!r}")
            await self.clock.sleep(pause)
            pause = min(pause * 2, longest)


@asynccontextmanager
async def open_app(config: Config, *, clock: Clock = SYSTEM) -> AsyncIterator[App]:
    """Open what the configuration names, in the order in which things need each other; close it in reverse.

    DatabaseInUse where a daemon runs already; SchemaError where its database is newer.
    """
    config.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(config.database))
        await database.write(sync_configured, _subscriptions(config, clock))
        await end_removed(config, database, clock)
        await database.write(sync_quiet, ConfiguredQuiet(hours=config.quiet, now=to_us(clock.now())))
        loaded = asyncio.get_running_loop().run_in_executor(None, _load_channels, config)
        commands = await stack.enter_async_context(open_commands(config.state, clock=clock))
        await loaded  # Meanwhile, a new supervisor came up beside it.
        channels = await _open_channels(config, database, clock, stack)
        delivery = await stack.enter_async_context(_delivery(config, database, channels, clock))
        hooks = {name: _hooks(config, job) for name, job in config.jobs.items()}
        launchers = await stack.enter_async_context(open_launchers(config, commands, clock=clock))
        await forget_ended(config, database)
        schemas = job_schemas(config, clock=clock)
        feed = EventFeed(database, clock)

        def published() -> None:
            app.published()

        checked = with_checks(config, launchers, hooks, database=database, clock=clock, published=published)
        jobs = {name: _job(config.jobs[name], checked[name], hooks[name], schemas[name]) for name in config.jobs}

        def ended(run: str, status: str) -> None:
            app.backfilling.ended(run, status)

        running = Running(
            jobs, concurrency=config.concurrency, database=database, clock=clock, published=published, ended=ended
        )
        sliced = {name: sliced_job(config, name, hooks[name], schemas[name].refusal, rule_of) for name in config.jobs}
        backfilling = Backfilling(
            sliced,
            database=database,
            clock=clock,
            claimed=running.claimed,
            cancel_run=running.cancel,
            published=published,
        )
        app = App(
            config=config,
            clock=clock,
            database=database,
            bus=EmbeddedBus(database),
            running=running,
            delivery=delivery,
            feed=feed,
            backfills=Backfills(sliced, database=database, clock=clock, added=backfilling.added),
            backfilling=backfilling,
            hooks=hooks,
            launchers=launchers,
            schemas=schemas,
        )
        for name, sensor in config.sensors.items():
            app.sensings[name] = Sensing(
                name,
                rule_of(config, sensor),
                database=database,
                hooks=hooks,
                clock=clock,
                claimed=running.claimed,
                published=published,
                keys=sensor.keys.rule,
            )
            app.sources[name] = await stack.enter_async_context(
                open_source(name, sensor, database=database, feed=feed, clock=clock)
            )
        app.chats = open_chats(app, channels)
        yield app


def _load_channels(config: Config) -> None:
    """Load SDKs of the configured channels: that takes as long as a supervisor needs to come up."""
    with interpreter.loading():
        if config.slack is not None:
            import_module("slack_sdk.web.async_client")
        if config.apprise:
            import_module("apprise")


async def _open_channels(
    config: Config, database: LedgerDatabase, clock: Clock, stack: AsyncExitStack
) -> dict[str, Channel]:
    """Every way out that is configured; the SDKs of the others are never loaded."""
    from notifiers.channels.console import open_console

    channels = {
        "inbox": await stack.enter_async_context(open_inbox(database, clock)),
        "console": await stack.enter_async_context(open_console(sys.stdout)),
    }
    if config.telegram is not None:
        from notifiers.channels.telegram import open_telegram

        channels["telegram"] = await stack.enter_async_context(open_telegram(config.telegram))
    if config.slack is not None:
        from notifiers.channels.slack import open_slack

        channels["slack"] = await stack.enter_async_context(open_slack(config.slack))
    if config.webhooks:
        from notifiers.channels.webhook import open_webhook

        channels["webhook"] = await stack.enter_async_context(open_webhook(config.webhooks))
    if config.apprise:
        from notifiers.channels.apprise import open_apprise

        channels["apprise"] = await stack.enter_async_context(open_apprise(config.apprise, clock=clock))
    return channels


def _delivery(
    config: Config, database: LedgerDatabase, channels: Mapping[str, Channel], clock: Clock
) -> AbstractAsyncContextManager[Delivery]:
    digested = ("telegram", "slack") if config.bursts == "digest" else ()
    sections = {"telegram": config.telegram, "slack": config.slack}
    living = [name for name, section in sections.items() if section is not None and section.edits]
    return open_delivery(
        database,
        channels,
        clock=clock,
        owner=config.owner,
        digested=digested,
        living=living,
        claiming=claiming(config, clock),
        own=NOTHING if config.templates is None else read_own(config.templates),
        reader=Reader(config.language, config.zone),
        environment=config.environment,
    )


def _hooks(config: Config, job: JobConfig) -> Hooks:
    return Hooks(**job.hooks.model_dump(), mask=(*config.mask, *job.mask))


def _job(job: JobConfig, launcher: Launcher, hooks: Hooks, schema: JobSchema) -> Job:
    return Job(
        launcher=launcher,
        hooks=hooks,
        attempts=job.retry.attempts,
        backoff=job.retry.backoff,
        max_backoff=job.retry.max_backoff,
        concurrency=job.concurrency,
        check_config=schema.at_launch,
        complete_config=schema.completed,
    )


def _subscriptions(config: Config, clock: Clock) -> Configured:
    at = to_us(clock.now())
    wanted = [
        Wanted(
            id=clock.new_id(),
            topic=one.topic,
            destination=one.to,
            at=at,
            where=one.where,
            since=None if one.since is None else parse_since(one.since, clock.now()),
            options=one.options,
        )
        for one in config.subscriptions
    ]
    return Configured(wanted=tuple(wanted), at=at)
