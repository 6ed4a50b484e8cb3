"""A data team's project in Dagster as it stands on sensord's bus, for `dagster dev -f project.py` and for tests."""
# mypy: ignore-errors

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import dagster as dg

from sensord import failure_hook, submit_event, success_hook
from sensord.hooks.dagster import SensordResource, run_failure_sensor, run_sensors


class BrokenBricksError(Exception):
    pass


@success_hook
def taas_success_hook(context: dg.HookContext) -> None:
    submit_event("bp.dagster.oks", f"Dagster job {context.job_name} completed.")


@dg.op(config_schema={"fails": dg.Field(str, default_value="")})
def build(context) -> int:  # noqa: ANN001 - Dagster allows it one of its own types alone
    how = context.op_config["fails"]
    if how == "error":
        try:
            {}["bricks"]
        except KeyError as error:
            raise BrokenBricksError("no bricks") from error
    if how == "failure":
        raise dg.Failure("no mortar")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "wait":
        Path(os.environ["WAITING"]).write_text(str(os.getpid()))
        time.sleep(600)
    return 3


@dg.op
def paint(rows: int, sensord: SensordResource) -> None:
    sensord.submit_event("bp.houses.painted", f"{rows} houses", data={"rows": rows})


@dg.job(hooks={failure_hook("bp.houses.fails")})
def houses() -> None:
    paint(build())


@dg.job
def sheds() -> None:
    paint.with_hooks({taas_success_hook, success_hook("bp.sheds.steps")})(build())


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2), config_schema={"good": int})
def flaky(context) -> None:  # noqa: ANN001
    if context.retry_number < context.op_config["good"]:
        raise BrokenBricksError(f"attempt {context.retry_number + 1}")


@dg.job(hooks={failure_hook("bp.retried.fails"), success_hook("bp.retried.oks")})
def retried() -> None:
    flaky()


failures = run_failure_sensor("bp.houses.fails")
outcomes = run_sensors(success="bp.runs.oks", cancelled="bp.runs.cancelled", webserver_url="http://dagster.test:3000/")
defs = dg.Definitions(
    jobs=[houses, sheds, retried],
    sensors=[failures, *outcomes],
    resources={"sensord": SensordResource()},
    executor=dg.in_process_executor,
)
