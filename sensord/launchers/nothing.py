"""What stands in for every launcher where an environment launches nothing: runs succeed at once, and say so."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from notifiers.clock import Clock
from sensord.launchers import Outcome, Run, Started


class NotLaunching:
    """Starts nothing; see `Launcher` for what its methods promise."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def launch(self, _run: Run, started: Started) -> Outcome:
        """Succeeded, with the metadata that it was not launched."""
        now = self._clock.now()
        started(now)
        return Outcome(status="succeeded", started_at=now, ended_at=now, metadata={"launched": False})

    async def adopt(self, _run: Run, _started: Started) -> Outcome | None:
        """Nothing was ever started."""
        return None

    async def cancel(self, _run: Run) -> None:
        """There is nothing to end."""

    async def forget(self, _run: Run) -> None:
        """There is nothing to forget."""

    def log(self, _run_id: str, _attempt: int, _requested_at: datetime) -> Path | None:
        """There is no output."""
        return None
