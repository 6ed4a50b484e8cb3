"""Commands about mutes: what is held back at destinations for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from sensord.cli.options import Json, client


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Mutes: what is held back for a while, and told afterwards.", no_args_is_help=True)
    for name, command in (("list", listed), ("add", add), ("end", end)):
        group.command(name)(command)
    app.add_typer(group, name="mutes")


def listed(context: typer.Context, json: Json = False) -> None:
    """List the mutes that hold, and how many messages wait because of each."""
    from sensord.cli.show import as_json, table

    with client(context) as api:
        page = api.call("GET", "/api/mutes")
    if json:
        as_json(page)
    else:
        columns = ("id", "destination", "pattern", "job", "until", "name", "why", "held")
        table(page["items"], columns, "nothing is muted")


def add(
    context: typer.Context,
    destination: str,
    duration: Annotated[str, typer.Argument(metavar="TIME", help="For how long: 30m, 2h, 1d.")],
    topic: Annotated[str, typer.Argument(metavar="[PATTERN]", help="Of these topics alone.")] = ">",
    why: Annotated[str, typer.Option(help="The reason, for whoever wonders.")] = "",
    json: Json = False,
) -> None:
    """Hold back what a destination is told; what is critical is told all the same."""
    from sensord.cli.show import as_json

    body = {"destination": destination, "for": duration, "topic": topic, "why": why}
    with client(context) as api:
        made = api.call("POST", "/api/mutes", body)
    if json:
        as_json(made)
    else:
        typer.echo(f"{made['destination']}: {made['pattern']} is muted until {made['until']}; mute {made['id']}")


def end(context: typer.Context, mute: str, json: Json = False) -> None:
    """End a mute: what it held back is told now, in one message."""
    from sensord.cli.show import as_json

    with client(context) as api:
        ended = api.call("DELETE", f"/api/mutes/{mute}")
    if json:
        as_json(ended)
    else:
        held = ended["held"]
        typer.echo(f"mute {mute} ends; it held back {held} message{'' if held == 1 else 's'}")
