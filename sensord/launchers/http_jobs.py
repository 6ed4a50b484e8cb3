"""The launchers of jobs that are requests."""

from __future__ import annotations

from pathlib import Path

from notifiers.clock import Clock
from sensord.elsewhere import Elsewhere
from sensord.elsewhere_notes import Notes
from sensord.launchers.http import HttpConfig
from sensord.launchers.http_secrets import Secrets
from sensord.launchers.http_side import Endpoint
from sensord.launchers.http_wire import Wires


class HttpJobs:
    """Makes the launchers of jobs that are requests."""

    def __init__(self, state: Path, clock: Clock, wires: Wires) -> None:
        self._state = state
        self._clock = clock
        self._wires = wires

    def launcher(self, job: str, config: HttpConfig, *, timeout: float | None) -> HttpLauncher:
        """The launcher of one job; `timeout` is seconds."""
        follow = config.http.follow
        secrets = Secrets(self._state) if follow is not None and follow.callback is not None else None
        side = Endpoint(job, config.http, self._wires.of(config.http), secrets)
        return HttpLauncher(side, Notes(self._state), self._clock, timeout, secrets)


class HttpLauncher(Elsewhere):
    """Runs one job elsewhere by requests; see `Elsewhere`."""

    def __init__(
        self, side: Endpoint, notes: Notes, clock: Clock, timeout: float | None, secrets: Secrets | None
    ) -> None:
        super().__init__(side, notes, clock, timeout=timeout)
        self._secrets = secrets

    def knows(self, token: str, secret: str) -> bool:
        """Whether this is the secret of that attempt, told in a time that says nothing of it."""
        return self._secrets is not None and self._secrets.matches(token, secret)
