"""`sensord.yaml` as values: found, read, checked and made absolute. What others import comes from here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensord.config.check import checked
from sensord.config.environments import choose, names
from sensord.config.file import read
from sensord.config.parts import JobConfig, RetryConfig, SensorConfig
from sensord.config.problems import ConfigError, Problem
from sensord.config.schema import schema
from sensord.config.sections import Config, HttpConfig, LogConfig, RetentionConfig, SubscriptionConfig

__all__ = [
    "Config",
    "ConfigError",
    "HttpConfig",
    "JobConfig",
    "LogConfig",
    "Problem",
    "RetentionConfig",
    "RetryConfig",
    "SensorConfig",
    "SubscriptionConfig",
    "environments",
    "find",
    "json_schema",
    "load",
]


def find(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The file that is used: `path`, else `$SENSORD_CONFIG`, else `./sensord.yaml`. ConfigError if it is not there."""
    named = (os.environ if environ is None else environ).get("SENSORD_CONFIG")
    why = "-c" if path is not None else "$SENSORD_CONFIG" if named else "the current folder"
    chosen = path if path is not None else Path(named or "sensord.yaml")
    if not os.path.exists(chosen):  # noqa: PTH110 (never raises, whatever the name)
        looked = f"there is no such file (looked for by {why}, in {Path.cwd()})"
        raise ConfigError([Problem(file=str(chosen), found=looked, hint="`sensord init` writes one to start from")])
    return chosen


def load(
    path: Path | None = None, environ: Mapping[str, str] | None = None, *, environment: str | None = None
) -> Config:
    """Read, check and complete the configuration; ConfigError holds every problem that was found.

    Every secret in it is known to the process's redactor from here on, also where this raises. `environ` is
    what `${NAME}` takes its values from; by default the process's environment. `environment` is one of the file's
    `environments:`; by default `$SENSORD_ENV`, and where that is not set, none.
    """
    variables = os.environ if environ is None else environ
    chosen = environment or variables.get("SENSORD_ENV") or None
    return checked(choose(read(find(path, variables), variables), chosen))


def environments(path: Path | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
    """The names of the environments that the file has, whatever else it holds."""
    variables = os.environ if environ is None else environ
    return names(read(find(path, variables), variables))


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file as it is written, for editors."""
    return schema()
