"""Jobs that are a command on this machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from notifiers.settings import Settings


class CommandConfig(Settings):
    """The keys of a job that is a command."""

    command: list[str] = Field(min_length=1, description="argv; elements may use templates: {{ run.config.path }}")
    env: dict[str, str] = Field(default_factory=dict, description="added to the allow-list of the environment")
    cwd: Path | None = Field(default=None, description="working directory; relative to the configuration file")
