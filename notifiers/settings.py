"""What every part's configuration model is made of: strictness, durations, secrets."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TOO_QUICK, _CENTURY = 0.1, 36_500 * 86_400.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(value: Any) -> float:
    """`500ms`, `30s`, `5m`, `2h`, `1d` → seconds. ValueError says what was expected."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _UNITS[match[2]]
    raise ValueError(f"{value!r} is not a duration; write a number and a unit: 500ms, 30s, 5m, 2h, 1d")


def _duration(value: Any) -> Any:
    return value if isinstance(value, float) else parse_duration(value)


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$", "examples": ["500ms", "30s", "5m"]}),
]
"""Seconds as a float; written `500ms`, `30s`, `5m`, `2h`, `1d`."""


def _some_time(value: float) -> float:
    if value < _TOO_QUICK:
        raise ValueError("must be at least 100ms; write for example 2s")
    return value


Interval = Annotated[Duration, AfterValidator(_some_time), Field(le=_CENTURY)]
"""A duration between 100 ms and a century: how often somebody is asked, how long is waited for an answer."""

Secret = SecretStr
"""A value that no output shows: `repr`, logs, errors and JSON print stars."""


class Settings(BaseModel):
    """A part's configuration: unknown keys are errors, values do not change, errors never quote the input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)
