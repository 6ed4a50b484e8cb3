"""Commands about the bus: events from a time on, and events as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from sensord.cli.options import FAILED, WRONG, Filters, Json, Limit, client, configuration, fail, page

COLUMNS = ("id", "time", "topic", "severity", "message")
_LOOK_SECONDS = 0.5
_SILENT_SECONDS = 60.0  # The stream says every 15 s that it lives.

Topic = Annotated[str | None, typer.Option(help="A pattern: `*` is one token, `>` the rest.")]
Since = Annotated[
    str | None, typer.Option(help="A time (2026-11-21T01:02:03Z), so long ago (2h), or the id of an event.")
]


def listed(
    context: typer.Context,
    filters: Filters = None,
    topic: Topic = None,
    since: Since = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first.")] = False,
    limit: Limit = 50,
    after: Annotated[str | None, typer.Option(help="Go on after this `next` of an earlier page.")] = None,
    json: Json = False,
) -> None:
    """List events, newest first; e.g. `sensord events list --topic 'runs.*.failed' --since 2h`."""
    from sensord.cli.show import as_json, table

    given = [("topic", topic), ("since", since), ("order", "oldest" if oldest else None)]
    asked = dict(page(filters, limit, after))
    filtered = [one for one in page(filters, limit) if one[0] not in ("limit", "after")]
    query = [*filtered, *((name, value) for name, value in given if value is not None)]
    after = asked.get("after")
    if not asked["limit"].isdecimal():
        raise fail(f"limit is {asked['limit']!r}; write a number, e.g. limit=5", WRONG)
    limit = int(asked["limit"])
    items: list[dict[str, Any]] = []
    with client(context) as api:
        while True:  # A page looks at so many events at most, and may hold few, or none, of what is asked for.
            rest = [("limit", str(limit - len(items))), *([("after", after)] if after else [])]
            found = api.call("GET", "/api/events", query=[*query, *rest])
            items += found["items"]
            after = found["next"]
            if after is None or len(items) == limit:
                break
    if json:
        as_json({"items": items, "next": after})
        return
    table(items, COLUMNS, "no events")
    if after:
        typer.echo(f"more: --after {after}", err=True)


def follow(
    context: typer.Context,
    pattern: Annotated[str | None, typer.Argument(help="A pattern, as with --topic.", show_default=False)] = None,
    topic: Topic = None,
    since: Since = None,
    json: Json = False,
) -> None:
    """Print events as they come, until Ctrl-C. Goes on where it was when the daemon comes back.

    E.g. `sensord events follow 'runs.*.failed'`.
    """
    if pattern is not None and topic is not None:
        raise fail("give the pattern once: alone, or as --topic", WRONG)
    wanted = topic if pattern is None else pattern
    query = [("topic", wanted)] if wanted is not None else []
    from sensord.cli.client import ApiError

    try:
        for data in _events(context, query, since):
            _print(data, json=json)
    except ApiError as error:
        raise fail(str(error), WRONG) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _print(data: bytes, *, json: bool) -> None:
    from json import loads

    from sensord.cli.show import plain

    if json:
        typer.echo(data.decode())
        return
    event = loads(data)
    typer.echo("  ".join(plain(event[name]) for name in ("time", "severity", "topic", "message")))


def _events(context: typer.Context, query: list[tuple[str, str]], since: str | None) -> Iterator[bytes]:
    """The data of each event, over as many connections as it takes."""
    from sensord.cli.client import NoWayError, open_daemon

    config = configuration(context)
    start, away = [("since", since)] if since is not None else [], False
    while True:
        try:
            with open_daemon(config) as api:
                for field, value in _fields(api.stream("/api/stream", query=[*query, *start], silent=_SILENT_SECONDS)):
                    if field == b"data":
                        yield value
                    else:
                        start, away = [("after", value.decode())], False
        except NoWayError as error:
            if start[:1] in ([], [("since", since)]):
                raise fail(str(error), FAILED) from None
        if not away:
            typer.echo("the daemon is away; waiting for it", err=True)
            away = True
        time.sleep(_LOOK_SECONDS)


def _fields(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The fields of server-sent events, each event's as soon as it is whole: its data, then its id."""
    rest = b""
    event: dict[bytes, bytes] = {}
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            field, _, value = line.partition(b": ")
            if line:
                event[field] = value
                continue
            yield from ((name, event[name]) for name in (b"data", b"id") if name in event)
            event = {}
