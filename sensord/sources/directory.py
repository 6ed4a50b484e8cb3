"""A directory: files that arrive in it, once each, when they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from notifiers.settings import Duration, Settings

TEMPORARY = (".*", "*.tmp", "*.part", "*.filepart", "*.crdownload")


class DirectoryConfig(Settings):
    """The keys of `directory:`."""

    path: Path = Field(description="the folder; relative to the configuration file")
    pattern: str | list[str] = Field(default="*", description="glob over the name; with a slash, over the path below the folder")
    ignore: list[str] = Field(default_factory=lambda: list(TEMPORARY), description="globs over names that are never taken")
    recursive: bool = False
    settle: Duration = Field(default=2.0, description="a file is whole after this long without change")
    ready: Literal["close", "settle"] = Field(
        default="close",
        description="close: at once when its writer closed it, where that can be known; settle: always wait",
    )
    done_file: str | None = Field(
        default=None, description="a file is whole once this one exists beside it, e.g. '{name}.done' or '_SUCCESS'"
    )
    poll: Duration | None = Field(default=None, description="look every so often instead of listening to the kernel")
    rescan: Duration = Field(default=300.0, description="the safety net under the kernel's events")
