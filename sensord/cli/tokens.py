"""Commands about tokens for programs: each may publish, or read, on some topics."""

from __future__ import annotations

from typing import Annotated

import typer

from sensord.cli.options import Json, client

Patterns = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Tokens: what programs may publish and read with.", no_args_is_help=True)
    for name, command in (("create", create), ("list", listed), ("revoke", revoke)):
        group.command(name)(command)
    app.add_typer(group, name="tokens")


def create(
    context: typer.Context,
    name: str,
    publish: Annotated[Patterns, typer.Option(metavar="PATTERN", help="May publish on these topics: 'bp.>'.")] = None,
    read: Annotated[Patterns, typer.Option(metavar="PATTERN", help="May read these topics: 'runs.>'.")] = None,
    expires: Annotated[str | None, typer.Option(help="Holds for so long: 30d. Default: until it is revoked.")] = None,
    json: Json = False,
) -> None:
    """Make a token. It is shown this once: what is kept of it opens nothing."""
    from sensord.cli.show import as_json

    body = {"name": name, "publish": publish or [], "read": read or []}
    with client(context) as api:
        made = api.call("POST", "/api/tokens", body if expires is None else {**body, "expires": expires})
    if json:
        as_json(made)
        return
    typer.echo(made["token"])
    typer.echo(f"token {name}: it is shown this once; a program has it as $SENSORD_TOKEN", err=True)


def listed(context: typer.Context, json: Json = False) -> None:
    """List tokens, without their secrets."""
    from sensord.cli.show import as_json, table

    with client(context) as api:
        page = api.call("GET", "/api/tokens")
    if json:
        as_json(page)
        return
    table(page["items"], ("name", "state", "publish", "read", "created_at", "expires_at", "revoked_at"), "no tokens")


def revoke(context: typer.Context, name: str, json: Json = False) -> None:
    """Revoke a token: from now on it opens nothing."""
    from sensord.cli.show import as_json

    with client(context) as api:
        answer = api.call("DELETE", f"/api/tokens/{name}")
    if json:
        as_json(answer)
    else:
        typer.echo(f"token {name} is revoked")
