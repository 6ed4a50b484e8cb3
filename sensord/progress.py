"""How far running jobs say they are: read from the ends of their reports, told where it is news."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from notifiers.clock import Clock, to_us
from notifiers.database import Database
from rules.event import Event
from rules.living import EDIT_GAP_US, Progress, Told, worth_telling
from sensord.launchers import Launcher, Reporting
from sensord.launchers.command_report import last_progress, report_size
from sensord.ledger.progress import Reported, publish_progress
from sensord.run_events import Hooks, run_event
from sensord.running import Running
from sensord.work import Work

log = logging.getLogger(__name__)

LOOK_S = EDIT_GAP_US / 1e6
"""Between two looks: nothing is shown more often."""


class Watching:
    """Looks at the reports of what runs. What was told is in memory only: after a restart it is told once more."""

    def __init__(
        self,
        running: Running,
        launchers: Mapping[str, Launcher],
        database: Database,
        clock: Clock,
        published: Callable[[], None],
    ) -> None:
        self._running = running
        self._launchers = launchers
        self._database = database
        self._clock = clock
        self._published = published
        self._sizes: dict[str, int] = {}
        self._told: dict[str, Told] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """One look at everything that runs; what did not report since the last one costs a stat."""
        works = self._running.under_way()
        tokens = {work.run.token for work in works}
        self._sizes = {token: size for token, size in self._sizes.items() if token in tokens}
        self._told = {token: told for token, told in self._told.items() if token in tokens}
        found = [reported for work in works if (reported := self._news(work)) is not None]
        if found and any(await self._database.write_many(publish_progress, found)):
            self._published()

    def _news(self, work: Work) -> Reported | None:
        launcher, token = self._launchers.get(work.run.job), work.run.token
        if not isinstance(launcher, Reporting):
            return None
        path = launcher.report(work.run)
        size = report_size(path)
        if size == self._sizes.get(token, 0):
            return None
        progress = last_progress(path)
        now = to_us(self._clock.now())
        told = self._told.get(token)
        if progress is None or not worth_telling(progress, told, now):
            # It may be worth it later, so its size is not remembered.
            if progress is None or (told is not None and progress == told.progress):
                self._sizes[token] = size
            return None
        self._sizes[token] = size
        self._told[token] = Told(progress=progress, at=now, times=1 if told is None else told.times + 1)
        return Reported(work.run.id, work.run.attempt, self._event(work, progress))

    def _event(self, work: Work, progress: Progress) -> Event:
        share = "" if progress.share is None else f", {progress.share:.0%}"
        words = f"{work.run.job} running{share}" + (f": {progress.text}" if progress.text else "")
        said = progress.to_json()
        return run_event(
            self._clock, work.about, "progress", hooks=Hooks(), attempt=work.run.attempt, message=words, **said
        )
