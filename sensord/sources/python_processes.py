"""The daemon's side of the sensors' processes: it starts their parent when there is none, and each of them by it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, ClassVar

import anyio
from anyio.abc import Process as ServerProcess
from anyio.abc import UNIXSocketStream

from sensord.launchers.command_starting import allowed

_ROOT = Path(__file__).parents[2]
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from sensord.sources.python_server import main; main()"
_LONGEST = 1 << 18
_CHUNK = 1 << 16
_LINE = 64 << 20  # Bytes of one line: more than a process of ours ever sends.
_ENOUGH_FILES = 65_536
_SILENT_SECONDS = 1.0
_GONE_SECONDS = 5.0
_COMPLAINT = 16_384


class ProcessesUnavailableError(OSError):
    """No process can be started; the text says why, for a person."""


class SensorProcess:
    """One sensor's process, and the line to it."""

    def __init__(self, number: int, channel: socket.socket, stream: UNIXSocketStream) -> None:
        """Use `Processes.started`."""
        self.number = number
        self.pid = 0
        self.known = anyio.Event()  # It began, or was refused.
        self.gone = anyio.Event()
        self.why = ""  # Why it ended, for a person; "" while it lives.
        self._channel = channel
        self._stream = stream
        self._rest = bytearray()
        self.garbled = False  # It said what is none of our messages.

    async def say(self, kind: str, what: Any) -> None:
        """Send it an order; one that has ended hears nothing, which `hear` tells."""
        with suppress(anyio.BrokenResourceError):
            await self._stream.send(json.dumps({kind: what}).encode() + b"\n")

    async def hear(self) -> list[tuple[str, Any]]:
        """What it said since, at least one message; nothing: no more will come, see `Processes.buried`."""
        while not self.garbled:
            try:
                data = await self._stream.receive(_CHUNK)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return []
            self._rest += data
            if b"\n" in data:
                *lines, rest = self._rest.split(b"\n")
                self._rest = rest
                return self._read(lines)
            self.garbled = len(self._rest) > _LINE
        return []

    def _read(self, lines: list[bytearray]) -> list[tuple[str, Any]]:
        messages: list[tuple[str, Any]] = []
        try:
            for line in lines:
                messages += json.loads(line).items()
        except (ValueError, AttributeError):  # What was said before is as good as ever.
            self.garbled = True
        return messages

    def end(self, why: str) -> None:
        """It has ended: what it said may still be heard, and then comes the end."""
        self.why = self.why or why
        self.known.set()
        self.gone.set()
        with suppress(OSError):  # What it started may hold its end open.
            self._channel.shutdown(socket.SHUT_RD)


class Processes:
    """All sensors' processes of one event loop, and their parent, which is started by the first who needs it."""

    _open: ClassVar[dict[asyncio.AbstractEventLoop, Processes]] = {}

    def __init__(self) -> None:
        """Use `shared`."""
        self._users = 0
        self._numbers = itertools.count(1)
        self._living: dict[int, SensorProcess] = {}
        self._control: socket.socket | None = None
        self._server: ServerProcess | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `_close` closes it
        self._starting = anyio.Lock()

    @classmethod
    @asynccontextmanager
    async def shared(cls) -> AsyncIterator[Processes]:
        """Those of the running event loop; the last one to leave ends them all."""
        loop = asyncio.get_running_loop()
        processes = cls._open.get(loop)
        if processes is None:
            processes = cls()
            cls._open[loop] = processes
        processes._users += 1
        try:
            yield processes
        finally:
            processes._users -= 1
            if not processes._users:
                del cls._open[loop]
                await processes._close()

    @property
    def server_pid(self) -> int | None:
        """The process that is the parent of the others, if there is one now."""
        return None if self._server is None else self._server.pid

    @asynccontextmanager
    async def started(self, sensor: Mapping[str, Any]) -> AsyncIterator[SensorProcess]:
        """A new process for this sensor, which is ended on leaving. ProcessesUnavailableError: there is none."""
        ours, theirs = socket.socketpair()
        async with await UNIXSocketStream.from_socket(ours) as stream:
            process = SensorProcess(next(self._numbers), ours, stream)
            try:
                with theirs:
                    await self._start(process, sensor, theirs)
                yield process
            finally:
                with anyio.CancelScope(shield=True):
                    await self.kill(process, "")
                self._living.pop(process.number, None)

    async def kill(self, process: SensorProcess, why: str) -> None:
        """End a process and its group for certain, and wait a little until it is gone."""
        if not process.gone.is_set() and self._control is not None and process.number in self._living:
            process.why = process.why or why
            await self._say(json.dumps({"op": "end", "id": process.number, "why": why}).encode())
            with anyio.move_on_after(_GONE_SECONDS):
                await process.gone.wait()
        # One that waits for a dead disk cannot be ended by anybody; nobody waits for it here either.
        process.end(why)

    async def buried(self, process: SensorProcess) -> str:
        """Why a process ended that says nothing any more; one that lives on is ended."""
        if process.garbled:
            await self.kill(process, "something else wrote to the line between it and the daemon, and it was ended")
        else:
            with anyio.move_on_after(_SILENT_SECONDS):
                await process.gone.wait()
        await self.kill(process, "it closed the line between it and the daemon, and was ended")
        return process.why

    async def _start(self, process: SensorProcess, sensor: Mapping[str, Any], theirs: socket.socket) -> None:
        async with self._starting:
            if self._control is None:
                await self._start_server()
            order = json.dumps({"op": "start", "id": process.number, "sensor": dict(sensor)}).encode()
            if len(order) > _LONGEST // 2:
                raise ProcessesUnavailableError("its env takes more than 128 KiB")
            self._living[process.number] = process
            await self._say(order, theirs.fileno())
            await process.known.wait()
        if not process.pid:
            raise ProcessesUnavailableError(process.why)

    async def _start_server(self) -> None:
        _allow_files()
        if self._server is not None:
            await self._server.wait()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = allowed(os.environ)
        argv = [sys.executable, "-P", "-c", _PROGRAM, str(_ROOT)]
        self._said.seek(0)
        self._said.truncate()
        with theirs:
            try:
                self._server = await anyio.open_process(
                    argv,
                    stdin=theirs.fileno(),
                    stdout=DEVNULL,
                    stderr=self._said,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise ProcessesUnavailableError(f"no process can be started: {error}") from error
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._hear)

    async def _say(self, message: bytes, *fds: int) -> None:
        """Send it when there is room; nothing, where the parent is gone: that is noticed by whoever hears it."""
        while self._control is not None:
            try:
                socket.send_fds(self._control, [message], fds)
            except BlockingIOError:
                await anyio.wait_writable(self._control)
            except OSError:
                self._lost()
            else:
                return

    def _hear(self) -> None:
        while self._control is not None:
            try:
                data = self._control.recv(_LONGEST)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            self._take(json.loads(data))

    def _take(self, message: dict[str, Any]) -> None:
        process = self._living.get(message["id"])
        if process is None:
            return
        if "pid" in message:
            process.pid = message["pid"]
            process.known.set()
        elif "refused" in message:
            process.end(message["refused"])
        elif message["code"] == -signal.SIGKILL:
            process.end(message["why"] or _ended(message["code"]))
        else:
            process.why = ""  # Whatever we wanted to end it for, it was quicker.
            process.end(_ended(message["code"]))

    def _lost(self) -> None:
        """The parent is gone, and with it all its processes: each has said what it said, and is started again."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            anyio.notify_closing(self._control)
            self._control.close()
            self._control = None
            said = os.pread(self._said.fileno(), _COMPLAINT, 0).decode(errors="replace").strip().rpartition("\n")[2]
            for process in self._living.values():
                process.end(f"the parent of its process ended{said and ': '}{said}; another one is started")

    async def _close(self) -> None:
        """Hang up: the parent ends all processes and itself."""
        with anyio.CancelScope(shield=True):
            self._lost()
            if self._server is not None:
                with anyio.move_on_after(_GONE_SECONDS):
                    await self._server.wait()
                if self._server.returncode is None:
                    self._server.kill()
                await self._server.aclose()
            self._said.close()


def _ended(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process was ended by {name}"


def _allow_files() -> None:
    """Each sensor takes an open file here, and a thousand is what systems allow by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
