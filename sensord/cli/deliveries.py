"""Commands about deliveries: what did not arrive, why, and once more."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sensord.cli import telling
from sensord.cli.options import WRONG, Filters, Json, Limit, client, fail, page

COLUMNS = ("id", "destination", "status", "attempts", "next_attempt_at", "error")

Dead = Annotated[bool, typer.Option("--dead", help="Those that ended without having arrived.")]
Uncertain = Annotated[bool, typer.Option("--uncertain", help="Those that may have arrived, or not.")]
Destination = Annotated[str | None, typer.Option(help="Of this destination alone.")]


def _statuses(*, dead: bool, uncertain: bool) -> list[str]:
    return [name for name, given in (("dead", dead), ("uncertain", uncertain)) if given]


def overview(context: typer.Context, dead: Dead = False, uncertain: Uncertain = False, json: Json = False) -> None:
    """Deliveries: what was told to whom."""
    if context.invoked_subcommand is not None:
        return
    if not dead and not uncertain:
        typer.echo(context.get_help())
        raise typer.Exit(WRONG)
    listed(context, dead=dead, uncertain=uncertain, json=json)


def listed(
    context: typer.Context,
    filters: Filters = None,
    dead: Dead = False,
    uncertain: Uncertain = False,
    destination: Destination = None,
    limit: Limit = 50,
    after: Annotated[str | None, typer.Option(help="Go on after this `next` of an earlier page.")] = None,
    json: Json = False,
) -> None:
    """List deliveries, newest first; e.g. `sensord deliveries list --dead --destination 'slack:#alerts'`."""
    from sensord.cli.show import as_json, table

    if dead and uncertain:
        raise fail("give --dead or --uncertain", WRONG)
    query = [("status", status) for status in _statuses(dead=dead, uncertain=uncertain)]
    query += [("destination", destination)] if destination is not None else []
    query += page(filters, limit, after)
    with client(context) as api:
        found = api.call("GET", "/api/deliveries", query=query)
    if json:
        as_json(found)
        return
    table(found["items"], COLUMNS, "no deliveries")
    if found["next"]:
        typer.echo(f"more: --after {found['next']}", err=True)


def why(context: typer.Context, delivery: str, json: Json = False) -> None:
    """Tell what became of a delivery, and why."""
    from sensord.cli.show import as_json, plain

    with client(context) as api:
        item = api.call("GET", f"/api/deliveries/{delivery}")
        told = api.call("GET", "/api/explain", query=[("what", delivery)])
    if json:
        as_json({"delivery": item, **told})
        return
    for line in told["story"]:
        typer.echo(f"{plain(line['at']) or ' ' * 19}  {plain(line['text'])}")
    typer.echo(f"\n{plain(told['verdict'])}")
    if item["status"] in {"dead", "uncertain"}:
        typer.echo(f"once more: sensord deliveries replay {delivery}")


def replay(
    context: typer.Context,
    which: Annotated[str | None, typer.Argument(metavar="[DELIVERY]", help="One; else say which.")] = None,
    dead: Dead = False,
    uncertain: Uncertain = False,
    destination: Destination = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    json: Json = False,
) -> None:
    """Try again what ended without having arrived: one delivery, or all of them, oldest first."""
    statuses = _statuses(dead=dead, uncertain=uncertain)
    if which is not None and not statuses and destination is None and not dry_run:
        telling.replay(context, which, json)
        return
    if which is not None or not statuses:
        raise fail("give the id of a delivery, or --dead or --uncertain, and then maybe --destination", WRONG)
    asked: dict[str, Any] = {"status": statuses, **({} if destination is None else {"destination": destination})}
    with client(context) as api:
        if dry_run:
            _show_count(api.call("POST", "/api/deliveries/replay", {**asked, "dry_run": True}), json=json)
            return
        replayed = 0
        while True:
            answer = api.call("POST", "/api/deliveries/replay", asked)
            replayed += answer["replayed"]
            if answer["next"] is None:
                break
            asked["after"] = answer["next"]
        _show_replayed(replayed, json=json)
        if not api.daemon:
            typer.echo("they go out when `sensord run` does", err=True)


def _show_count(answer: dict[str, Any], *, json: bool) -> None:
    from sensord.cli.show import as_json, table

    if json:
        as_json(answer)
        return
    table(answer["destinations"], ("destination", "status", "count", "paused"), "none")
    typer.echo(f"{answer['count']} would be tried again")


def _show_replayed(replayed: int, *, json: bool) -> None:
    from sensord.cli.show import as_json

    if json:
        as_json({"replayed": replayed})
    else:
        typer.echo(f"{replayed} deliveries are tried again")
