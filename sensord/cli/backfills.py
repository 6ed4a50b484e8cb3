"""Commands about backfills: backfill itself, which follows what it began, and what `sensord backfills` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sensord.cli.options import FAILED, WRONG, JobName, Json, client, fail
from sensord.cli.runs import Parameters, run_config_of

if TYPE_CHECKING:
    from sensord.cli.client import Client

_INTERRUPTED = 130
_LOOK_SECONDS = 0.3
_TELL_SECONDS = 10.0
_SHOWN = 10
ENDED = ("succeeded", "failed", "cancelled", "lost")
BAD = ("failed", "cancelled", "lost")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backfill)


def backfill(
    context: typer.Context,
    job: JobName,
    *,
    first: Annotated[str | None, typer.Option("--from", metavar="KEY", help="Default: the partitions' start.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="KEY", help="Default: the last that has ended.")] = None,
    only_missing: Annotated[bool, typer.Option("--only-missing", help="Leave out what is done or under way.")] = False,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Only what ended badly the last time.")] = False,
    order: Annotated[Literal["oldest", "newest"], typer.Option(help="Which go first.")] = "oldest",
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Runs at a time; default: 4, or the job's own limit.")
    ] = None,
    parameters: Parameters = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the partitions.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Begin, and do not wait for the end.")] = False,
    json: Json = False,
) -> None:
    """Run a job for many of its partitions, and follow it to the end; exit 1 where some did not succeed."""
    from sensord.cli.show import as_json

    if only_missing and only_failed:
        raise fail("--only-missing includes what failed; leave one out", WRONG)
    body = {
        "from": first,
        "to": last,
        "only": "missing" if only_missing else "failed" if only_failed else "all",
        "order": order,
        "run_config": run_config_of(context, job, parameters),
        "dry_run": dry_run,
    } | ({} if concurrency is None else {"concurrency": concurrency})
    with client(context) as api:
        item = api.call("POST", f"/api/jobs/{job}/backfills", body)
        begun = "id" in item
        if not json:
            _tell_plan(item, dry_run=dry_run)
        if begun and not api.daemon:
            typer.echo("it starts when `sensord run` does", err=True)
        if begun and api.daemon and not detach:
            item = _followed(api, item)
            if not json:
                _tell_end(item | more(api, item))
        if json:
            as_json(item)
        if begun and not detach and (not api.daemon or item["status"] != "succeeded"):
            raise typer.Exit(FAILED if api.daemon else WRONG)


def _tell_plan(item: Mapping[str, Any], *, dry_run: bool) -> None:
    how = f"{item['order']} first, {item['concurrency']} at a time"
    if "id" in item:
        which = item["first"] if item["total"] == 1 else f"{item['first']} to {item['last']}"
        typer.echo(f"backfill {item['id']}: {_count(item['total'])} of {item['job']}, {which}, {how}")
    elif not item["total"]:
        none = {"all": "has ended yet", "missing": "is missing", "failed": "ended badly"}[item["only"]]
        typer.echo(f"nothing to run: of {_count(item['covered'])} of {item['job']} none {none}")
    elif dry_run:
        typer.echo(f"would run {_count(item['total'])} of {item['job']}, {how}:")
        for key in item["partitions"]:
            typer.echo(key)


def _count(number: int) -> str:
    return f"{number:,} partition{'' if number == 1 else 's'}"


def _followed(api: Client, item: dict[str, Any]) -> dict[str, Any]:
    """Show how far it has come until it has ended. Ctrl-C, or the daemon's end, ends the showing alone."""
    import time

    from sensord.cli.client import NoWayError

    look = f"`sensord backfills show {item['id']}`"
    try:
        with _progress(item["total"]) as show:
            while item["ended_at"] is None and item["waits"] is None:
                time.sleep(_LOOK_SECONDS)
                item = api.call("GET", f"/api/backfills/{item['id']}")
                show(item)
    except KeyboardInterrupt:
        typer.echo(f"\nit goes on in the daemon: look with {look}", err=True)
        raise fail(f"end it with `sensord backfills cancel {item['id']}`", _INTERRUPTED) from None
    except NoWayError as error:
        raise fail(f"{error}; the backfill goes on when a daemon does: look with {look}") from None
    if item["ended_at"] is None:
        raise fail(f"it waits: {item['waits']}; look with {look}")
    return item


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A bar on a terminal, else a line now and then; both on standard error. Call it with the backfill."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total)
        return
    words = TextColumn("{task.description}")
    with Progress(BarColumn(), MofNCompleteColumn(), words, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=total)
        yield lambda item: progress.update(task, completed=_done(item), description=_words(item))


def _lines(total: int) -> Callable[[Mapping[str, Any]], None]:
    import time

    told = time.monotonic()

    def show(item: Mapping[str, Any]) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            typer.echo(f"{_done(item):,} of {total:,} done, {_words(item)}", err=True)

    return show


def _done(item: Mapping[str, Any]) -> int:
    return sum(item["counts"][status] for status in ENDED)


def _bad(item: Mapping[str, Any]) -> int:
    return sum(item["counts"][status] for status in BAD)


def _words(item: Mapping[str, Any]) -> str:
    return f"{_bad(item):,} failed, {item['counts']['running']:,} running"


def _tell_end(item: Mapping[str, Any]) -> None:
    counts = item["counts"]
    parts = [f"{counts[status]:,} {status}" for status in ENDED if counts[status]]
    if counts["not_started"]:
        parts.append(f"{counts['not_started']:,} not started")
    typer.echo(f"backfill {item['id']} {_has(item['status'])}: {', '.join(parts)}")
    _tell_bad(item)
    if _bad(item) or counts["not_started"]:
        which = f"--from {item['first']} --to {item['last']}"
        typer.echo(f"to run what is left: sensord backfill {item['job']} {which} --only-missing")


def _has(status: str) -> str:
    return {"running": "is running", "cancelled": "was cancelled"}.get(status, status)


def _tell_bad(item: Mapping[str, Any]) -> None:
    """The first partitions that did not succeed."""
    from sensord.cli.show import plain

    for one in item["bad"]:
        why = f": {plain(one['error'])}" if one["error"] else ""
        typer.echo(f"  {plain(one['partition_key'])} {one['status']}{why} (run {one['run']})")
    if _bad(item) > len(item["bad"]):
        typer.echo(f"  and {_bad(item) - len(item['bad']):,} more")


def row(item: dict[str, Any]) -> dict[str, Any]:
    """A backfill as a row of the list."""
    return item | {"done": f"{_done(item):,} of {item['total']:,}", "failed": _bad(item)}


def more(api: Client, item: Mapping[str, Any]) -> dict[str, Any]:
    """The first of a backfill's partitions that did not succeed."""
    if not _bad(item):
        return {"bad": []}
    query = [*(("status", status) for status in BAD), ("limit", str(_SHOWN))]
    return {"bad": api.call("GET", f"/api/backfills/{item['id']}/partitions", query=query)["items"]}


def drawn(item: dict[str, Any]) -> None:
    """Print a backfill."""
    from sensord.cli.show import facts

    counts = {name.replace("_", " "): number for name, number in item["counts"].items() if number}
    facts({name: value for name, value in item.items() if name not in ("counts", "bad")} | {"counts": counts})
    _tell_bad(item)


def cancel(context: typer.Context, which: str, json: Json = False) -> None:
    """Run no further partition, and cancel the runs that have not ended."""
    from sensord.cli.show import as_json

    with client(context) as api:
        item = api.call("POST", f"/api/backfills/{which}/cancel")
    if json:
        as_json(item)
    else:
        typer.echo(f"backfill {which} is cancelled: {_done(item):,} of {_count(item['total'])} had their run")
