"""One sensor's process: imports the module once, then evaluates the function whenever it is told to.

It begins as a fork of `python_server`, and ends with it. Only the standard library is loaded and what people write
sensors with; what is loaded before the fork is shared by all sensors.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sensord.sources.python_evaluation import BrokenSensorError, Evaluations, find
from sensord.sources.python_talk import Forward, Printed, Talk

_NICE = 5
_OOM_SCORE = 500
_SET_PDEATHSIG, _SET_NAME = 1, 15
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def live(fd: int, sensor: Mapping[str, Any], files: tuple[int, int]) -> None:
    """Be the process of this sensor until the daemon hangs up; `files` is how many of those it may have open."""
    talk = Talk(socket.socket(fileno=fd))
    try:
        _settle(sensor, files)
        _listen_in(talk, sensor["name"])
        found = find(sensor["module"], sensor["function"])
    except (BrokenSensorError, OSError) as error:
        with suppress(OSError):  # Nobody wants to know any more.
            talk.say("broken", str(error))
        return
    gc.freeze()
    evaluations = Evaluations(found, sensor["name"], sensor["jobs"], talk)
    with suppress(BrokenPipeError, ConnectionResetError):
        talk.say("ready", {"interval": found.minimum_interval_seconds})
        while (order := talk.hear()) is not None:
            evaluations.evaluate(order["evaluate"])


def _settle(sensor: Mapping[str, Any], files: tuple[int, int]) -> None:
    """A group of its own, an end with the parent's, limits, environment and folder.

    The session is the parent's: the kernel shares the processor out by sessions, and all sensors are one of them.
    """
    parent = os.getppid()
    os.setpgid(0, 0)
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if parent == 1 or os.getppid() != parent:
        raise OSError("the parent is gone")
    _prctl(_SET_NAME, sensor["name"].encode()[:15])
    os.dup2(0, 2)
    # The parent ignores them, and what a function starts must not: what is handled here is as usual there.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    if sensor["memory"] is not None:
        # Beyond what is looked at once a second: a burst ends in a MemoryError, not in the machine's last page.
        resource.setrlimit(resource.RLIMIT_DATA, (4 * sensor["memory"], resource.RLIM_INFINITY))
    # A function that burns the processor, or all memory, gives way to the daemon.
    os.nice(_NICE)
    with suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:  # noqa: PTH123 - as below
        file.write(b"%d" % _OOM_SCORE)
    os.environ.update(sensor["env"])
    time.tzset()
    try:
        os.chdir(sensor["path"])
    except OSError as error:
        raise OSError(f"its folder {sensor['path']} cannot be entered: {error.strerror}") from None
    sys.path.insert(0, sensor["path"])
    sys.argv = [sensor["name"]]


def _listen_in(talk: Talk, name: str) -> None:
    forward = Forward(talk)
    logging.getLogger().addHandler(forward)
    own = logging.getLogger(f"sensord.sensors.{name}")
    own.addHandler(forward)
    own.setLevel(logging.DEBUG)
    own.propagate = False
    logging.captureWarnings(capture=True)
    sys.stdout, sys.stderr = Printed(talk, "info"), Printed(talk, "warning")
