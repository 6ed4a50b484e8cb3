"""What people write sensors with: `@sensor`, the context that it is given, and one for their own tests.

Only the standard library is loaded, so that a test of a sensor needs nothing of the daemon.
"""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections.abc import Callable
from typing import Any, overload

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_LONGEST = 4_000_000  # Characters of a cursor: it is written and read whole, at every evaluation that moves it.
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class SensorEvaluationContext:
    """What a sensor's function may ask for and change while it is evaluated. Names are Dagster's."""

    def __init__(
        self,
        *,
        sensor_name: str = "sensor",
        cursor: str | None = None,
        last_tick_completion_time: float | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        """`last_tick_completion_time` is when the evaluation before this one ended, in seconds since 1970."""
        self.sensor_name = sensor_name
        self.last_tick_completion_time = last_tick_completion_time
        self.log = log or logging.getLogger(f"sensord.sensors.{sensor_name}")
        self._cursor = cursor
        self._updated = False

    @property
    def cursor(self) -> str | None:
        """How far this sensor has read: what `update_cursor` was given last, in this evaluation or before."""
        return self._cursor

    @property
    def cursor_updated(self) -> bool:
        """Whether this evaluation called `update_cursor`."""
        return self._updated

    def update_cursor(self, cursor: str | None) -> None:
        """Remember how far this sensor has read, from the end of this evaluation on, if it ends without an error.

        It is kept in one transaction with the last requests. None and "" both mean: from the beginning.
        """
        if cursor is not None and not isinstance(cursor, str):
            raise TypeError(f"a cursor is text, and this is {type(cursor).__name__}; write str(…) or json.dumps(…)")
        if cursor is not None and _UNWRITABLE.search(cursor):
            raise ValueError("a cursor holds no NUL and no half of a character; write json.dumps(…)")
        if cursor is not None and len(cursor) > _LONGEST:
            raise ValueError(f"a cursor has at most {_LONGEST:,} characters; keep what grows in a file of your own")
        self._cursor = cursor or None
        self._updated = True


class Sensor:
    """A function that was marked with `@sensor`. Calling it calls the function, with the context if it takes one."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        job_name: str | None = None,
        name: str | None = None,
        minimum_interval_seconds: float | None = None,
        description: str | None = None,
    ) -> None:
        """Use `sensor`. TypeError or ValueError if the function cannot be one."""
        if not callable(function):
            raise TypeError(f"@sensor marks a function, and this is {type(function).__name__}")
        if minimum_interval_seconds is not None and not minimum_interval_seconds > 0:
            raise ValueError(f"minimum_interval_seconds is {minimum_interval_seconds}; it must be more than 0")
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or str(getattr(function, "__name__", "sensor"))
        self.job_name = job_name
        self.minimum_interval_seconds = minimum_interval_seconds
        self.description = description or inspect.getdoc(function)
        self.takes_context = _takes_context(function, self.name)

    def __call__(self, context: SensorEvaluationContext | None = None) -> Any:
        """Whatever the function gives: of a generator function a generator, of an async one an awaitable."""
        if not self.takes_context:
            return self.function()
        if context is None:
            raise TypeError(f"sensor {self.name} takes a context; give it build_sensor_context()")
        return self.function(context)

    def __repr__(self) -> str:
        return f"<sensor {self.name}>"


def _takes_context(function: Callable[..., Any], name: str) -> bool:
    takes = inspect.signature(function).parameters
    wanted = [one for one in takes.values() if one.default is one.empty or one.name == "context"]
    wanted = [one for one in wanted if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    if len(wanted) > 1 or any(one.kind not in _POSITIONAL for one in wanted):
        names = ", ".join(one.name for one in wanted)
        raise TypeError(f"sensor {name} wants {names}; a sensor is given nothing, or its context alone")
    return bool(wanted)


@overload
def sensor(function: Callable[..., Any], /) -> Sensor: ...


@overload
def sensor(
    job_name: str | None = None,
    *,
    job: str | None = None,
    name: str | None = None,
    minimum_interval_seconds: float | None = None,
    description: str | None = None,
) -> Callable[[Callable[..., Any]], Sensor]: ...


def sensor(
    job_name: Callable[..., Any] | str | None = None,
    *,
    job: str | None = None,
    name: str | None = None,
    minimum_interval_seconds: float | None = None,
    description: str | None = None,
) -> Sensor | Callable[[Callable[..., Any]], Sensor]:
    """Mark a function as a sensor: one that returns or yields what is to run. Also without parentheses.

    The function takes nothing or one context, and gives RunRequests, a SkipReason or None: returned, returned as a
    list, or yielded, `async` or not. Each request is committed as it is yielded. `job` (or `job_name`) names the job;
    the configuration decides which jobs a sensor really starts. `minimum_interval_seconds` counts where the
    configuration gives no `interval`.
    """
    if callable(job_name):
        return Sensor(job_name)
    for given in (job, job_name):
        if given is not None and not isinstance(given, str):
            raise TypeError(f"a job is named by text, e.g. job='log_file_job', and this is {type(given).__name__}")
    if job is not None and job_name is not None and job != job_name:
        raise ValueError(f"job is {job!r} and job_name is {job_name!r}; give one of them")
    return lambda function: Sensor(
        function,
        job_name=job or job_name,
        name=name,
        minimum_interval_seconds=minimum_interval_seconds,
        description=description,
    )


def build_sensor_context(
    *,
    cursor: str | None = None,
    sensor_name: str = "sensor",
    last_tick_completion_time: float | None = None,
) -> SensorEvaluationContext:
    """A context for a test of one's own: `list(my_sensor(build_sensor_context(cursor="7")))`."""
    return SensorEvaluationContext(
        sensor_name=sensor_name, cursor=cursor, last_tick_completion_time=last_tick_completion_time
    )
