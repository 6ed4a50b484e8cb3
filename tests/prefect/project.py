"""Flows of a data team on sensord's bus. Runs in Prefect's interpreter: each flow once, to its end."""
# mypy: ignore-errors
# ruff: noqa: ANN201

from __future__ import annotations

import contextlib

from prefect import flow, task

from sensord.hooks.prefect import state_hook

oks, fails = state_hook("bp.prefect.oks"), state_hook("bp.prefect.fails")


@task(retries=1, retry_delay_seconds=0, on_failure=[state_hook("bp.prefect.tasks")])
def load():
    try:
        {}["map"]
    except KeyError as error:
        raise OSError("no map") from error


@flow(name="good", on_completion=[oks], on_failure=[fails])
def good():
    return 3


@flow(name="bad", on_completion=[oks], on_failure=[fails])
def bad():
    load()


@flow(name="crashed", on_crashed=[fails], on_failure=[fails])
def crashed():
    raise SystemExit(1)


if __name__ == "__main__":
    for one in (good, bad, crashed):
        with contextlib.suppress(BaseException):
            one()
