"""Commands about events and messages: publish, subscribe, inbox, replay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensord.cli.options import WRONG, Json, Limit, client, conditions, fail

if TYPE_CHECKING:
    from sensord.cli.client import Client

_LOOK_SECONDS = 0.5
_PAST_SECONDS, _PAST_LOOK_SECONDS = 10.0, 0.05


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (publish, subscribe, unsubscribe, inbox, replay):
        app.command()(command)


def publish(
    context: typer.Context,
    topic: str,
    message: str,
    severity: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "info",
    data: Annotated[str | None, typer.Option(help="JSON that goes along.")] = None,
    json: Json = False,
) -> None:
    """Publish an event on a topic; back once it is durable."""
    from json import loads

    from sensord.cli.show import as_json

    body: dict[str, Any] = {"topic": topic, "message": message, "severity": severity}
    if data is not None:
        try:
            body["data"] = loads(data)
        except ValueError as error:
            raise fail(f"--data is no JSON: {error}", WRONG) from None
    with client(context) as api:
        answer = api.call("POST", "/api/events", body)
    if json:
        as_json(answer)
    else:
        typer.echo(f"event {answer['id']}")


def subscribe(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(help="A topic; `*` is one token, `>` the rest.")],
    destination: Annotated[
        str, typer.Argument(help="telegram:ID, slack:CHANNEL, webhook:NAME, apprise:NAME, console: or inbox:")
    ],
    where: Annotated[
        list[str] | None, typer.Option(metavar="CONDITION", help="e.g. 'severity>=warning' or job=load")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Tell it of what was since then too: a time, so long ago (2h), or an event's id.")
    ] = None,
    lang: Annotated[str | None, typer.Option(help="The language it is told in: en or ru.")] = None,
    zone: Annotated[str | None, typer.Option(help="The clock it is told by, e.g. Europe/Lisbon.")] = None,
    json: Json = False,
) -> None:
    """Tell a destination of the events of a topic."""
    from sensord.cli.show import as_json

    body: dict[str, Any] = {"topic": topic, "to": destination, "where": conditions(where)}
    body |= {name: value for name, value in (("since", since), ("lang", lang), ("zone", zone)) if value is not None}
    with client(context) as api:
        answer = api.call("POST", "/api/subscriptions", body)
        if answer["backlog"] is not None and api.daemon:
            answer["backlog"] = _past(api, answer["id"])
    if json:
        as_json(answer)
        return
    typer.echo(f"subscription {answer['id']}" + (" holds already" if answer["duplicate"] else ""))
    if answer["backlog"] is not None:
        count, words = answer["backlog"]["deliveries"], "" if answer["backlog"]["done"] else " so far"
        typer.echo(f"earlier events that go to {destination}: {count:,}{words}")
    elif since is not None:
        typer.echo("it is told of nothing earlier, since it is not new", err=True)


def _past(api: Client, subscription: str) -> dict[str, Any]:
    """How many earlier events it is told of: all of them, or as far as that has come."""
    deadline = time.monotonic() + _PAST_SECONDS
    while True:
        found: dict[str, Any] = api.call("GET", f"/api/subscriptions/{subscription}")["backlog"]
        if found["done"] or time.monotonic() > deadline:
            return found
        time.sleep(_PAST_LOOK_SECONDS)


def unsubscribe(context: typer.Context, subscription: str, json: Json = False) -> None:
    """End a subscription."""
    from sensord.cli.show import as_json

    with client(context) as api:
        answer = api.call("DELETE", f"/api/subscriptions/{subscription}")
    if json:
        as_json(answer)
    else:
        typer.echo(f"subscription {answer['id']} has ended")


def inbox(
    context: typer.Context,
    limit: Limit = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones as they come.")] = False,
    json: Json = False,
) -> None:
    """Print the messages of the `inbox:` destination, the newest last."""
    from sensord.cli.show import as_json

    with client(context) as api:
        page = api.call("GET", "/api/inbox", query=[("limit", str(limit))])
        if follow and not api.daemon:
            raise fail("no daemon runs, so nothing comes; leave out -f", WRONG)
        if follow and json:
            raise fail("--json prints one page; leave out -f, or --json", WRONG)
        if json:
            as_json(page)
            return
        if not page["items"] and not follow:
            typer.echo("no messages")
        _print_messages(page["items"])
        known = {item["id"] for item in page["items"]}
        while follow:
            time.sleep(_LOOK_SECONDS)
            new = _newer(api, known)
            _print_messages(new)
            known.update(item["id"] for item in new)


def _newer(api: Client, known: set[str]) -> list[dict[str, Any]]:
    """Messages that are not known, the newest first, over as many pages as they take."""
    new: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = api.call("GET", "/api/inbox", query=[("limit", "100"), *([("after", after)] if after else [])])
        fresh = [item for item in page["items"] if item["id"] not in known]
        new += fresh
        after = page["next"]
        if after is None or len(fresh) < len(page["items"]):
            return new


def _print_messages(items: list[dict[str, Any]]) -> None:
    from sensord.cli.show import plain

    for item in reversed(items):
        typer.echo(f"{plain(item['at'])}  {item['severity']}")
        for line in item["text"].split("\n"):
            typer.echo(f"  {plain(line)}")
        typer.echo("")


def replay(
    context: typer.Context, which: Annotated[str, typer.Argument(metavar="EVENT|DELIVERY")], json: Json = False
) -> None:
    """Tell again: an event to everyone subscribed now, or one delivery that did not arrive."""
    from sensord.cli.client import ApiError
    from sensord.cli.show import as_json

    with client(context) as api:
        try:
            answer = api.call("POST", f"/api/events/{which}/replay")
            words = f"{len(answer['deliveries'])} deliveries of event {which}"
        except ApiError as error:
            if error.status != 404:  # noqa: PLR2004 - not an event's id
                raise
            answer = api.call("POST", f"/api/deliveries/{which}/replay")
            words = f"delivery {which} is tried again"
        if json:
            as_json(answer)
        else:
            typer.echo(words)
        if not api.daemon:
            typer.echo("they go out when `sensord run` does", err=True)
