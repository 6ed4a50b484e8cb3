"""Lists of everything, one thing of each, and the story of anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensord.cli import backfills, checks, deliveries, events, partitions, pictures, runs, telling
from sensord.cli.options import WRONG, Filters, Json, Limit, client, fail, page, pairs

if TYPE_CHECKING:
    from sensord.cli.client import Client

# What each list shows, and the columns of its table.
LISTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sensors": ("what is looked at, and how it does", ("name", "kind", "jobs", "state", "reason", "last_look")),
    "jobs": ("what can run", ("name", "kind", "concurrency", "tags", "runs")),
    "runs": (
        "what ran, runs and waits",
        ("id", "job", "subject", "partition_key", "status", "attempt", "requested_at", "ended_at", "error"),
    ),
    "backfills": (
        "a job run for many of its partitions",
        ("id", "job", "status", "first", "last", "done", "failed", "created_at", "ended_at"),
    ),
    "events": ("what happened", events.COLUMNS),
    "subscriptions": ("who is told of what", ("id", "topic", "destination", "where", "origin")),
    "deliveries": ("what was told to whom", deliveries.COLUMNS),
    "checks": ("how the data does", checks.COLUMNS),
    "keys": ("the run_keys that dedupe", ("sensor", "job", "run_key", "run", "claimed_at")),
    "ticks": ("what was sensed and decided", ("at", "sensor", "subject", "outcome", "reason", "run")),
    "destinations": ("destinations that are paused or moved", ("destination", "state", "reason", "since", "moved_to")),
}
_WITHOUT_SHOW = {"keys", "ticks", "destinations"}
_WITHOUT_PAGES = {"destinations"}
_RARE = {"partition_key", "series"}  # A column that is left out where it would be empty.


def register(app: typer.Typer) -> None:
    """Add a group for each list, and `explain`."""
    for name, (what, columns) in LISTS.items():
        app.add_typer(_group(name, what, columns), name=name)
    app.command()(explain)


def _group(name: str, what: str, columns: tuple[str, ...]) -> typer.Typer:
    group = typer.Typer(help=f"{name.capitalize()}: {what}.", no_args_is_help=True)
    own = VERBS.get(name, {})
    if name == "deliveries":
        group.callback(invoke_without_command=True)(deliveries.overview)
    if "list" not in own:
        _add_list(group, name, columns)
    if name not in _WITHOUT_SHOW and "show" not in own:
        _add_show(group, name)
    for verb, command in own.items():
        group.command(verb)(command)
    return group


def _add_list(group: typer.Typer, name: str, columns: tuple[str, ...]) -> None:
    @group.command("list", help=f"List {name}, newest first; e.g. `sensord {name} list {columns[1]}=VALUE`.")
    def listed(
        context: typer.Context,
        filters: Filters = None,
        limit: Limit = 50,
        after: Annotated[str | None, typer.Option(help="Go on after this `next` of an earlier page.")] = None,
        json: Json = False,
    ) -> None:
        from sensord.cli.show import as_json, table

        query = pairs(filters) if name in _WITHOUT_PAGES else page(filters, limit, after)
        with client(context) as api:
            found = api.call("GET", f"/api/{name}", query=query)
        if json:
            as_json(found)
            return
        items = [ROWS[name](item) for item in found["items"]] if name in ROWS else found["items"]
        used = [column for column in columns if column not in _RARE or any(item[column] for item in items)]
        table(items, used, f"no {name}")
        if found.get("next"):
            typer.echo(f"more: --after {found['next']}", err=True)


def _add_show(group: typer.Typer, name: str) -> None:
    @group.command("show", help=f"Show one of the {name}.")
    def shown(context: typer.Context, which: str, json: Json = False) -> None:
        from sensord.cli.show import as_json, facts

        with client(context) as api:
            item = api.call("GET", f"/api/{name}/{which}")
            if name in MORE:
                item |= MORE[name](api, item)
        if json:
            as_json(item)
        elif name in DRAWN:
            DRAWN[name](item)
        else:
            facts(item)


def show_key(context: typer.Context, run_key: str, json: Json = False) -> None:
    """Show who holds a run_key, for each sensor and job that has it."""
    from sensord.cli.show import as_json, facts

    with client(context) as api:
        found = api.call("GET", "/api/keys", query=[("run_key", run_key)])["items"]
    if not found:
        raise fail(f"nobody holds the run_key {run_key!r}: the next request for it is a run", WRONG)
    if json:
        as_json(found)
        return
    for item in found:
        facts(item)


def forget(
    context: typer.Context,
    run_key: str,
    job: Annotated[str, typer.Option(help="The job whose key it is.")],
    sensor: Annotated[str, typer.Option(help="The sensor that claimed it; none for a launch by hand.")] = "",
    json: Json = False,
) -> None:
    """Free a run_key, so that the next request for it is a run."""
    from sensord.cli.show import as_json

    with client(context) as api:
        freed = api.call("DELETE", "/api/keys", {"sensor": sensor, "job": job, "run_key": run_key})
    if json:
        as_json(freed)
    else:
        typer.echo(f"forgotten; run {freed['run']} held it")


def expire(
    context: typer.Context,
    older_than: Annotated[str, typer.Option(help="Keys claimed longer ago than this: 30d, 12h.")],
    sensor: Annotated[str | None, typer.Option(help="Of this sensor alone; - for launches by hand.")] = None,
    job: Annotated[str | None, typer.Option(help="Of this job alone.")] = None,
    json: Json = False,
) -> None:
    """Forget all run_keys claimed longer ago, so that the next request for each is a run."""
    from sensord.cli.show import as_json, counting

    asked = (
        {"older_than": older_than}
        | ({} if sensor is None else {"sensor": sensor})
        | ({} if job is None else {"job": job})
    )
    forgotten = 0
    with client(context) as api, counting("keys forgotten") as count:
        while True:
            found = api.call("POST", "/api/keys/expire", asked)
            forgotten += found["forgotten"]
            count(forgotten)
            if found["next"] is None:
                break
            asked["after"] = found["next"]
    if json:
        as_json({"forgotten": forgotten})
    else:
        typer.echo(f"{forgotten} keys forgotten")


def resume(context: typer.Context, destination: str, json: Json = False) -> None:
    """Send to a paused destination again, first what waited."""
    from sensord.cli.show import as_json

    with client(context) as api:
        answer = api.call("POST", "/api/destinations/resume", {"destination": destination})
    if json:
        as_json(answer)
    else:
        typer.echo(f"{destination} is active again")


def _as_asked(what: str) -> list[tuple[str, str]]:
    """The word, and what it is as a path seen from here, which the daemon cannot know."""
    from rules.printable import printable

    path = os.path.abspath(what)  # noqa: PTH100 - a text that may be no path
    is_path = os.path.lexists(path) or ("/" in what and "://" not in what)
    words = [("what", what), *([("path", path)] if is_path else [])]
    # A name that is not UTF-8 cannot be sent as it is.
    return [(name, printable(os.fsencode(text)) if not text.isprintable() else text) for name, text in words]


def explain(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="A file, a run_key, or the id of a run, an event or a delivery.")],
    json: Json = False,
) -> None:
    """Tell the whole story of a file, key, run or event, in order: what happened, why, and who was told."""
    from sensord.cli.show import as_json, plain

    with client(context) as api:
        told = api.call("GET", "/api/explain", query=_as_asked(what))
    if json:
        as_json(told)
        return
    for line in told["story"]:
        typer.echo(f"{plain(line['at']) or ' ' * 19}  {plain(line['text'])}")
    typer.echo(f"\n{plain(told['verdict'])}")
    if told["kind"] is None:
        raise typer.Exit(WRONG)


# Where it is not an item's fields: what its row in a list has, what is asked for beside it, and how it is drawn.
ROWS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"backfills": backfills.row}
MORE: dict[str, Callable[[Client, dict[str, Any]], dict[str, Any]]] = {
    "jobs": partitions.more,
    "backfills": backfills.more,
}
DRAWN: dict[str, Callable[[dict[str, Any]], None]] = {"jobs": partitions.drawn, "backfills": backfills.drawn}

# What can be done with one of a list, beside `list` and `show`.
VERBS: dict[str, dict[str, Callable[..., None]]] = {
    "sensors": {"tick": runs.tick},
    "jobs": {"launch": runs.launch, "chart": pictures.chart},
    "backfills": {"cancel": backfills.cancel},
    "runs": {"cancel": runs.cancel, "retry": runs.retry, "logs": runs.logs},
    "events": {
        "list": events.listed,
        "follow": events.follow,
        "publish": telling.publish,
        "replay": telling.replay,
    },
    "subscriptions": {"add": telling.subscribe, "remove": telling.unsubscribe},
    "deliveries": {
        "list": deliveries.listed,
        "why": deliveries.why,
        "replay": deliveries.replay,
        "resume": resume,
    },
    "checks": {"show": checks.show, "accept": checks.accept},
    "keys": {"show": show_key, "forget": forget, "expire": expire},
    "destinations": {"resume": resume},
}
