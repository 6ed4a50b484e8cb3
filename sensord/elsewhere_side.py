"""What a launcher of attempts that run elsewhere adds: how the other side is asked, and what it may answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from rules.event import rfc3339
from rules.request import PARTITION_END, PARTITION_START
from sensord.launchers import Ending, Run

LONGEST_WAIT = 3600.0


class RefusedError(Exception):
    """The other side will never start this: nothing was started."""


class AwayError(Exception):
    """The other side cannot answer now, and surely did nothing; `retry_after` is how many seconds it asks for."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = min(retry_after, LONGEST_WAIT)


class UnansweredError(Exception):
    """A request may have arrived, and nobody knows what came of it."""


class UnknownAttemptError(Exception):
    """The other side says that there is no such attempt."""


class Begun(Struct, frozen=True, kw_only=True):
    """The other side has it: what it said of it (JSON, given back to every later question), and a page about it."""

    said: Any
    link: str = ""


class Look(Struct, frozen=True, kw_only=True):
    """How an attempt is doing."""

    status: Literal["queued", "running"] | Ending
    error: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Side(Protocol):
    """How the other side is asked. Every method may raise AwayError."""

    name: str  # For a person: "Dagster at http://…".
    every: float  # Seconds between two looks, at most.
    repeatable: bool  # To ask for the same token again starts nothing.
    finds: bool
    within: float  # Seconds for which an attempt whose answer was lost is looked for …
    absent: Literal["lost", "start"]  # … and what becomes of it then.
    looks: bool  # False: it tells of the end by itself.
    unknown_for: float  # Seconds for which it has to say that there is no such attempt, until that is believed.

    async def reach(self) -> None:
        """Returns where somebody listens there. Asks for nothing."""
        ...

    async def start(self, run: Run) -> Begun:
        """Ask for the attempt. RefusedError, UnansweredError."""
        ...

    async def find(self, run: Run, asked_at: datetime) -> Begun | None:
        """The attempt of this token that was asked for at that time or later, if the other side has it."""
        ...

    async def look(self, run: Run, said: Any) -> Look:
        """How it is doing. UnknownAttemptError."""
        ...

    async def stop(self, run: Run, said: Any) -> bool:
        """Ask for its end. False: there is no way to."""
        ...


def words_of(run: Run) -> dict[str, Any]:
    """An attempt as templates see it."""
    partition = None
    if run.partition_key is not None:
        window = {"start": PARTITION_START, "end": PARTITION_END}
        partition = {"key": run.partition_key} | {
            name: run.tags[tag] for name, tag in window.items() if tag in run.tags
        }
    return {
        "id": run.id,
        "job": run.job,
        "key": run.run_key,
        "attempt": run.attempt,
        "token": run.token,
        "config": dict(run.run_config),
        "tags": dict(run.tags),
        "sensor": run.sensor,
        "requested_at": rfc3339(run.requested_at),
        "partition_key": run.partition_key,
        "partition": partition,
    }
