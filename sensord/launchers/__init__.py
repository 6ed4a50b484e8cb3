"""A launcher starts a run somewhere and follows it to its end. One file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct, field
from msgspec.structs import replace

from rules.quality import CheckResult, failing, why_failed

Ending = Literal["succeeded", "failed", "cancelled", "lost"]


class Run(Struct, frozen=True, kw_only=True):
    """One attempt of a run, as a launcher needs it. `token` names this attempt and no other, for ever."""

    id: str
    job: str
    attempt: int
    run_key: str | None
    run_config: Mapping[str, Any]
    tags: Mapping[str, str]
    sensor: str | None
    partition_key: str | None
    requested_at: datetime

    @property
    def token(self) -> str:
        """What names this attempt and no other."""
        return f"{self.id}.{self.attempt}"


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt ended. Unknown is `lost`, never `succeeded`. `error` is one line for a person.

    `final`: another attempt would come to the same, so there is none. `blocked_by` is the check because of which
    nothing may follow the run.
    """

    status: Ending
    ended_at: datetime
    started_at: datetime | None = None
    error: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    quality: Sequence[CheckResult] = ()
    final: bool = False
    blocked_by: str = ""


def judged(outcome: Outcome, worst: CheckResult | None = None) -> Outcome:
    """The outcome with what its checks, or the worst one that was known before, make of it: twice is as good as once.

    A run that succeeded has failed where a check of severity `error` or `block` did.
    """
    bad = failing([*outcome.quality, *([] if worst is None else [worst])])
    if bad is None:
        return outcome
    blocked_by = bad.check if bad.severity == "block" else outcome.blocked_by
    if outcome.status != "succeeded":
        return replace(outcome, blocked_by=blocked_by)
    return replace(outcome, status="failed", error=f"quality {why_failed(bad)}", blocked_by=blocked_by)


class LaunchDelayed(Exception):
    """The attempt could not be started for now (a full disk), and was not: it stays queued."""


Started = Callable[[datetime], None]


class Launcher(Protocol):
    """Starts attempts, and finds them again after a restart."""

    async def launch(self, run: Run, started: Started) -> Outcome:
        """Start this attempt and return when it ended. Called at most once per token by a living daemon.

        `started` is called once, with the time, when the job's process (or its like) exists. A launch that
        cannot be made is an outcome `failed` with the reason, not an exception. Raises LaunchDelayed alone, when
        nothing was started and the same token may be launched again later. Cancelling this call (daemon stopping)
        leaves the attempt running.
        """
        ...

    async def adopt(self, run: Run, started: Started) -> Outcome | None:
        """After a restart: follow an attempt that may have been started.

        None: it never was, so the same token may be launched.
        """
        ...

    async def cancel(self, run: Run) -> None:
        """Ask an attempt to end whose `launch` or `adopt` was called; that then returns `cancelled`, if it still can.

        Of one for which neither was nothing need be remembered.
        """
        ...

    async def forget(self, run: Run) -> None:
        """The outcome is committed: whatever was kept to prove it may go."""
        ...

    def log(self, run_id: str, attempt: int, requested_at: datetime) -> Path | None:
        """The file that holds the attempt's output, where there is one."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """A launcher whose attempts report to a file while they run."""

    def report(self, run: Run) -> Path:
        """The file to which the attempt appends JSON lines, whether or not it is there yet."""
        ...
