"""The command line. Each command imports what it needs when it runs, so that `--help` stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensord.cli import backfills, chat, looking, mutes, projects, runs, telling, tokens
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
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""
    del version  # Its callback has shown it and ended.
    context.obj = config


for part in (projects, runs, backfills, telling, tokens, looking, chat, mutes):
    part.register(app)


def main() -> None:
    """The program `sensord`."""
    app()
