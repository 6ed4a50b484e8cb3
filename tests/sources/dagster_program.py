"""Runs in Dagster's interpreter: what its web server loads, and, started itself, what has things happen in Dagster.

One request is a line of JSON on standard input, `{"do": NAME, …}`, and its answer a line on standard output. Dagster
itself writes everything: through its own storages, and through jobs that it executes.
"""
# mypy: ignore-errors

from __future__ import annotations

import contextlib
import json
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import DagsterRun, DagsterRunStatus

ENDED = {"SUCCESS": "PIPELINE_SUCCESS", "FAILURE": "PIPELINE_FAILURE", "CANCELED": "PIPELINE_CANCELED"}


@dg.op(config_schema={"fails": dg.Field(bool, default_value=False)})
def build(context) -> None:  # noqa: ANN001 - Dagster allows it one of its own types alone
    if context.op_config["fails"]:
        raise dg.Failure("no bricks")


@dg.job
def houses() -> None:
    build()


@dg.asset(key=["geo", "streets"], partitions_def=dg.StaticPartitionsDefinition(["riga", "oslo"]))
def streets() -> Any:
    return dg.MaterializeResult(
        metadata={
            "rows": 3,
            "many": 2**40,
            "share": 0.5,
            "none": float("nan"),
            "whole": True,
            "note": "ok",
            "long": "x" * 20_000,
            "where": dg.MetadataValue.path("/data/streets"),
            "page": dg.MetadataValue.url("http://example.test/"),
            "facts": {"a": [1, 2]},
            "seen": dg.MetadataValue.timestamp(0.0),
            "from": dg.MetadataValue.asset(dg.AssetKey(["geo", "houses"])),
            "nothing": None,
            "text": dg.MetadataValue.md("*bold*"),
            "columns": dg.TableSchema(columns=[dg.TableColumn("a", "int")]),
        },
        tags={"quality": "good"},
    )


asset_job = dg.define_asset_job("streets_job", selection=[streets])
defs = dg.Definitions(jobs=[houses, asset_job], assets=[streets])


class Requests:
    """What can be asked for; each method is one."""

    def __init__(self, instance: Any) -> None:
        self.instance = instance

    def ready(self) -> None:
        """The database is there."""
        self.instance.get_runs_count()
        self.instance.get_asset_keys()

    @contextlib.contextmanager
    def _at_once(self) -> Iterator[Any]:
        """All in one transaction: Dagster opens a new engine for each statement, which takes 5 ms."""
        storage = self.instance.run_storage
        with storage.connect() as connection:
            storage.connect = lambda: contextlib.nullcontext(connection)
            try:
                yield storage
            finally:
                del storage.connect

    def runs(
        self,
        *,
        count: int = 1,
        job: str = "houses",
        status: str | None = "SUCCESS",
        ended: int | None = None,
        step: int = 0,
        origin: Sequence[str] | None = None,
        config: Any = None,
    ) -> list[str]:
        """Runs that are created now; they end at that microsecond, each `step` later than the last, or now."""
        ids = []
        with self._at_once() as storage:
            for at in range(count):
                run = DagsterRun(
                    job_name=job,
                    run_id=str(uuid.uuid4()),
                    status=DagsterRunStatus.STARTED,
                    run_config=config or {},
                    remote_job_origin=origin and _origin(origin, job),
                )
                storage.add_run(run)
                ids.append(run.run_id)
                if status:
                    self._end(storage, run.run_id, status, None if ended is None else ended + at * step)
        return ids

    def end(self, runs: Sequence[str], status: str = "SUCCESS", ended: int | None = None) -> None:
        """These runs end."""
        with self._at_once() as storage:
            for run in runs:
                self._end(storage, run, status, ended)

    def _end(self, storage: Any, run: str, status: str, ended: int | None) -> None:
        moment = datetime.now(UTC) if ended is None else datetime.fromtimestamp(ended / 1e6, UTC)
        event = DagsterEvent(event_type_value=ENDED[status], job_name="houses")
        storage.handle_run_event(run, event, moment)

    def tag(self, run: str, tags: dict[str, str]) -> None:
        """Tags are added."""
        self.instance.add_run_tags(run, tags)

    def delete(self, runs: Sequence[str]) -> None:
        """These runs are gone."""
        for run in runs:
            self.instance.delete_run(run)

    def execute(self, job: str, config: Any = None, partition: str | None = None, tags: Any = None) -> str:
        """A job, executed by Dagster in this process; the id of its run."""
        definition = defs.resolve_job_def(job)
        result = definition.execute_in_process(
            instance=self.instance, run_config=config, partition_key=partition, tags=tags, raise_on_error=False
        )
        return result.run_id

    def materialize(
        self,
        asset: Sequence[str],
        partitions: Sequence[str | None] = (None,),
        at: float | None = None,
        run: str = "",
        metadata: Any = None,
    ) -> None:
        """Each partition of an asset, told of by no run that there is; at that millisecond, or now."""
        for partition in partitions:
            told = dg.AssetMaterialization(asset_key=asset, partition=partition, metadata=metadata or {})
            event = DagsterEvent(
                event_type_value="ASSET_MATERIALIZATION",
                job_name="",
                event_specific_data=StepMaterializationData(materialization=told),
            )
            entry = EventLogEntry(
                error_info=None,
                level=20,
                user_message="",
                run_id=run,
                timestamp=time.time() if at is None else at / 1000,
                step_key=None,
                job_name="",
                dagster_event=event,
            )
            self.instance.event_log_storage.store_event(entry)

    def wipe(self, asset: Sequence[str]) -> None:
        """All that was told of an asset is gone."""
        self.instance.wipe_assets([dg.AssetKey(asset)])


def _origin(place: Sequence[str], job: str) -> Any:
    repository, location = place
    return RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), repository), job)


def main() -> None:
    # Dagster's own lines go where they are not taken for answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    with dg.DagsterInstance.get() as instance:
        requests = Requests(instance)
        for line in sys.stdin:
            asked = json.loads(line)
            print(json.dumps(getattr(requests, asked.pop("do"))(**asked)), file=answers, flush=True)


if __name__ == "__main__":
    main()
