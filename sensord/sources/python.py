"""Sensors that are Python functions: `python: {module: my_team.sensors, function: my_directory_sensor}`.

What is promised: a function is evaluated in a process of its own, so that one that hangs, crashes, leaks or burns the
processor is ended and started again without harm to another sensor or the daemon. What it yields is committed as it
is yielded; what it yielded before it crashed stays. A run_key runs once, however often it is yielded. The cursor is
committed with the last requests of an evaluation that ends without an error. What cannot be promised: that a request
is committed already when `yield` returns (it is on its way); requests without a run_key, yielded before a crash, are
yielded and run again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, field_serializer, field_validator

from notifiers.clock import SYSTEM, Clock
from notifiers.settings import Duration, Settings
from sensord.secrets import MASK
from sensord.sources import Source

if TYPE_CHECKING:
    from notifiers.database import Database

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(MB|GB|MiB|GiB)")
_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_NAME = re.compile(r"[^\W\d]\w*")
_LEAST = 64 * 10**6  # Python with a module or two takes a third of it.
_CENTURY = 36_500 * 86_400.0


def parse_size(value: Any) -> int:
    """`512MB`, `2GiB` → bytes. ValueError says what was expected."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * _UNITS[match[2]])
    raise ValueError(f"{value!r} is not a size; write a number and a unit: 512MB, 2GB, 512MiB, 2GiB")


def _size(value: Any) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= _LEAST else parse_size(value)


Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(ge=_LEAST),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)? ?(MB|GB|MiB|GiB)$", "examples": ["512MB", "2GiB"]}),
]
"""Bytes; written `512MB`, `2GiB`; at least 64MB."""
Period = Annotated[Duration, Field(gt=0, le=_CENTURY)]


class PythonConfig(Settings):
    """The keys of `python:`."""

    module: str = Field(description="the module that holds the function, e.g. my_team.sensors")
    function: str = Field(description="the function in it that is marked with @sensor")
    interval: Period | None = Field(
        default=None,
        description="how often it is evaluated; default: the function's minimum_interval_seconds, else 30s",
    )
    deadline: Period | None = Field(
        default=3600.0, description="an evaluation that takes longer is ended; null: it may take for ever"
    )
    memory: Size | None = Field(default=512 * 10**6, description="its process is ended when it holds more; null: never")
    path: Path = Field(
        default=Path(),
        description="folder that it is imported from and works in; relative to the configuration file",
    )
    env: dict[str, str] = Field(
        default_factory=dict, repr=False, description="added to the allow-list of the environment"
    )

    @field_validator("module")
    @classmethod
    def _is_a_module(cls, value: str) -> str:
        if not _MODULE.fullmatch(value):
            raise ValueError(f"{value!r} names no module; write it as in an import: my_team.sensors")
        return value

    @field_validator("function")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"{value!r} names no function; write its name alone, e.g. my_directory_sensor")
        return value

    @field_serializer("env", when_used="json")
    def _without_values(self, value: dict[str, str]) -> dict[str, str]:
        """Any of them may be a secret, and nobody needs to see one."""
        return dict.fromkeys(value, MASK)

    @field_validator("env")
    @classmethod
    def _can_be_set(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not name or "=" in name or "\0" in name + text:
                raise ValueError(f"the variable {name!r} cannot be set: no '=' in names, no NUL anywhere")
        return value


@asynccontextmanager
async def open_python(
    name: str,
    config: PythonConfig,
    *,
    jobs: Sequence[str],
    remembers: bool = True,
    database: Database,
    clock: Clock = SYSTEM,
) -> AsyncIterator[Source]:
    """The source of a Python sensor that may ask for these jobs.

    `remembers`: a run_key that was asked for once is held for good, so that to ask for it again would come to nothing.
    Its process is started when it is needed. All of one event loop share one parent, which ends with the last.
    """
    from sensord.sources.python_processes import Processes
    from sensord.sources.python_source import PythonSource

    async with Processes.shared() as processes:
        yield PythonSource(
            name, config, jobs=jobs, remembers=remembers, database=database, clock=clock, processes=processes
        )
