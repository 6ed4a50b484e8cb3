"""The daemons that are connected to the supervisor: lines of JSON in and out.

This file belongs to the supervisor process: it imports the standard library and the files beside it.
"""

# Paths are below an open folder, which pathlib cannot be given; and pathlib is slow to import.

from __future__ import annotations

import json
import os
import re
import select
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensord.launchers.command_pools import checked_pools
else:
    from command_pools import checked_pools

SOCKET = "supervisor.sock"
_LONGEST = 32 * 1024 * 1024  # Bytes of one line from a daemon.
_TOKEN = re.compile(r"[0-9a-f-]{36}\.[0-9]{1,9}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TEXTS = ("op", "token", "day", "cwd", "config")


class Daemon:
    """A connected daemon: its environment for jobs, and what is on its way to and from it."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.env: dict[str, str] = {}
        self.pools: dict[str, dict[str, Any]] = {}  # What it wants to have waiting, see `command_warm`.
        self.got = bytearray()
        self.out = bytearray()
        self.asked = self.greeted = self.blocked = False

    def say(self, message: dict[str, Any]) -> None:
        """Send this with the next `Daemons.send`."""
        self.out += json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Daemons:
    """Everyone who is connected; only processes of this user are let in."""

    def __init__(self, folder: int, poll: select.epoll) -> None:
        self._poll = poll
        self._listener = _listen(folder)
        self._connected: dict[int, Daemon] = {}
        poll.register(self._listener, select.EPOLLIN)

    def __len__(self) -> int:
        return len(self._connected)

    def __contains__(self, fd: int) -> bool:
        return fd in self._connected or fd == self._listener.fileno()

    def hear(self, fd: int) -> list[tuple[Daemon, dict[str, Any]]]:
        """What came in there: every complete message, checked. Who sends anything else is hung up on."""
        if fd == self._listener.fileno():
            self._accept()
            return []
        daemon = self._connected[fd]
        ended = self._receive(daemon)
        *lines, daemon.got = daemon.got.split(b"\n")
        messages = []
        try:
            for line in lines:
                messages.append((daemon, _checked(json.loads(line))))  # noqa: PERF401 - keeps those before a bad one
        except (ValueError, LookupError, TypeError) as error:
            sys.stderr.write(f"hung up on a daemon that does not speak this protocol: {error!r}\n")
            ended = True
        if ended or len(daemon.got) > _LONGEST:
            self._drop(daemon)
        return messages

    def connected(self) -> list[Daemon]:
        """Everyone."""
        return list(self._connected.values())

    def tell(self, message: dict[str, Any]) -> None:
        """Say it to everyone who has been greeted."""
        for daemon in self._connected.values():
            if daemon.greeted:
                daemon.say(message)

    def asking(self) -> list[Daemon]:
        """Those who wait to be greeted; they are told of everything from now on."""
        found = [daemon for daemon in self._connected.values() if daemon.asked]
        for daemon in found:
            daemon.asked, daemon.greeted = False, True
        return found

    def send(self) -> None:
        """Send what there is to send, as far as it is taken."""
        for daemon in [daemon for daemon in self._connected.values() if daemon.out]:
            try:
                del daemon.out[: daemon.link.send(daemon.out)]
            except BlockingIOError:
                pass
            except OSError:
                self._drop(daemon)
                continue
            if bool(daemon.out) != daemon.blocked:
                daemon.blocked = bool(daemon.out)
                events = select.EPOLLIN | (select.EPOLLOUT if daemon.blocked else 0)
                self._poll.modify(daemon.link, events)

    def _accept(self) -> None:
        link, _ = self._listener.accept()
        user = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        if user != os.geteuid():
            link.close()
            return
        link.setblocking(False)
        self._connected[link.fileno()] = Daemon(link)
        self._poll.register(link, select.EPOLLIN)

    def _receive(self, daemon: Daemon) -> bool:
        """Take all that is there; True: nothing more will come."""
        while True:
            try:
                data = daemon.link.recv(1 << 18)
            except BlockingIOError:
                return False
            except OSError:
                return True
            if not data:
                return True
            daemon.got += data

    def _drop(self, daemon: Daemon) -> None:
        self._poll.unregister(daemon.link)
        del self._connected[daemon.link.fileno()]
        daemon.link.close()


def _checked(message: dict[str, Any]) -> dict[str, Any]:
    """Refuse a start that could reach outside its folder, or that lacks something once it is too late."""
    if message["op"] == "warm":
        return message | {"pools": checked_pools(message["pools"])}
    if message["op"] != "start":
        return message
    if not all(isinstance(message[name], str) for name in _TEXTS):
        raise TypeError("a text is not one")
    if not (_TOKEN.fullmatch(message["token"]) and _DAY.fullmatch(message["day"])):
        raise ValueError("a token or a day is not one")
    argv, env = message["argv"], message["env"]
    if not (isinstance(argv, list) and argv and isinstance(env, dict)):
        raise TypeError("there is no command or no environment")
    timeout = message["timeout"]
    message |= {"timeout": None if timeout is None else float(timeout), "grace": float(message["grace"])}
    return message | {"limit": int(message["limit"])}


def _listen(folder: int) -> socket.socket:
    """The socket, by way of the open folder: the folder's own path may be longer than a socket's may be."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if SOCKET in os.listdir(folder):
        os.unlink(SOCKET, dir_fd=folder)
    before = os.umask(0o177)
    listener.bind(f"/proc/self/fd/{folder}/{SOCKET}")
    os.umask(before)
    listener.listen(16)
    return listener
