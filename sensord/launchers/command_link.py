"""The daemon's side of the line to the supervisor: start one when there is none, and never lose sight of a run."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskStatus

from notifiers.clock import Clock, to_us
from sensord.launchers import LaunchDelayed
from sensord.launchers.command_starting import SOCKET, SupervisorUnavailableError, start_supervisor, supervisor_argv
from sensord.launchers.command_talk import Followed, State, as_line, from_line, greet, listen

VERSION = 1
_TRIES = 100
_PAUSE = 0.05
_RETRY = 1.0
_FORGET = 0.1
DAMAGED = "the supervisor's journal was damaged; whether this attempt was started is unknown"

log = logging.getLogger(__name__)


class Link:
    """The connection, made again whenever it breaks. What is known of every attempt is mirrored in `known`.

    Nothing is asked twice in a way that could start twice: a token that the supervisor's journal knows is answered
    with what became of it, so after a break every request that may not have arrived is simply sent again.
    """

    def __init__(self, state: Path, clock: Clock, linger: float, environment: Mapping[str, str]) -> None:
        self._state = state
        self._clock = clock
        self._linger = linger
        self._environment = dict(environment)
        self._folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._followed: dict[str, Followed] = {}
        self._cancelled: set[str] = set()
        self._out: list[bytes] = []
        self._more = anyio.Event()
        self._stream: SocketStream | None = None
        self._socket: socket.socket | None = None
        self._rest = b""  # The beginning of a line whose end is still to come.
        self._sending = False  # `_write` has taken what was waiting, and it is not all sent.
        self._forgotten: list[str] = []
        self._letting_go = anyio.Event()
        self._pools: State = {}
        self.known: dict[str, State] = {}
        self.damaged_at: int | None = None
        self.pid = 0

    def start(self, token: str, request: State, started: Callable[[int], None]) -> Followed:
        """Ask for this attempt's process, now or once there is a connection."""
        followed = self._followed[token] = Followed(as_line({"op": "start", "token": token, **request}), started)
        if self._stream is not None:
            self._send_start(followed)
        return followed

    def keep_warm(self, pools: State) -> None:
        """Have these processes wait for runs, see `command_warm`: now, and after each break."""
        self._pools = pools
        if self._stream is not None:
            self._send({"op": "warm", "pools": pools})

    def find(self, token: str, started: Callable[[int], None]) -> Followed | None:
        """Follow an attempt that the supervisor knows."""
        if token not in self.known:
            return None
        followed = self._followed[token] = Followed(None, started)
        followed.tell(self.known[token])
        return followed

    async def wait(self, followed: Followed) -> State:
        """What became of the attempt, once it ended. LaunchDelayed: it was not started, and may be asked for again."""
        await followed.over.wait()
        if followed.delayed:
            raise LaunchDelayed(followed.delayed)
        if followed.state is None:
            raise RuntimeError("an attempt was woken without news")
        return followed.state

    def leave(self, token: str) -> None:
        """Nobody waits for the attempt any more; it goes on."""
        self._followed.pop(token, None)

    def cancel(self, token: str) -> None:
        """Ask for its end, again after each break until it ended."""
        if token in self._followed or token in self.known:
            self._cancelled.add(token)
            self._send({"op": "cancel", "token": token})

    def forget(self, tokens: Iterable[str]) -> None:
        """Let go of ended attempts. It is told with the next start, or a little later: it is no hurry."""
        for token in tokens:
            self.known.pop(token, None)
            self._cancelled.discard(token)
            self._forgotten.append(token)
        self._letting_go.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keep the connection until cancelled. Raises SupervisorUnavailableError before the first one only."""
        connected = False
        while True:
            try:
                async with self._connected() as (stream, received):
                    if not connected:
                        connected = True
                        task_status.started()
                    await self._talk(stream, received)
            except SupervisorUnavailableError as error:
                if not connected:
                    raise
                self._delay(str(error))
                await self._clock.sleep(_RETRY)

    async def flush(self) -> None:
        """Send what is waiting, such as the last `forget`, before the end."""
        self._tell_forgotten()
        if self._stream is not None and self._out:
            data, self._out = b"".join(self._out), []
            await self._stream.send(data)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._folder)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[SocketStream, bytes]]:
        """A greeted connection to a supervisor of this version, and what came behind the greeting."""
        for _ in range(_TRIES):
            async with await self._connect() as stream:
                greeting = {"op": "hello", "version": VERSION, "env": self._environment}
                hello, rest = await greet(stream, greeting)
                if hello is None:
                    continue
                if hello["version"] == VERSION:
                    self._catch_up(hello)
                    self._stream = stream
                    self._socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - anyio's, not Django's
                    try:
                        yield stream, rest
                    finally:
                        self._stream = self._socket = None
                    return
                log.warning(
                    "supervisor_replaced",
                    extra={
                        "reason": "the running supervisor speaks another version of the protocol; it goes on with ours",
                        "its_version": hello["version"],
                        "our_version": VERSION,
                        "pid": hello["pid"],
                        "runs": sum(1 for run in hello["runs"] if run["ended"] is None),
                    },
                )
                await stream.send(as_line({"op": "replace", "argv": [*self._argv(), "--replace"]}))
            await self._clock.sleep(_PAUSE)
        raise SupervisorUnavailableError("the supervisor does not answer")

    async def _connect(self) -> SocketStream:
        # By way of the open folder: a socket's path may have 107 bytes, and the folder's own may be longer.
        path = f"/proc/self/fd/{self._folder}/{SOCKET}"
        for _ in range(_TRIES):
            try:
                return await anyio.connect_unix(path)
            except (FileNotFoundError, ConnectionRefusedError):
                if not await start_supervisor(self._argv(), self._environment):
                    await self._clock.sleep(_PAUSE)
        raise SupervisorUnavailableError("a supervisor holds the lock but does not listen")

    def _argv(self) -> list[str]:
        return supervisor_argv(self._state, self._linger)

    def _catch_up(self, hello: State) -> None:
        """Compare what we wait for with what the supervisor knows."""
        self.pid, self.damaged_at = hello["pid"], hello["damaged"]
        self.known = {run["token"]: run for run in hello["runs"]}
        for token in self._forgotten:
            self.known.pop(token, None)
        self._out.clear()
        if self._pools:
            self._send({"op": "warm", "pools": self._pools})
        for token, followed in self._followed.items():
            state = self.known.get(token)
            if followed.delayed:
                continue
            if state is not None:
                followed.tell(state)
            elif followed.request is None or self.was_damaged_since(followed.sent_at):
                followed.tell(self.lost(token))
            else:
                self._send_start(followed)
        self._cancelled &= self._followed.keys() | self.known.keys()
        for token in self._cancelled:
            self._send({"op": "cancel", "token": token})

    def was_damaged_since(self, moment: int | None) -> bool:
        """Whether an attempt of that time (microseconds since 1970) may be missing from a damaged journal."""
        return moment is not None and self.damaged_at is not None and self.damaged_at >= moment

    def lost(self, token: str) -> State:
        """The state of an attempt that a damaged journal lost."""
        now = to_us(self._clock.now())
        return {"token": token, "started": None, "ended": now, "code": None, "why": "lost", "text": DAMAGED}

    def _delay(self, reason: str) -> None:
        """What was never sent was not started, and need not wait for better times here."""
        for followed in self._followed.values():
            if followed.sent_at is None and followed.request is not None:
                followed.delay(reason)

    def _send_start(self, followed: Followed) -> None:
        if followed.sent_at is None:
            followed.sent_at = to_us(self._clock.now())
        if followed.request is not None:
            self._tell_forgotten()
            self._put(followed.request)

    def _tell_forgotten(self) -> None:
        if self._forgotten and self._stream is not None:
            tokens, self._forgotten = self._forgotten, []
            self._letting_go = anyio.Event()
            self._send({"op": "forget", "tokens": tokens})

    async def _let_go(self) -> None:
        while True:
            await self._letting_go.wait()
            await self._clock.sleep(_FORGET)
            self._tell_forgotten()

    def _send(self, message: State) -> None:
        self._put(as_line(message))

    def _put(self, line: bytes) -> None:
        """Send at once what the socket takes at once, as it nearly always does; the rest is for `_write`."""
        if self._socket is not None and not self._out and not self._sending:
            with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):  # The reader notices the last two.
                line = line[self._socket.send(line) :]
        if line:
            self._out.append(line)
            self._more.set()

    async def _talk(self, stream: SocketStream, received: bytes) -> None:
        """Until the supervisor is gone."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write, stream)
            tasks.start_soon(self._let_go)
            self._rest = b""
            self._take(received)
            await listen(stream, self._take)
            log.warning(
                "supervisor_gone", extra={"pid": self.pid, "reason": "it closed the connection; another is started"}
            )
            tasks.cancel_scope.cancel()

    async def _write(self, stream: SocketStream) -> None:
        while True:
            if self._out:
                data, self._out = b"".join(self._out), []
                self._sending = True
                try:
                    await stream.send(data)
                except anyio.BrokenResourceError:
                    return  # The reader notices as well, and everything unanswered is sent again.
                finally:
                    self._sending = False
            else:
                self._more = anyio.Event()
                await self._more.wait()

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = from_line(line)
            followed = self._followed.get(message["token"])
            if message["op"] == "run":
                self.known[message["token"]] = message
                if followed is not None:
                    followed.tell(message)
            elif message["op"] == "refused" and followed is not None:
                followed.delay(message["text"])
