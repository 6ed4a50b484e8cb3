"""Checks of data on the command line: how each does, its last results, and accepting what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensord.cli.options import WRONG, Json, client, fail

if TYPE_CHECKING:
    from sensord.cli.client import Client

COLUMNS = ("job", "check", "series", "status", "in_a_row", "failed", "rows", "line", "at", "subject")
_Name = Annotated[str, typer.Argument(metavar="JOB|ID", help="The job of the check, or the check's id.")]
_Check = Annotated[str | None, typer.Argument(metavar="[CHECK]", help="The name of the check.")]
_Series = Annotated[str | None, typer.Option(help="Where one check is of several things: which of them.")]


def show(context: typer.Context, job: _Name, check: _Check = None, series: _Series = None, json: Json = False) -> None:
    """Show a check and its last results, e.g. `sensord checks show load 'nulls(name)'`."""
    from sensord.cli.show import as_json, facts, table

    with client(context) as api:
        found = api.call("GET", f"/api/checks/{_id(api, job, check, series)}")
    if json:
        as_json(found)
        return
    results = found.pop("results")
    del found["trend"]
    facts(found)
    typer.echo()
    table(results, ["at", "status", "metrics", "detail", "subject"], "no results")


def accept(
    context: typer.Context, job: _Name, check: _Check = None, series: _Series = None, json: Json = False
) -> None:
    """Take what a check found last for right: the next file is compared with that, e.g. with its new columns."""
    from sensord.cli.show import as_json

    with client(context) as api:
        found: dict[str, Any] = api.call("POST", f"/api/checks/{_id(api, job, check, series)}/accept")
    if json:
        as_json(found)
    else:
        typer.echo(f"accepted: the next file is compared with {found['subject'] or 'what was found last'}")


def _id(api: Client, job: str, check: str | None, series: str | None) -> str:
    if check is None:
        return job
    query = [("job", job), ("check", check), *([] if series is None else [("series", series)])]
    found = api.call("GET", "/api/checks", query=query)["items"]
    if len(found) == 1:
        return str(found[0]["id"])
    if found:
        names = ", ".join(one["series"] or "''" for one in found)
        raise fail(f"check {check!r} of {job} is of several things; say which with --series: {names}", WRONG)
    raise fail(f"job {job} has no check {check!r} that had a result; see: sensord checks list job={job}", WRONG)
