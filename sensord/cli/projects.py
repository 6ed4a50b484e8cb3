"""Commands about a project: init, check, schema, run, demo, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensord.cli.options import FAILED, WRONG, Json, configuration, fail

if TYPE_CHECKING:
    from sensord.config import Config, Problem


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (demo, init, check, schema, run, doctor):
        app.command()(command)


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the two files of the demo.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo lives.")] = Path("sensord-demo"),
) -> None:
    """See it work: a folder, a job that checks CSV files, and messages. Needs no account."""
    import os

    import anyio
    from rich.console import Console

    from sensord.config import ConfigError
    from sensord.demo import run_demo
    from sensord.ledger.engine import DatabaseInUse, DatabaseUnusable

    try:
        anyio.run(lambda: run_demo(folder.absolute(), once=once, console=Console(), environ=os.environ))
    except KeyboardInterrupt:
        typer.echo(f"The demo's folder stays: {folder}")
    except (ConfigError, DatabaseInUse, DatabaseUnusable, OSError) as error:
        raise fail(str(error)) from None


def init(folder: Annotated[Path, typer.Argument(help="The project's folder.")] = Path()) -> None:
    """Write a sensord.yaml to start from, with a job and a folder to drop files in."""
    from sensord.scaffold import write_project

    try:
        written = write_project(folder)
    except OSError as error:
        raise fail(str(error), WRONG) from None
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo("next: sensord check, then sensord run")


def check(context: typer.Context, json: Json = False) -> None:
    """Check the configuration; every problem with its file, line and column."""
    if json:
        _check_as_json(context)
        return
    config = configuration(context)
    if problems := _broken_templates(config):
        raise fail("\n".join(map(str, problems)), WRONG)
    counts = {
        "job": len(config.jobs),
        "sensor": len(config.sensors),
        "subscription": len(config.subscriptions),
    }
    words = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    where = f" in environment {config.environment}" if config.environment else ""
    typer.echo(f"the configuration is right{where}: {words}")
    if not where:
        _check_environments(context)


def _check_environments(context: typer.Context) -> None:
    """Each environment as well, where none is chosen: it is right, or its problems are said."""
    from sensord.config import ConfigError, environments, load

    for name in environments(context.obj):
        try:
            load(context.obj, environment=name)
        except ConfigError as error:
            raise fail(f"in environment {name}:\n{error}", WRONG) from None
        typer.echo(f"environment {name} is right as well")


def _check_as_json(context: typer.Context) -> None:
    from msgspec.structs import asdict

    from sensord.cli.show import as_json
    from sensord.config import ConfigError, load

    try:
        config = load(context.obj)
        problems = _broken_templates(config)
    except ConfigError as error:
        problems = error.problems
    if problems:
        as_json({"right": False, "problems": [asdict(problem) for problem in problems]})
        raise typer.Exit(WRONG)
    names = {"jobs": list(config.jobs), "sensors": list(config.sensors)}
    as_json({"right": True, "problems": [], **names, "subscriptions": len(config.subscriptions)})


def _broken_templates(config: Config) -> list[Problem]:
    """What is wrong in the team's templates. The daemon would start with them, and say ours in their place."""
    if config.templates is None:
        return []
    from notifiers.reading.checking import check_templates
    from sensord.config import Problem

    return [
        Problem(file=str(config.templates / one.file), line=one.line, column=1, found=one.why)
        for one in check_templates(config.templates)
    ]


def schema() -> None:
    """Print the JSON Schema of sensord.yaml, from which editors complete it."""
    from sensord.cli.show import as_json
    from sensord.config import json_schema

    as_json(json_schema())


def run(context: typer.Context) -> None:
    """Run the daemon until it is told to end (SIGTERM, Ctrl-C); jobs go on running."""
    from sensord.starting import run_here

    raise typer.Exit(run_here(context.obj))


def doctor(context: typer.Context, json: Json = False) -> None:
    """Look for what may be wrong, and say what to do; exit 1 where something is."""
    from sensord.cli.show import as_json
    from sensord.doctor import examine

    findings = examine(configuration(context))
    if json:
        as_json([{"what": one.what, "well": one.well, "text": one.text} for one in findings])
    else:
        for one in findings:
            typer.echo(f"{'well ' if one.well else 'WRONG'}  {one.what}: {one.text}")
    if not all(one.well for one in findings):
        raise typer.Exit(FAILED)
