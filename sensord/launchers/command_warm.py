"""Processes that are started before they are needed: each waits for one run, becomes it, and ends with it.

This file belongs to the supervisor process: it imports the standard library and the files beside it.

A spare holds one end of a socket (its descriptor 3) and has no output yet. What it is given, in one message, is
`{"env": {…}}` and the run's log. It leads a session of its own and is a child of the supervisor from the first, so
nothing of what is known of runs changes. When nobody wants it any more its socket is closed, and it ends by itself.
"""

# pathlib is slow to import.

from __future__ import annotations

import json
import math
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensord.launchers import command_process as system
    from sensord.launchers.command_daemons import Daemon
else:
    import command_process as system

_SLOWEST = 60.0  # Seconds between two spares of a pool whose spares die while they wait.
_LEAST = 0.5


class Spare:
    """A process that waits for its run."""

    def __init__(self, daemon: Daemon, name: str, pid: int, since: list[int], link: socket.socket) -> None:
        self.daemon = daemon
        self.name = name
        self.pid = pid
        self.since = since
        self.link = link
        self.pidfd = os.pidfd_open(pid)

    def hand_over(self, env: dict[str, str], log: int) -> bool:
        """Let it be the run. False: it cannot be told."""
        try:
            socket.send_fds(self.link, [json.dumps({"env": env}).encode()], [log])
        except OSError:
            return False
        finally:
            self.link.close()
        return True

    def bury(self) -> None:
        """It was told nothing, and never will be."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)


class Warm:
    """All spares. A daemon's are as many as it asked for, while it is connected."""

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self._spares: dict[int, Spare] = {}
        self._deaths: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def __contains__(self, pidfd: int) -> bool:
        return pidfd in self._spares

    def take(self, daemon: Daemon, name: Any) -> Spare | None:
        """The spare that has waited longest, no longer ours to bury."""
        for spare in self._spares.values():
            if spare.daemon is daemon and spare.name == name and not system.has_ended(spare.pidfd):
                self._poll.unregister(spare.pidfd)
                del self._spares[spare.pidfd]
                self._deaths.pop(name, None)
                self._not_before.pop(name, None)
                return spare
        return None

    def died(self, pidfd: int) -> None:
        """A spare has ended by itself, or because nobody wants it."""
        spare = self._spares.pop(pidfd)
        self._poll.unregister(pidfd)
        os.waitpid(spare.pid, 0)
        os.close(pidfd)
        if spare.link.fileno() >= 0:
            spare.link.close()
            deaths = self._deaths[spare.name] = self._deaths.get(spare.name, 0) + 1
            self._not_before[spare.name] = time.monotonic() + min(_LEAST * 2**deaths, _SLOWEST)

    def fill(self, daemons: list[Daemon]) -> float:
        """Start one spare that is missing, let go of those that nobody wants; seconds until there is more to do."""
        for spare in list(self._spares.values()):
            if spare.link.fileno() >= 0 and (spare.daemon not in daemons or spare.name not in spare.daemon.pools):
                spare.link.close()
        patience = math.inf
        for daemon in daemons:
            for name, pool in daemon.pools.items():
                if self._missing(daemon, name, pool["count"]):
                    patience = min(patience, max(self._not_before.get(name, 0) - time.monotonic(), 0))
                    if patience == 0:
                        self._start(daemon, name, pool)
                        return 0
        return patience

    def end_all(self) -> None:
        """End them now, for who comes after us does not know them."""
        for spare in list(self._spares.values()):
            self._poll.unregister(spare.pidfd)
            spare.link.close()
            spare.bury()
        self._spares.clear()

    def _missing(self, daemon: Daemon, name: str, count: int) -> bool:
        return count > sum(one.daemon is daemon and one.name == name for one in self._spares.values())

    def _start(self, daemon: Daemon, name: str, pool: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            pid, since = system.spawn(pool["argv"], daemon.env | pool["env"], pool["cwd"], None, theirs.fileno())
        except (system.NotStartedError, OSError) as error:
            ours.close()
            self._not_before[name] = time.monotonic() + _SLOWEST  # A run will say what is wrong, started cold.
            sys.stderr.write(f"no spare process for {name}: {error}\n")
        else:
            spare = Spare(daemon, name, pid, since, ours)
            self._spares[spare.pidfd] = spare
            self._poll.register(spare.pidfd, select.EPOLLIN)
        finally:
            theirs.close()
