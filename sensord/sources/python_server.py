"""The parent of the sensors' processes: a small program that forks one for each, buries it, and weighs them all.

The daemon asks by messages over a socket, and hears of each process that it began and that it ended:
    {"op": "start", "id": 7, "sensor": {…}}  with the process's own socket   →  {"id": 7, "pid": 4711}
    {"op": "end", "id": 7}                                                  →  {"id": 7, "code": -9, "why": "…"}
When the daemon is gone, however it went, so is the socket, and everything here ends. A process forked from here costs
neither an interpreter's start nor its memory; nothing of people's own is loaded here, so nothing of theirs is shared.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import time
from typing import Any, NoReturn

from msgspec import Struct

from sensord.sources import python_child

_LONGEST = 1 << 18
_WEIGHED_EVERY = 1.0  # Seconds. What grows faster than four times its limit in one is refused the memory itself.
_BUSY, _BUSY_IN_A_ROW = 0.1, 5  # This share of a core, so often in a row, makes it the last in line.
_GONE_WITHIN = 1.0  # Seconds that processes get to be gone; one that waits for a dead disk is left to the system.
_PAGE = resource.getpagesize()


class _Process(Struct):
    """One sensor's process, ended or not, until it is buried."""

    id: int
    pid: int
    pidfd: int
    memory: int | None
    why: str = ""
    burnt: float = 0.0  # Seconds of processor time, when it was weighed last.
    busy: int = 0  # How many times in a row it was found busy.


class Server:
    """All processes that were started and are not buried. One thread, so that a pid is never another's."""

    def __init__(self, control: socket.socket, files: tuple[int, int]) -> None:
        self._control = control
        self._files = files
        self._poll = select.epoll()
        self._poll.register(control, select.EPOLLIN)
        self._by_id: dict[int, _Process] = {}
        self._by_pidfd: dict[int, _Process] = {}
        self._weigh_at = 0.0

    def run(self) -> None:
        """Serve until the daemon is gone."""
        while True:
            for fd, _ in self._poll.poll(_WEIGHED_EVERY if self._by_id else None):
                if fd != self._control.fileno():
                    self._bury(self._by_pidfd[fd])
                elif not self._hear():
                    return
            if time.monotonic() >= self._weigh_at:
                self._weigh_at = time.monotonic() + _WEIGHED_EVERY
                self._weigh()

    def end_all(self) -> None:
        """Kill every process and wait a moment until they are gone."""
        for process in self._by_id.values():
            _kill(process.pid)
        until = time.monotonic() + _GONE_WITHIN
        while self._by_pidfd and (left := until - time.monotonic()) > 0:
            for fd, _ in self._poll.poll(left):
                if fd in self._by_pidfd:
                    self._bury(self._by_pidfd[fd])
                else:
                    self._poll.unregister(fd)

    def _hear(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, _LONGEST, 1)
        except OSError:
            return False
        if not data:
            return False
        message = json.loads(data)
        if message["op"] == "start":
            self._start(message["id"], message["sensor"], fds[0])
        elif (process := self._by_id.get(message["id"])) is not None:
            process.why = process.why or message["why"]
            _kill(process.pid)
        return True

    def _start(self, number: int, sensor: dict[str, Any], channel: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._say({"id": number, "refused": f"no process can be started: {error.strerror}"})
        else:
            if pid == 0:
                _become(channel, sensor, self._files)
            process = _Process(number, pid, os.pidfd_open(pid), sensor["memory"])
            self._by_id[number] = self._by_pidfd[process.pidfd] = process
            self._poll.register(process.pidfd, select.EPOLLIN)
            self._say({"id": number, "pid": pid})
        finally:
            os.close(channel)

    def _bury(self, process: _Process) -> None:
        """It has ended: end what it left behind in its group, and tell how it ended."""
        _kill(process.pid)  # It is a zombie, so that this is its own group still.
        _, status = os.waitpid(process.pid, 0)
        self._poll.unregister(process.pidfd)
        os.close(process.pidfd)
        del self._by_id[process.id], self._by_pidfd[process.pidfd]
        self._say({"id": process.id, "code": os.waitstatus_to_exitcode(status), "why": process.why})

    def _weigh(self) -> None:
        for process in self._by_id.values():
            self._slow_down(process)
            if process.memory is not None and not process.why and (held := _held(process.pid)) > process.memory:
                megabytes, most = held // 10**6, process.memory // 10**6
                process.why = f"its process held {megabytes} MB of memory, more than its {most} MB, and was ended"
                _kill(process.pid)

    def _slow_down(self, process: _Process) -> None:
        """One that keeps the processor busy gives way to all others until it ends: most need but a millisecond."""
        burnt = _burnt(process.pid)
        process.busy = process.busy + 1 if burnt - process.burnt > _BUSY * _WEIGHED_EVERY else 0
        process.burnt = burnt
        if process.busy == _BUSY_IN_A_ROW:
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{process.pid}/task"):  # noqa: PTH208 - names of files of the kernel
                    os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # The daemon is gone: that is noticed where it is heard.
            self._control.send(json.dumps(message).encode())


def _become(channel: int, sensor: dict[str, Any], files: tuple[int, int]) -> NoReturn:
    """In the new process: let go of everything that is the parent's, and be the sensor's."""
    code = 1
    try:
        os.dup2(channel, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        python_child.live(3, sensor, files)
        code = 0
    finally:
        # Nothing of the parent's may run here on the way out, such as its buffers and its loop.
        os._exit(code)


def _kill(pid: int) -> None:
    """Kill a process that is not buried, and its group."""
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):  # It leads no group yet.
        os.killpg(pid, signal.SIGKILL)


def _held(pid: int) -> int:
    """Bytes of resident memory."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - pathlib is slower, and this is often done
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


def _burnt(pid: int) -> float:
    """Seconds of processor time of a process: its own clock, as clock_getcpuclockid(3) numbers it."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def main() -> None:
    """Serve the socket that is our standard input."""
    # Who ends a service may signal all its processes at once; the daemon ends its own in order.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))  # One for each process.
    # What is there by now is shared with every process: none may touch it, looking for cycles.
    gc.collect()
    gc.freeze()
    server = Server(control, files)
    server.run()
    server.end_all()


if __name__ == "__main__":
    main()
