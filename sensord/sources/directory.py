"""A directory: files that arrive in it, once each, when they are whole.

What is promised: a file that is whole and stays is emitted once, whatever was missed meanwhile (a full event queue, a
stopped daemon, an unmounted disk). A changed file is a new version, and so is a file under a new name. What cannot be
promised: a file that came and went between two looks is never seen; where the kernel will not say whether a file is
open for writing (network mounts, files of another user), a writer that pauses for longer than `settle` looks finished;
two versions of equal size within one tick of the file system's clock are one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator, model_validator

from notifiers.clock import SYSTEM, Clock
from notifiers.settings import Duration, Settings
from sensord.sources import Source
from sensord.sources.directory_names import DoneFile, Names

if TYPE_CHECKING:
    from sensord.sources.directory_watch import Kernel

log = logging.getLogger(__name__)

TEMPORARY = (".*", "*.tmp", "*.part", "*.filepart", "*.crdownload")


class DirectoryConfig(Settings):
    """The keys of `directory:`."""

    path: Path = Field(description="the folder; relative to the configuration file")
    pattern: str | list[str] = Field(
        default="*", description="glob over the name; with a slash, over the path below the folder"
    )
    ignore: list[str] = Field(
        default_factory=lambda: list(TEMPORARY),
        description="globs over names of files and folders that are never taken",
    )
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

    @field_validator("done_file")
    @classmethod
    def _names_a_file(cls, value: str | None) -> str | None:
        if value is not None:
            DoneFile(value)
        return value

    @field_validator("poll", "rescan")
    @classmethod
    def _is_some_time(cls, value: float | None) -> float | None:
        if value is not None and value <= 0:
            raise ValueError("must be longer than nothing; write for example 2s")
        return value

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        for glob in self.patterns:
            if not glob or glob.startswith("/") or glob.endswith("/"):
                raise ValueError(f"pattern {glob!r} matches no file; write a name, or a path below the folder")
            if "/" in glob and not self.recursive:
                raise ValueError(
                    f"pattern {glob!r} speaks of sub-folders; set `recursive: true`, or leave the slash out"
                )
        return self

    @property
    def patterns(self) -> list[str]:
        """`pattern`, always as a list."""
        return [self.pattern] if isinstance(self.pattern, str) else list(self.pattern)

    def names(self) -> Names:
        """Which names the keys above take."""
        done = DoneFile(self.done_file) if self.done_file is not None else None
        return Names(self.patterns, self.ignore, done, recursive=self.recursive)


@asynccontextmanager
async def open_directory(name: str, config: DirectoryConfig, *, clock: Clock = SYSTEM) -> AsyncIterator[Source]:
    """A directory sensor's source. All of one event loop share one inotify instance, and none has a thread."""
    from sensord.sources.directory_source import DirectorySource

    with ExitStack() as stack:
        kernel = None if config.poll is not None else _listen(name, stack)
        yield DirectorySource(config, clock, kernel)


def _listen(name: str, stack: ExitStack) -> Kernel | None:
    try:
        from sensord.sources.directory_watch import Kernel

        return stack.enter_context(Kernel.shared())
    except (ImportError, OSError) as error:
        log.warning(
            "the kernel's events cannot be had; the folder is polled", extra={"sensor": name, "reason": str(error)}
        )
        return None
