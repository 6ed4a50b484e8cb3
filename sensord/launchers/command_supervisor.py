"""The supervisor: a small process that starts commands, outlives the daemon, and remembers how each one ended.

Run as a file, `python -I -S -E command_supervisor.py STATE LINGER`, so that it starts quickly, survives an upgrade of
the package and carries none of its memory. It imports the standard library and the files beside it that do the same.
One runs for each state folder (flock on supervisor.lock); it listens on supervisor.sock there, and ends by itself
LINGER seconds after no daemon is attached and nothing runs. Exit status: 0 it listens, 75 another one does.

Lines of JSON go both ways. In: `hello` (version, env), `start`, `cancel`, `forget`, `replace`. Out: `hello` (version,
pid, damaged, runs), `run` (what is known of one attempt), `refused`. The order is what keeps the promises: START is
written and synced before the process is made, one batch at a time; while that is on its way to the disk, the batch
before it is made into processes. `hello` and `replace` never change, so that any two versions understand each other
that far.
"""

# Paths are below an open folder, which pathlib cannot be given; and pathlib is slow to import.
# ruff: noqa: PTH100, PTH120

from __future__ import annotations

import errno
import fcntl
import math
import os
import resource
import select
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensord.launchers import command_process as system
    from sensord.launchers.command_daemons import Daemon, Daemons
    from sensord.launchers.command_following import Following
    from sensord.launchers.command_journal import FULL, Journal, Record
    from sensord.launchers.command_syncing import Syncing
    from sensord.launchers.command_warm import Warm
else:  # Behind the standard library, so that no neighbour's name can hide one of its modules.
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import command_process as system
    from command_daemons import Daemon, Daemons
    from command_following import Following
    from command_journal import FULL, Journal, Record
    from command_syncing import Syncing
    from command_warm import Warm

VERSION = 1
BUSY = 75
_SYNC = 0.02
LOCK, ERRORS = "supervisor.lock", "supervisor.log"


class Start:
    """What is about to be started: its record, how, and its open log."""

    def __init__(self, daemon: Daemon, ask: dict[str, Any], record: Record, log: int) -> None:
        self.daemon = daemon
        self.ask = ask
        self.record = record
        self.log = log


class Supervisor:
    """One turn after another: what happened is written down, made durable, acted upon, told."""

    def __init__(self, folder: int, linger: float) -> None:
        self._folder = folder
        self._linger = linger
        self._boot = system.boot_id()
        self._poll = select.epoll()
        self._journal = Journal(folder, self._boot)
        self._following = Following(folder, self._journal, self._poll, self._boot)
        self._daemons = Daemons(folder, self._poll)
        self._syncing = Syncing(self._journal, self._poll)
        self._warm = Warm(self._poll)
        self._warm_in = math.inf  # Seconds until a spare process is to be started.
        self._batch: list[Start] = []  # What is to be started when the sync under way has ended …
        self._ready: deque[Start] = deque()  # … and what is to be started now.
        self._asks: list[tuple[Daemon, dict[str, Any]]] = []
        self._cancels: list[str] = []
        self._successor: list[str] | None = None
        self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100  # One pidfd a run, and some to spare.
        self._idle_at = time.monotonic()
        self._sync_at = math.inf

    def serve(self) -> None:
        """Return when nobody is attached and nothing has run for a while."""
        while self._daemons or self._following or self._pending or time.monotonic() < self._idle_at + self._linger:
            self._turn(self._poll.poll(self._patience()))
        self._journal.sync()

    @property
    def _pending(self) -> bool:
        """Whether something is on its way to being started."""
        return self._syncing.busy or bool(self._ready)

    def _patience(self) -> float:
        if self._ready:
            return 0
        if self._daemons or self._following:
            self._idle_at = time.monotonic()
            sync_at = math.inf if self._syncing.busy else self._sync_at  # Its end wakes us as well.
            patience = min(self._following.patience(), max(sync_at - time.monotonic(), 0), self._warm_in)
            return -1 if patience == math.inf else patience
        return max(self._idle_at + self._linger - time.monotonic(), 0)

    def _turn(self, events: list[tuple[int, int]]) -> None:
        for fd, _ in events:
            if fd in self._daemons:
                for daemon, message in self._daemons.hear(fd):
                    self._take(daemon, message)
            elif fd in self._following:
                self._following.ended(fd)
            elif fd in self._warm:
                self._warm.died(fd)
            elif fd == self._syncing.fd:
                self._syncing.take()
                self._ready += self._batch
                self._batch = []
        self._following.tick()
        self._tell_ended(self._following.settle())
        self._sync()
        if self._ready:  # One at a time: what ends meanwhile is told, and its place taken, without waiting for all.
            self._start(self._ready.popleft())
        self._cancel()
        self._greet()
        self._daemons.send()
        if self._pending:
            self._warm_in = math.inf
            return
        self._warm_in = self._warm.fill(self._daemons.connected())
        if self._successor is not None:
            self._warm.end_all()  # The same process goes on with other code: its children stay its own.
            os.execv(self._successor[0], self._successor)  # noqa: S606
        self._journal.tidy()

    def _cancel(self) -> None:
        """End what is to be cancelled; what is still on its way to the disk, once it is started."""
        waiting = {start.record.token for start in (*self._batch, *self._ready)}
        waiting.update(ask["token"] for _, ask in self._asks)
        cancels, self._cancels = self._cancels, []
        for token in cancels:
            if token in waiting:
                self._cancels.append(token)
            else:
                self._following.cancel(token)

    def _sync(self) -> None:
        """Write the next batch of starts and have it synced; then it is ready to be made into processes.

        One batch at a time: what a loss of power tears is then the last one, of which nothing has been acted upon.
        """
        if self._syncing.busy:
            return
        starts = self._prepare()
        if starts and not self._following:
            self._journal.sync()  # Nothing else to do meanwhile: another thread would only cost time.
            self._ready += starts
            self._sync_at = math.inf
        elif starts or time.monotonic() >= self._sync_at:
            self._batch, self._sync_at = starts, math.inf
            self._syncing.begin()

    def _tell_ended(self, finished: list[Record]) -> None:
        """Told before it is synced: the record outlives us all the same, and after a power cut the boot tells.

        The disk has it `_SYNC` seconds later at most, or with the next start.
        """
        if finished:
            for record in finished:
                self._daemons.tell(_known(record))
            self._daemons.send()
            self._sync_at = min(self._sync_at, time.monotonic() + _SYNC)

    def _take(self, daemon: Daemon, message: dict[str, Any]) -> None:
        match message["op"]:
            case "start":
                self._asks.append((daemon, message))
            case "cancel":
                self._cancels.append(message["token"])
            case "forget":
                for token in message["tokens"]:
                    record = self._journal.records.get(token)
                    if record is not None and record.ended is not None:
                        self._journal.forget(record)
            case "hello":
                daemon.env, daemon.asked = message["env"], True
            case "warm":
                daemon.pools = message["pools"]
            case "replace":
                self._successor = message["argv"]

    def _prepare(self) -> list[Start]:
        """Make the files of what should start, and write START. What has no room is refused and stays unknown."""
        asks, self._asks = self._asks, []
        starts: dict[str, Start] = {}
        for daemon, ask in asks:
            token = ask["token"]
            known = self._journal.records.get(token)
            if known is not None:
                self._daemons.tell(_known(known))
            elif token in starts:
                continue
            elif len(self._following) + len(starts) >= self._most:
                _refuse(daemon, token, "as many runs are going on as the limit of open files allows")
            else:
                due = None if ask["timeout"] is None else time.monotonic() + ask["timeout"]
                fields = {name: ask[name] for name in ("token", "day", "grace", "limit")}
                record = Record(fields | {"boot": self._boot, "batch": 0, "due": due})
                try:
                    starts[token] = Start(
                        daemon, ask, record, system.make_files(self._folder, record.path, ask["config"])
                    )
                except OSError as error:
                    _refuse(daemon, token, _reason(error))
        return self._begin(list(starts.values()))

    def _begin(self, starts: list[Start]) -> list[Start]:
        try:
            if starts:
                self._journal.begin([start.record for start in starts])
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            for start in starts:
                os.close(start.log)
                _refuse(start.daemon, start.record.token, _reason(error))
            return []
        return starts

    def _start(self, start: Start) -> None:
        """Make the process, or write down why there is none."""
        record, ask = start.record, start.ask
        try:
            self._journal.starting(record)
        except OSError as error:
            if error.errno not in FULL:
                raise
            os.close(start.log)  # Without its mark it was not acted upon: it is forgotten, and asked for again.
            self._journal.forget(record)
            _refuse(start.daemon, record.token, _reason(error))
            return
        try:
            if not self._give(start):
                pid, since = system.spawn(ask["argv"], start.daemon.env | ask["env"], ask["cwd"], start.log)
                self._write_down(record, pid, since)
                self._following.follow(record, pid, os.pidfd_open(pid))
        except system.NotStartedError as error:
            record.started = None
            record.end("refused", None, str(error))
            self._journal.ended(record)
        finally:
            os.close(start.log)
        self._daemons.tell(_known(record))

    def _give(self, start: Start) -> bool:
        """Let a process that waits be the run, if there is one. Its pid is written down before it knows."""
        spare = self._warm.take(start.daemon, start.ask.get("warm"))
        if spare is None:
            return False
        self._write_down(start.record, spare.pid, spare.since)
        if not spare.hand_over(start.ask["env"], start.log):
            spare.bury()
            return False
        self._following.follow(start.record, spare.pid, spare.pidfd)
        return True

    def _write_down(self, record: Record, pid: int, since: list[int]) -> None:
        record.pid, record.since, record.started = pid, since, time.time_ns() // 1000
        self._journal.started(record)

    def _greet(self) -> None:
        """Answer greetings with everything that is known."""
        for daemon in self._daemons.asking():
            runs = [_known(record) for record in self._journal.records.values()]
            about = {"version": VERSION, "pid": os.getpid(), "damaged": self._journal.damaged}
            daemon.say({"op": "hello", **about, "runs": runs})


def _known(record: Record) -> dict[str, Any]:
    names = ("token", "started", "ended", "code", "why", "text")
    return {"op": "run"} | {name: getattr(record, name) for name in names}


def _refuse(daemon: Daemon, token: str, reason: str) -> None:
    daemon.say({"op": "refused", "token": token, "text": reason})


def _reason(error: OSError) -> str:
    return "disk full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else (error.strerror or str(error))


def _detach() -> int:
    """Leave the parent, which ends with status 0 once a byte comes through the pipe that this returns."""
    read, write = os.pipe()
    if pid := os.fork():
        os.close(write)
        status = 0 if os.read(read, 1) else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os._exit(abs(status))
    os.close(read)
    os.setsid()
    return write


def main() -> int:
    """Become the supervisor of a state folder, unless there is one."""
    state, linger, *replaces = sys.argv[1:]
    ready = None if replaces else _detach()
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    system.prepare()  # It ends when its work does; if it ended sooner, its jobs' exit codes would be lost.
    try:
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=folder)
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if replaces else fcntl.LOCK_NB))
        supervisor = Supervisor(folder, float(linger))
        errors = os.open(ERRORS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except BlockingIOError:
        return BUSY
    except OSError as error:
        sys.stderr.write(f"{_reason(error)}: {error}\n")
        return 1
    os.chdir("/")
    for standard in (1, 2):
        os.dup2(errors, standard)
    if ready is not None:
        os.write(ready, b"+")
        os.close(ready)
    supervisor.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
