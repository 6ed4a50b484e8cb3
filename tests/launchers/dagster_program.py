"""Runs in Dagster's interpreter: jobs with ops and graphs, one of them partitioned, that wait until they are told."""
# mypy: ignore-errors

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg


def note(context, folder: str) -> None:  # noqa: ANN001 - Dagster allows it one of its own types alone
    token = context.run.tags["sensord/token"]
    with (Path(folder) / "started").open("a") as file:
        file.write(f"{token} {context.run.run_id}\n")
    while not (Path(folder) / token).exists():
        time.sleep(0.02)
    if (Path(folder) / token).read_text() != "succeeded":
        raise dg.Failure("it was told to")


@dg.op(config_schema={"folder": str, "path": dg.Field(str, default_value="")})
def read(context) -> int:  # noqa: ANN001
    note(context, context.op_config["folder"])
    return len(context.op_config["path"])


@dg.op
def double(number: int) -> int:
    return number * 2


@dg.op
def tell(context, number: int) -> None:  # noqa: ANN001
    context.log.info("%s rows", number)


@dg.graph
def doubled(number):  # noqa: ANN001, ANN201
    return double(double(number))


@dg.job(executor_def=dg.in_process_executor)
def houses() -> None:
    tell(doubled(read()))


@dg.op(config_schema={"folder": str, "day": str})
def daily(context) -> None:  # noqa: ANN001
    with (Path(context.op_config["folder"]) / "days").open("a") as file:
        file.write(f"{context.op_config['day']} {context.partition_key}\n")


FOLDER = str(Path.cwd())


@dg.static_partitioned_config(partition_keys=["2026-01-01", "2026-01-02", "2026-01-03"])
def of_a_day(partition: str) -> dict:
    return {"ops": {"daily": {"config": {"folder": FOLDER, "day": partition}}}}


@dg.job(config=of_a_day, executor_def=dg.in_process_executor)
def report() -> None:
    daily()


@dg.op
def nothing() -> None:
    pass


@dg.job(executor_def=dg.in_process_executor)
def trivial() -> None:
    nothing()


defs = dg.Definitions(jobs=[houses, report, trivial])
