"""`sensord jobs chart`: a picture of how long a job's last runs took."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensord.cli.options import FAILED, JobName, client, fail


def chart(
    context: typer.Context,
    job: JobName,
    output: Annotated[Path, typer.Option("-o", "--output", help="The PNG file that is written.")],
    run: Annotated[str | None, typer.Option(help="The run that is marked.")] = None,
    lang: Annotated[str | None, typer.Option(help="en or ru; default: the configuration's.")] = None,
    zone: Annotated[str | None, typer.Option(help="A clock, e.g. Europe/Lisbon; default: the configuration's.")] = None,
) -> None:
    """Draw how long a job's last 30 runs took."""
    given = (("run", run), ("lang", lang), ("zone", zone))
    query = [(name, value) for name, value in given if value is not None]
    with client(context) as api:
        picture = b"".join(api.stream(f"/api/jobs/{job}/chart", query=query, silent=120.0))
    try:
        output.write_bytes(picture)
    except OSError as error:
        raise fail(f"{output} cannot be written: {error.strerror}", FAILED) from None
    typer.echo(f"wrote {output}")
