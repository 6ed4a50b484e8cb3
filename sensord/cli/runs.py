"""Commands about runs and sensors: launch, cancel, retry, tick, logs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensord.cli.options import FAILED, WRONG, JobName, Json, SensorName, client, configuration, fail, pairs

if TYPE_CHECKING:
    from sensord.config import Config

ENDED = {"succeeded", "failed", "cancelled", "lost"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (launch, cancel, retry, tick, logs):
        app.command()(command)


def run_config_of(context: typer.Context, job: str, parameters: list[str] | None) -> dict[str, Any]:
    """What `-p KEY=VALUE` says, each value as the job's config_schema wants it."""
    given = pairs(parameters, "KEY=VALUE")
    if not given:
        return {}
    from sensord.parameters import typed

    schema = schema_of(configuration(context), job)
    return {name: typed(schema, name, text) for name, text in given}


def schema_of(config: Config, job: str) -> Mapping[str, Any] | None:
    """What a job's run_config is to be, looked for where that is said; None where it is not."""
    if job not in config.jobs:
        return None
    if isinstance(written := config.jobs[job].config_schema, dict):
        return written
    import anyio

    from notifiers.clock import SYSTEM
    from sensord.job_schemas import job_schemas

    return anyio.run(job_schemas(config, clock=SYSTEM)[job].now)


def _completed(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The parameters of the job that was typed before, and once one is typed, its values; none where it is wrong."""
    from sensord.config import ConfigError, load
    from sensord.parameters import completions

    # What is begun is no whole line yet: behind a `-p` that waits for its value, arguments are left as they stand.
    job = context.params.get("job") or next(iter(context.args), None)
    try:
        asked = context.find_root().params
        config = load(asked.get("config"), environment=asked.get("env"))
    except ConfigError:
        return []
    given = [word.partition("=")[0] for word in context.params.get("parameters") or ()]
    return completions(schema_of(config, str(job)), incomplete, given)


Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="KEY=VALUE", help="One value of run_config.", autocompletion=_completed),
]


def launch(
    context: typer.Context,
    job: JobName,
    parameters: Parameters = None,
    run_key: Annotated[str | None, typer.Option(help="Run once for this key, and never again.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end; exit 1 unless it succeeded.")] = False,
    json: Json = False,
) -> None:
    """Launch a run of a job."""
    from sensord.cli.show import as_json

    values = run_config_of(context, job, parameters)
    with client(context) as api:
        run = api.call("POST", f"/api/jobs/{job}/runs", {"run_config": values, "run_key": run_key})
        if wait and api.daemon:
            run = _ended(api, run["id"])
        if json:
            as_json(run)
        elif run.get("duplicate"):
            typer.echo(f"run {run['id']} holds this run_key already: it {run.get('status', 'is over')}")
        else:
            typer.echo(f"run {run['id']} is {run['status']}" + (f": {run['error']}" if run.get("error") else ""))
        if not api.daemon:
            typer.echo("it starts when `sensord run` does", err=True)
            if wait:
                raise typer.Exit(WRONG)
    if wait and run["status"] != "succeeded":
        raise typer.Exit(FAILED)


def _ended(api: Any, run: str) -> dict[str, Any]:
    """Ask until it has ended."""
    import time

    while True:
        found: dict[str, Any] = api.call("GET", f"/api/runs/{run}")
        if found["status"] in ENDED:
            return found
        time.sleep(0.1)


def cancel(context: typer.Context, run: str, json: Json = False) -> None:
    """Cancel a run that has not ended."""
    _verb(context, run, "cancel", "will be cancelled", json)


def retry(context: typer.Context, run: str, json: Json = False) -> None:
    """Repeat a run that has ended, as a new run."""
    _verb(context, run, "retry", "repeats it", json)


def _verb(context: typer.Context, run: str, verb: str, words: str, json: bool) -> None:
    from sensord.cli.show import as_json

    with client(context) as api:
        answer = api.call("POST", f"/api/runs/{run}/{verb}")
    if json:
        as_json(answer)
    else:
        typer.echo(f"run {answer['id']} {words}")


def tick(
    context: typer.Context,
    sensor: SensorName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be asked for.")] = False,
    json: Json = False,
) -> None:
    """Have a sensor look now instead of waiting; what it finds, it finds once, as ever."""
    from sensord.cli.show import as_json, plain

    query = [("dry_run", "1")] if dry_run else []
    with client(context) as api:
        answer = api.call("POST", f"/api/sensors/{sensor}/tick", query=query)
        if not (dry_run or api.daemon):
            typer.echo("what it asks for starts when `sensord run` does", err=True)
    if json:
        as_json(answer)
        return
    so_far = "" if answer["ended"] else " so far; it still looks"
    typer.echo(f"{answer['sensed']} sensed{so_far}" + (", nothing done (dry run)" if dry_run else ""))
    for item in answer["items"]:
        typer.echo(f"{plain(item['subject'])}")
        for request in item["requests"]:
            run = f": run {request['run']}" if request.get("run") else ""
            held = f"; run {request['held_by']} has this key" if request["held_by"] else ""
            typer.echo(f"  {request['job']} for {plain(request['run_key'])}{held or run}")
        for word in ("skipped", "error"):
            if item[word]:
                typer.echo(f"  {word}: {plain(item[word])}")


def logs(
    context: typer.Context,
    run: str,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="As it grows, until the attempt ended.")] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="Default: the newest.")] = None,
) -> None:
    """Print a run's output."""
    query = [*([("follow", "1")] if follow else []), *([("attempt", str(attempt))] if attempt else [])]
    with client(context) as api:
        if follow and not api.daemon:
            raise fail("no daemon runs, so nothing grows; leave out -f", WRONG)
        for piece in api.stream(f"/api/runs/{run}/log", query=query):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
