"""Commands about people in the chats: invite, who may do what, and what they did."""

from __future__ import annotations

from typing import Annotated

import typer

from sensord.cli.options import Filters, Json, Limit, client, page


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(invite)
    people = typer.Typer(help="People: who may do what from the chats.", no_args_is_help=True)
    people.command("list")(list_people)
    people.command("remove")(remove)
    app.add_typer(people, name="people")
    acts = typer.Typer(help="Acts: what people did from the chats, and what they were refused.", no_args_is_help=True)
    acts.command("list")(list_acts)
    app.add_typer(acts, name="acts")


def invite(
    context: typer.Context,
    role: Annotated[str, typer.Option(help="viewer, operator or owner.")] = "viewer",
    topics: Annotated[list[str] | None, typer.Option(help="A pattern; may be repeated. Default: all topics.")] = None,
    expires: Annotated[str, typer.Option(help="For how long it can be used, e.g. 1d.")] = "1d",
    json: Json = False,
) -> None:
    """Make a one-time invitation: whoever opens its link, or types it in Slack, first gets the role."""
    from sensord.cli.show import as_json

    body = {"role": role, "expires": expires, **({"topics": topics} if topics else {})}
    with client(context) as api:
        made = api.call("POST", "/api/chat/invites", body)
    if json:
        as_json(made)
        return
    typer.echo(f"{made['role']} of {', '.join(made['topics'])}, once, until {made['expires_at']}")
    if made["link"] is not None:
        typer.echo(f"for one person:           {made['link']}")
        typer.echo(f"to take it into a group:  {made['group_link']}")
    elif made["slack_command"] is None:
        typer.echo(f"send the bot, in a chat with it: {made['command']}")
    if made["slack_command"] is not None:
        typer.echo(f"to type in Slack:         {made['slack_command']}")


def list_people(context: typer.Context, json: Json = False) -> None:
    """List everybody who has a role, by the configuration or by an invitation."""
    from sensord.cli.show import as_json, table

    with client(context) as api:
        page = api.call("GET", "/api/chat/people")
    if json:
        as_json(page)
    else:
        table(page["items"], ("person", "name", "role", "topics", "since"), "nobody has a role")


def remove(context: typer.Context, person: str, json: Json = False) -> None:
    """Take away what invitations gave somebody, and end what their private chat is told."""
    from sensord.cli.show import as_json

    with client(context) as api:
        removed = api.call("DELETE", "/api/chat/people", {"person": person})
    if json:
        as_json(removed)
    else:
        ended = len(removed["subscriptions"])
        typer.echo(f"{person} has no role by invitation any more; {ended} subscriptions of the private chat ended")


def list_acts(context: typer.Context, filters: Filters = None, limit: Limit = 50, json: Json = False) -> None:
    """List what people did and were refused, newest first; e.g. `sensord acts list act=denied`."""
    from sensord.cli.show import as_json, table

    with client(context) as api:
        found = api.call("GET", "/api/chat/acts", query=page(filters, limit))
    if json:
        as_json(found)
    else:
        table(found["items"], ("at", "person", "act", "allowed", "place", "detail"), "nothing was done from a chat yet")
