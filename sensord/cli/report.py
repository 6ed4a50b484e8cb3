"""What other tools found in the data: reported to the run that this is part of, or to the daemon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensord.cli.options import WRONG, fail

if TYPE_CHECKING:
    from rules.quality import CheckResult

_Job = Annotated[str | None, typer.Option(help="Whose checks they are; in a run it is the run's job.")]
_Mask = Annotated[list[str] | None, typer.Option(help="Columns whose values are told to nobody; globs.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Report what dbt or Great Expectations found in the data.", no_args_is_help=True)
    group.command("dbt")(dbt)
    group.command("gx")(gx)
    app.add_typer(group, name="report")


def dbt(path: Annotated[Path, typer.Argument(help="target/run_results.json")], job: _Job = None) -> None:
    """Report every test of a `dbt build` or `dbt test`, and every model that was built, or was not."""
    from sensord.hooks.dbt import report

    _told(path, lambda: report(path, job=job))


def gx(
    path: Annotated[Path, typer.Argument(help="a validation result, or what a checkpoint described")],
    job: _Job = None,
    mask: _Mask = None,
) -> None:
    """Report every expectation of a Great Expectations validation."""
    from sensord.hooks.gx import report

    _told(path, lambda: report(path, job=job, mask=mask or ()))


def _told(path: Path, report: Callable[[], list[CheckResult]]) -> None:
    try:
        found = report()
    except OSError as error:
        raise fail(f"{path} cannot be read: {error.strerror}", WRONG) from None
    except ValueError as error:
        raise fail(str(error), WRONG) from None
    failed = sum(not one.passed for one in found)
    typer.echo(f"{len(found)} results reported, {failed} of checks that failed")
