"""The command that runs others: wrap. Its words are read by `sensord.wrapping`, which needs no command line of ours."""

from __future__ import annotations

import typer

_AS_THEY_ARE = {
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(context_settings=_AS_THEY_ARE)(wrap)


def wrap(context: typer.Context) -> None:
    """Run a command from cron or CI as it is, and publish what became of it."""
    from sensord.wrapping import main

    raise typer.Exit(main(context.args))
