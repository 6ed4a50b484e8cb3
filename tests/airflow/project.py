"""A DAG of a data team on sensord's bus. Runs in Airflow's interpreter: once, to its end."""
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ARG001

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, task
from airflow.sdk._shared.module_loading import import_string

from sensord.hooks.airflow import SensordNotifier, failure_callback, success_callback

late = AsyncCallback(SensordNotifier, kwargs={"topic": "bp.airflow.late", "message": "houses is late"})
with DAG(
    "houses",
    schedule=None,
    tags={"geo"},
    default_args={
        "on_success_callback": success_callback("bp.airflow.oks"),
        "on_failure_callback": failure_callback("bp.airflow.fails"),
    },
    deadline=DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(hours=1), callback=late),
) as dag:

    @task
    def build():
        return 3

    @task(on_failure_callback=SensordNotifier("bp.airflow.notified", message="{{ ti.task_id }} of {{ dag.dag_id }}"))
    def paint(rows):
        raise RuntimeError("no paint")

    @task
    def load(rows):
        try:
            {}["map"]
        except KeyError as error:
            raise OSError("no map") from error

    rows = build()
    load(rows)
    paint(rows)


async def be_late():
    """What Airflow's triggerer does with the deadline's callback."""
    context = {"dag_run": {"dag_id": "houses", "run_id": "manual"}, "deadline": {"deadline_time": "2026-01-01"}}
    await import_string(late.path)(**late.kwargs, context=context)


if __name__ == "__main__":
    if sys.argv[1:] == ["late"]:
        asyncio.run(be_late())
    else:
        dag.test()
