"""`sensord run` from its first line on: what it loads, in which order, before there is a daemon."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from sensord import interpreter

WRONG = 2


def run_here(path: Path | None) -> int:
    """Run the daemon of this configuration file; the exit code: 2 where it is wrong, with every problem said."""
    with interpreter.loading(), interpreter.importing_beside("aiohttp"):
        from sensord.config import ConfigError, load
        from sensord.launchers.command_starting import starting_beside

        try:
            config = load(path)
        except ConfigError as error:
            sys.stderr.write(f"{error}\n")
            return WRONG
        with starting_beside(config.state):
            from sensord.daemon import run_daemon
    return run_daemon(config)


def plainly_asked(arguments: Sequence[str]) -> tuple[Path | None] | None:
    """The configuration file of `[-c FILE] run`, which needs no library to be understood; None: anything else."""
    match arguments:
        case ["run"]:
            return (None,)
        case ["-c" | "--config", file, "run"]:
            return (Path(file),)
        case _:
            return None
