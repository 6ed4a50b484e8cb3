"""The command line. Each command imports what it needs when it runs, so that `--help` stays quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from inspect import getdoc
from pathlib import Path
from typing import Annotated

import typer

from sensord.cli import backfills, chat, looking, mutes, preview, projects, report, runs, telling, tokens, wrapping
from sensord.cli.options import VERSION

app = typer.Typer(
    name="sensord",
    help="Starts the right job the moment its data is there, and tells the right people what became of it.",
    no_args_is_help=True,
    rich_markup_mode=None,  # Drawing the help would load rich, which doubles the time it takes.
    pretty_exceptions_enable=False,  # They would print local variables, and those hold secrets.
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"sensord {VERSION}")
        raise typer.Exit


@app.callback()
def configure(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="sensord.yaml; else $SENSORD_CONFIG, else ./sensord.yaml")
    ] = None,
    env: Annotated[
        str | None,
        typer.Option("--env", metavar="NAME", help="One of the file's environments, e.g. test; else $SENSORD_ENV"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""
    del version  # Its callback has shown it and ended.
    context.obj = config
    if env is not None:
        os.environ["SENSORD_ENV"] = env  # As if it had been set: everything that this command begins is in it.


for part in (projects, runs, backfills, telling, tokens, looking, chat, mutes, preview, report, wrapping):
    part.register(app)


def main() -> None:
    """The program `sensord`."""
    if "_SENSORD_COMPLETE" not in os.environ:
        sys.argv[1:] = _environment_first(sys.argv[1:])
        if sys.argv[1:] in ([], ["--help"], ["-h"], ["--version"]):
            _build_a_list()
        else:
            _build_only(_asked(sys.argv[1:]))
    app()


def _environment_first(arguments: Sequence[str]) -> list[str]:
    """`check --env test` → `--env test check`: it is an option of every command, and may stand behind its name."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found: list[str] = []
    rest: list[str] = []
    words = iter(arguments[:end])
    for word in words:
        if word == "--env":
            found += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            (found if word.startswith("--env=") else rest).append(word)
    return [*found, *rest, *arguments[end:]]


def _asked(arguments: Sequence[str]) -> str | None:
    """The command that is asked for, where nothing but `--config` and `--env` stands before it."""
    words = iter(arguments)
    for word in words:
        if word in {"-c", "--config", "--env"}:
            next(words, None)
        elif not word.startswith("-"):
            return word
        elif not word.startswith(("-c", "--config=", "--env=")):
            return None
    return None


def _build_a_list() -> None:
    """Leave the names and first sentences of the commands, which are all that `--help` shows, and drop their options.

    Measured: a third of the time that it took.
    """
    for one in app.registered_commands:
        one.help = one.help or getdoc(one.callback)
        one.name = one.name or getattr(one.callback, "__name__", None)
        one.callback = _nothing
    for group in app.registered_groups:
        if group.typer_instance is not None:
            group.typer_instance.registered_commands = []


def _nothing() -> None:
    """Stand where a command would."""


def _build_only(name: str | None) -> None:
    """Forget the other commands. Typer makes the options of all sixty before it looks which one is asked for.

    Measured: a twentieth of the daemon's start. A name that is none keeps them all, for the error that names the like.
    """
    commands = [one for one in app.registered_commands if (one.name or getattr(one.callback, "__name__", "")) == name]
    groups = [one for one in app.registered_groups if one.name == name]
    if commands or groups:
        app.registered_commands, app.registered_groups = commands, groups
