"""The processes that the supervisor follows: their deadlines, their logs' sizes, and their way out.

This file belongs to the supervisor process: it imports the standard library and the two files beside it.
"""

from __future__ import annotations

import errno
import math
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sensord.launchers import command_process as system
    from sensord.launchers.command_journal import FULL, Journal, Record
else:
    import command_process as system
    from command_journal import FULL, Journal, Record

LOST = "the supervisor was killed; the exit code is unknown"
RESTARTED = "the machine restarted while it ran"
_CHECK = 1.0  # Seconds between looks at the logs' sizes.
_SOON = 0.05  # Seconds between looks at what is on its way out.
_ZOMBIE = 5.0  # Seconds that another parent's zombie may take to tell its exit code.


class Run:
    """An attempt whose process exists, and how far it is on its way out."""

    def __init__(self, record: Record, pid: int, pidfd: int) -> None:
        self.record = record
        self.pid = pid
        self.pidfd = pidfd
        self.ending = ""  # Why it is being ended: timeout, cancelled.
        self.kill_at = math.inf
        self.over_at: float | None = None  # When its first process ended.
        self.settled = False
        self.code: int | None = None
        self.cuttable = True

    def alarm(self) -> float:
        """When it wants to be looked at next."""
        if self.settled:
            return math.inf
        if self.over_at is not None:
            return time.monotonic() + _SOON
        return self.kill_at if self.ending or self.record.due is None else self.record.due


class Following:
    """Every attempt that runs. `settle` writes down what ended; whoever calls it syncs the journal, then tells."""

    def __init__(self, folder: int, journal: Journal, poll: select.epoll, boot: str) -> None:
        self._folder = folder
        self._journal = journal
        self._poll = poll
        self._runs: dict[str, Run] = {}
        self._by_pidfd: dict[int, Run] = {}
        self._over: list[Run] = []
        self._alarm = math.inf
        self._check_at = 0.0
        for record in journal.records.values():
            if record.ended is None:
                self._recover(record, boot)
        journal.sync()

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, pidfd: int) -> bool:
        return pidfd in self._by_pidfd

    def patience(self) -> float:
        """Seconds until `tick` is due."""
        return max(self._alarm - time.monotonic(), 0)

    def follow(self, record: Record, pid: int, pidfd: int) -> None:
        """Follow this process to its end."""
        run = Run(record, pid, pidfd)
        self._runs[record.token] = self._by_pidfd[pidfd] = run
        self._poll.register(pidfd, select.EPOLLIN)
        self._wake_by(min(run.alarm(), max(self._check_at, time.monotonic() + _SOON)))

    def cancel(self, token: str) -> None:
        """End it, if it runs."""
        if token in self._runs:
            self._end(self._runs[token], "cancelled")

    def ended(self, pidfd: int) -> None:
        """The process of this pidfd has ended."""
        run = self._by_pidfd[pidfd]
        self._poll.unregister(pidfd)
        run.over_at = time.monotonic()
        self._leave(run)

    def tick(self) -> None:
        """Deadlines, and once a second the logs' sizes."""
        now = time.monotonic()
        if now < self._alarm:
            return
        look = now >= self._check_at
        if look:
            self._check_at = now + _CHECK
        self._alarm = self._check_at if self._runs else math.inf
        for run in self._runs.values():
            if run.over_at is not None:
                self._leave(run)
            elif run.ending and now >= run.kill_at:
                self._kill(run)
            elif not run.ending and run.record.due is not None and now >= run.record.due:
                self._end(run, "timeout")
            if look:
                self._cut(run)
            self._wake_by(run.alarm())

    def settle(self) -> list[Record]:
        """Write EXIT of what is over. A disk that refuses even that (copy on write, full) is asked again later."""
        over, self._over = self._over, []
        finished = []
        for run in over:
            record = run.record
            lost = run.code is None and not run.ending
            record.end(run.ending or ("lost" if lost else ""), run.code, LOST if lost else "")
            try:
                self._journal.ended(record)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                record.ended, run.settled = None, False
                continue
            self._cut(run)
            del self._runs[record.token], self._by_pidfd[run.pidfd]
            os.close(run.pidfd)
            finished.append(record)
        return finished

    def _wake_by(self, moment: float) -> None:
        self._alarm = min(self._alarm, moment)

    def _end(self, run: Run, why: str) -> None:
        """Ask the whole group to end; what has ended by itself meanwhile keeps its own ending."""
        if run.ending or system.has_ended(run.pidfd):
            return
        run.ending, run.kill_at = why, time.monotonic() + run.record.grace
        for number in (signal.SIGTERM, signal.SIGCONT):
            system.signal_group(run.pid, number)
        self._wake_by(run.kill_at)

    def _kill(self, run: Run) -> None:
        run.kill_at = math.inf
        system.signal_group(run.pid, signal.SIGKILL)

    def _leave(self, run: Run) -> None:
        """Its first process ended. It is over when its exit code is known; if it was ended, when its group is gone.

        Until then our child stays a zombie, so that the number of the group cannot become another's.
        """
        if run.settled:
            return
        now = time.monotonic()
        if run.ending and run.kill_at < math.inf and system.group_lives(run.pid):
            if now < run.kill_at:
                self._wake_by(now + _SOON)
                return
            self._kill(run)
        run.code = system.exit_code(run.pid, run.record.since, run.pidfd)
        waited = now - (run.over_at or now)
        if run.code is None and waited < _ZOMBIE and system.is_process(run.pid, run.record.since):
            self._wake_by(now + _SOON)
            return
        run.settled = True
        self._over.append(run)

    def _cut(self, run: Run) -> None:
        """Keep the log's middle out of the disk once it passes its limit."""
        limit = run.record.limit
        try:
            used = os.stat(f"{run.record.path}.log", dir_fd=self._folder).st_blocks * 512
            if run.cuttable and used > limit + 2 * system.PAGE:
                system.cut(self._folder, f"{run.record.path}.log", limit)
        except OSError as error:
            run.cuttable = False
            if error.errno != errno.ENOENT:
                system.append(
                    self._folder, f"{run.record.path}.log", f"[sensord cannot cut this log: {error.strerror}]\n"
                )

    def _recover(self, record: Record, boot: str) -> None:
        """Follow what still runs of what an earlier supervisor started; the rest is lost."""
        if record.boot != boot:
            found = None
        elif record.pid is None:
            found = self._search(record)
        else:
            found = system.open_process(record.pid, record.since)
        if found is None or record.pid is None:
            record.end("lost", None, LOST if record.boot == boot else RESTARTED)
            self._journal.ended(record)
        else:
            sys.stderr.write(f"goes on with {record.token}, process {record.pid}\n")
            self.follow(record, record.pid, found)

    def _search(self, record: Record) -> int | None:
        """The supervisor was killed between making the process and writing its pid down."""
        run_id, _, attempt = record.token.partition(".")
        found = system.find(run_id, attempt)
        if found is None:
            return None
        record.pid, record.since = found
        record.started = system.started_at(record.since[0])
        self._journal.started(record)
        return system.open_process(record.pid, record.since)
