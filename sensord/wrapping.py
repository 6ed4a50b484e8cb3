"""A command run for cron or CI as if it stood there alone, and an event of what became of it.

Standard library only. What the command writes goes through a pipe, so that its last lines can be told; a terminal stays
a terminal, and then nobody needs to be told of lines that somebody has seen.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

LINES, LINE_CHARACTERS, _TAIL_BYTES = 20, 500, 16 * 1024
_CHUNK = 64 * 1024
_NOT_EXECUTABLE, _NOT_FOUND, _BY_SIGNAL = 126, 127, 128
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_STDOUT, _STDERR = 1, 2


def main(arguments: Sequence[str]) -> int:
    """`sensord wrap …`: the exit code; 2, with nothing run, where the words are wrong."""
    from argparse import ArgumentParser

    parser = ArgumentParser(
        prog="sensord wrap",
        usage="sensord wrap --topic TOPIC [--job NAME] [--on always|failure] [--lines COUNT] -- COMMAND …",
        description="Run a command from cron or CI as it is, and publish what became of it.",
        epilog="Needs no configuration: $SENSORD_URL and $SENSORD_TOKEN say where the daemon is, and while it is away "
        "the event waits in the spool. Exit code, output and signals are the command's.",
        allow_abbrev=False,
    )
    parser.add_argument("--topic", required=True, type=_topic, help="where it is told what became of the command")
    parser.add_argument("--job", help="what it is called there; else the command's name")
    parser.add_argument("--on", choices=("always", "failure"), default="always", help="failure: not when it succeeds")
    parser.add_argument("--lines", type=int, default=LINES, help="how many of its last lines are told, at most 200")
    options, words = _divided(arguments)
    asked = parser.parse_args(options)
    if not words:
        parser.error("there is no command; write it behind --")
    return wrap(words, topic=asked.topic, job=asked.job, always=asked.on == "always", lines=min(asked.lines, 200))


def _topic(text: str) -> str:
    from argparse import ArgumentTypeError

    from rules.topics import check_topic

    try:
        check_topic(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def _divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our options, and the command: behind `--`, or from the first word that is none of ours."""
    place = 0
    while place < len(arguments) and arguments[place] != "--" and arguments[place].startswith("-"):
        place += 1 if "=" in arguments[place] or arguments[place] in {"-h", "--help"} else 2
    rest = arguments[place:]
    return list(arguments[:place]), list(rest[1:] if rest[:1] == ["--"] else rest)


def wrap(command: Sequence[str], *, topic: str, job: str | None = None, always: bool = True, lines: int = LINES) -> int:
    """Run a command to its end and publish on the topic what became of it; returns what a shell would.

    Exit codes are the command's, 128 + its signal, 127 where it is not found and 126 where it cannot be executed.
    Output, standard input, other open files, and signals that are sent to us are passed through. `always`: not
    only failures are told; `lines`: so many of its last lines (at most) are in the event.
    """
    name = job or Path(command[0]).name
    began, at = time.monotonic(), time.time()
    ended = _run(command, lines)
    if always or ended.code != 0:
        _tell(topic, name, ended, {"started_at": at, "duration": round(time.monotonic() - began, 3)}, lines)
    return ended.code


class _End(NamedTuple):
    """How a command ended, as a shell says it."""

    code: int
    said: str
    tail: bytes | bytearray = b""


def _run(command: Sequence[str], lines: int) -> _End:
    tail = bytearray()
    pumps, ends = _pipes() if lines > 0 else ({}, {})
    woken, waker = socket.socketpair()
    for one in (woken, waker):
        one.setblocking(False)
    with woken, waker, _signals(waker.fileno()) as forwarding:
        try:
            # Files that are open for us, as a lock that a script holds, are open for the command as well.
            process = subprocess.Popen(command, stdout=ends.get(_STDOUT), stderr=ends.get(_STDERR), close_fds=False)
        except OSError as error:
            return _not_started(command, error)
        finally:
            for descriptor in set(ends.values()):
                os.close(descriptor)
        forwarding.begin(process)
        _warm_up()
        while process.poll() is None:
            for readable in select.select([*pumps, woken.fileno()], [], [])[0]:
                if readable == woken.fileno():
                    with contextlib.suppress(BlockingIOError):
                        woken.recv(_CHUNK)
                else:
                    _pump(pumps, readable, tail)
    _drain(pumps, tail)
    code = process.returncode
    if code >= 0:
        return _End(code, "succeeded" if code == 0 else f"failed with exit code {code}", tail)
    with contextlib.suppress(ValueError):
        return _End(_BY_SIGNAL - code, f"was ended by {signal.Signals(-code).name}", tail)
    return _End(_BY_SIGNAL - code, f"was ended by signal {-code}", tail)


def _not_started(command: Sequence[str], error: OSError) -> _End:
    sys.stderr.write(f"sensord wrap: {command[0]}: {error.strerror}\n")
    code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
    return _End(code, f"could not be started: {error.strerror}")


def _pipes() -> tuple[dict[int, int], dict[int, int]]:
    """Where what is read goes to, and the ends for the command: none for a terminal or what is closed.

    One pipe for both where both go to the same place: the order of what is written there is kept.
    """
    kinds: dict[int, os.stat_result] = {}
    for descriptor in (_STDOUT, _STDERR):
        with contextlib.suppress(OSError):
            if not os.isatty(descriptor):
                kinds[descriptor] = os.fstat(descriptor)
    pumps: dict[int, int] = {}
    ends: dict[int, int] = {}
    for descriptor, kind in kinds.items():
        if descriptor == _STDERR and _STDOUT in ends and os.path.samestat(kind, kinds[_STDOUT]):
            ends[_STDERR] = ends[_STDOUT]
            continue
        source, ends[descriptor] = os.pipe()
        pumps[source] = descriptor
    return pumps, ends


def _pump(pumps: dict[int, int], source: int, tail: bytearray) -> None:
    """Pass on what is there."""
    chunk = os.read(source, _CHUNK)
    if chunk and _written(pumps[source], chunk):
        tail += chunk
        if len(tail) > 2 * _TAIL_BYTES:
            del tail[:-_TAIL_BYTES]
        return
    # At the end; or nobody reads what we write, and the command is to know of it as it would without us.
    del pumps[source]
    os.close(source)


def _written(descriptor: int, chunk: bytes) -> bool:
    left = memoryview(chunk)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except OSError:
            return False
    return True


def _drain(pumps: dict[int, int], tail: bytearray) -> None:
    """Pass on what the command left in the pipes. What it started may still write there: somebody stays for that."""
    for source in list(pumps):
        os.set_blocking(source, False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(32):  # More than a pipe holds: a child that writes for ever does not keep us.
                if source in pumps:
                    _pump(pumps, source, tail)
    if pumps and os.fork() == 0:
        try:
            while pumps:
                for source in select.select(list(pumps), [], [])[0]:
                    _pump(pumps, source, bytearray())
        finally:
            os._exit(0)


class _Forwarding:
    """Passes signals that are meant for us on to the command."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def __call__(self, number: int, _: Any) -> None:
        if self._process is None:
            self._early.append(number)
        elif not _from_the_terminal(number):
            self._process.send_signal(number)

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        for number in self._early:
            process.send_signal(number)


def _from_the_terminal(number: int) -> bool:
    """Whether the command has it already: what is typed goes to everybody in the foreground."""
    if number not in {signal.SIGINT, signal.SIGQUIT}:
        return False
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextlib.contextmanager
def _signals(waker: int) -> Iterator[_Forwarding]:
    """Forward signals, and wake whoever waits, until the block ends. What we were told to ignore stays ignored."""
    forwarding = _Forwarding()
    before = {number: signal.getsignal(number) for number in (*_FORWARDED, signal.SIGCHLD)}
    for number in _FORWARDED:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, forwarding)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    previous = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        yield forwarding
    finally:
        signal.set_wakeup_fd(previous)
        for number, action in before.items():
            signal.signal(number, action)


def _warm_up() -> None:
    """While the command works, load what is needed to tell of its end."""
    for name in ("sensord.submit", "http.client"):
        with contextlib.suppress(ImportError):
            import_module(name)


def _tell(topic: str, job: str, ended: _End, times: dict[str, Any], lines: int) -> None:
    from datetime import UTC, datetime

    from sensord.submit import submit_event

    text = ended.tail[-_TAIL_BYTES:].decode("utf-8", "replace")
    seconds = times["duration"]
    data = {
        "job": job,
        "exit_code": ended.code,
        "duration": seconds,
        "started_at": datetime.fromtimestamp(times["started_at"], UTC).isoformat(),
        "host": os.uname().nodename,
        "lines": [line[:LINE_CHARACTERS] for line in text.splitlines()[-lines:]] if lines else [],
    }
    submit_event(
        topic,
        f"{job} {ended.said} after {seconds:.1f} s",
        severity="info" if ended.code == 0 else "error",
        data=data,
        event_type=f"command.{'succeeded' if ended.code == 0 else 'failed'}",
    )
