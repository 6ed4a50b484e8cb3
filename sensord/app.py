"""The composition root: opens everything on one exit stack, starts everything in one task group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from notifiers.bus.embedded import EmbeddedBus
from notifiers.channels import Channel
from notifiers.clock import SYSTEM, Clock
from notifiers.delivery import Delivery, open_delivery
from rules.triggers import Rule, compile_rule
from sensord.config import Config, JobConfig, SensorConfig
from sensord.ledger.database import LedgerDatabase, open_database
from sensord.running import Job, Running
from sensord.run_events import Hooks
from sensord.sensing import Sensing
from sensord.sources import Source


@dataclass(kw_only=True)
class App:
    """Everything that is open, and nothing that is not. Commands and the HTTP API work on this."""

    config: Config
    clock: Clock
    database: LedgerDatabase
    bus: EmbeddedBus
    running: Running
    delivery: Delivery
    hooks: Mapping[str, Hooks]
    sensings: dict[str, Sensing] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    serving: bool = False  # True in the daemon, False where a command opened the database by itself.
    ready: bool = False
