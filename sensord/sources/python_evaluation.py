"""One evaluation of a sensor's function: whatever it returns or yields becomes messages to the daemon, at once.

Only the standard library is loaded, and what people write sensors with.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rules.request import RunRequest, SkipReason
from sensord import authoring
from sensord.authoring import Sensor, SensorEvaluationContext
from sensord.sources.python_talk import Talk

LONGEST = 1 << 20
"""Bytes of one request as JSON."""
_KEYS = 1_000_000
_FRAMES = 20
_TRACE_LENGTH = 16_000
_PRIORITIES = range(-(2**31), 2**31)
_OURS = (
    __file__,
    authoring.__file__,
    importlib.__file__,
    "<frozen importlib._bootstrap>",
    "<frozen importlib._bootstrap_external>",
)
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


class BrokenSensorError(Exception):
    """The sensor cannot be had from its module; the text says why, for a person."""


class Evaluations:
    """The function, and what stays from one evaluation to the next."""

    def __init__(self, sensor: Sensor, name: str, jobs: Sequence[str], talk: Talk) -> None:
        self._sensor = sensor
        self._name = name
        self._jobs = jobs
        self._talk = talk
        self._log = logging.getLogger(f"sensord.sensors.{name}")
        self._known: set[Any] = set()  # Keys that are committed: to ask for them again would come to nothing.
        self._given: set[Any] = set()  # Those of this evaluation, committed when the next one is ordered.
        self._runner = asyncio.Runner()

    def evaluate(self, order: Mapping[str, Any]) -> None:
        """Evaluate once and tell the end, whatever the function does."""
        self._remember(again=order["again"])
        context = SensorEvaluationContext(
            sensor_name=self._name,
            cursor=order["cursor"] or None,
            last_tick_completion_time=order["last"],
            log=self._log,
        )
        try:
            self._take(self._sensor(context))
        except BaseException as error:  # noqa: BLE001 - SystemExit and all: this is what isolates the function
            self._talk.say("end", {"error": told(error), "trace": trace_of(error)})
            return
        self._talk.say("end", {"cursor": context.cursor or ""} if context.cursor_updated else {})

    def _remember(self, *, again: bool) -> None:
        self._known |= self._given
        self._given = set()
        if again or len(self._known) > _KEYS:
            self._known = set()

    def _take(self, result: Any) -> None:
        if inspect.isasyncgen(result):
            self._runner.run(self._follow(result))
        elif inspect.iscoroutine(result):
            self._take_all(self._runner.run(result))
        else:
            self._take_all(result)

    async def _follow(self, results: Any) -> None:
        async with aclosing(results):
            async for one in results:
                self._give(one)

    def _take_all(self, result: Any) -> None:
        if isinstance(result, list | tuple | set | Iterator):
            for one in result:
                self._give(one)
        else:
            self._give(result)

    def _give(self, one: Any) -> None:
        if isinstance(one, RunRequest):
            key = None if one.run_key is None else (one.job_name, one.run_key)
            if key is None:
                self._talk.send(self._line(one))
            elif key not in self._known and key not in self._given:
                self._talk.send(self._line(one))
                self._given.add(key)
        elif isinstance(one, SkipReason):
            self._talk.say("skip", str(one.skip_message or "it gave no reason"))
        elif one is not None:
            kind = type(one).__name__
            raise TypeError(f"a sensor gives RunRequest, SkipReason, a list of them or None, and this one gave {kind}")

    def _line(self, request: RunRequest) -> bytes:
        if request.job_name is not None and request.job_name not in self._jobs:
            there_are = ", ".join(self._jobs)
            raise ValueError(f"{_named(request)} asks for job {request.job_name!r}, and the sensor has {there_are}")
        return line_of(request)


def line_of(request: RunRequest) -> bytes:
    """A request as it is sent; TypeError or ValueError says what of it cannot be."""
    plain = {**_texts(request), **_mappings(request)}
    if request.priority:
        if request.priority not in _PRIORITIES:
            raise ValueError(f"priority of {_named(request)} is {request.priority!r}, no whole number of 32 bits")
        plain["priority"] = int(request.priority)
    try:
        line = _encode({"request": plain}).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{_named(request)} cannot be written as JSON: {error}") from None
    if len(line) > LONGEST:
        raise ValueError(f"{_named(request)} takes {len(line):,} bytes; write its data to a file, and name that")
    return line + b"\n"


def _texts(request: RunRequest) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for field in ("run_key", "job_name", "partition_key"):
        value = getattr(request, field)
        if value is None:
            continue
        if not isinstance(value, str):
            raise TypeError(f"{field} of {_named(request)} is {type(value).__name__}; write str(…)")
        texts[field] = value
    if not texts.get("run_key", "-").strip():
        raise ValueError(f"run_key of {_named(request)} is empty; name what is to run once, or leave it out")
    if _UNWRITABLE.search(texts.get("partition_key", "")):
        raise ValueError(f"partition_key of {_named(request)} holds a NUL or half of a character")
    return texts


def _mappings(request: RunRequest) -> dict[str, Any]:
    mappings: dict[str, Any] = {}
    for field in ("run_config", "tags"):
        value = getattr(request, field)
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(f"{field} of {_named(request)} is {type(value).__name__}; it must be a mapping")
        if value:
            mappings[field] = value
    return mappings


def _named(request: RunRequest) -> str:
    return f"RunRequest(run_key={request.run_key!r})"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"it holds {type(value).__name__}, which is no plain data; write str(…)")


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain).encode


def told(error: BaseException) -> str:
    """The last line of the traceback, and the last place of it that is not ours."""
    line = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError):
        return f"{line} ({error.filename}, line {error.lineno})"
    frames = _frames(error)
    return f"{line} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else line


def trace_of(error: BaseException) -> str:
    """The traceback without our own frames, and not longer than a screen or two."""
    lines = traceback.format_list(_frames(error)[-_FRAMES:]) + traceback.format_exception_only(error)
    return "".join(lines)[-_TRACE_LENGTH:]


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Without those that are ours, or the import system's."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in _OURS]


def find(module: str, function: str) -> Sensor:
    """Import the sensor. BrokenSensorError says why there is none."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise BrokenSensorError(f"there is no module {error.name} in {Path.cwd()}, nor installed") from None
        raise BrokenSensorError(f"module {module} cannot be imported: {told(error)}") from error
    except BaseException as error:  # Whatever a module does while it is imported.
        raise BrokenSensorError(f"module {module} cannot be imported: {told(error)}") from error
    sensor = getattr(found, function, None)
    if isinstance(sensor, Sensor):
        return sensor
    if sensor is not None:
        raise BrokenSensorError(f"{function} in module {module} is not marked with @sensor")
    there_are = ", ".join(name for name, value in vars(found).items() if isinstance(value, Sensor))
    raise BrokenSensorError(f"module {module} has no sensor {function}; it has {there_are or 'none'}")
