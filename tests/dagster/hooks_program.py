"""Runs in Dagster's interpreter: has runs of project.py happen, and its sensors look. A line of JSON each way."""
# mypy: ignore-errors

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg

sys.path.insert(0, str(Path(__file__).parent))
import project

import sensord.submit


class Requests:
    """Each method is a request."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.get()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.cursors: dict[str, str | None] = {}
        self.repository = project.defs.get_repository_def()

    def loaded(self) -> list[str]:
        """What of the daemon is loaded."""
        heavy = {"aiohttp", "sqlmodel", "anyio", "telegram", "slack_sdk", "sensord.daemon", "sensord.sources"}
        return sorted(heavy & set(sys.modules))

    def execute(self, job: str, config: Any = None, tags: Any = None) -> str:
        """A run in this process; its id."""
        found = self.repository.get_job(job)
        done = found.execute_in_process(run_config=config, tags=tags, instance=self.instance, raise_on_error=False)
        return done.run_id

    def costs(self, calls: int) -> list[float]:
        """What a hook that is ready costs the op that failed: p99 of the processor's time and the median, in ms."""
        kept = []

        def keep(context: Any, events: Any) -> dg.HookExecutionResult:
            kept.append((context, events))
            return dg.HookExecutionResult("keep")

        job = project.houses.with_hooks({dg.HookDefinition(name="keep", hook_fn=keep)})
        config = {"ops": {"build": {"config": {"fails": "error"}}}}
        resources = {"sensord": project.SensordResource()}
        job.execute_in_process(run_config=config, instance=self.instance, raise_on_error=False, resources=resources)
        hook, (context, events) = project.failure_hook("bp.costs.fails"), kept[0]
        spent, passed = [], []
        for _ in range(calls):
            start, began = time.thread_time(), time.perf_counter()
            hook.hook_fn(context, events)
            spent.append(time.thread_time() - start)
            passed.append(time.perf_counter() - began)
        return [sorted(spent)[calls * 99 // 100] * 1000, sorted(passed)[calls // 2] * 1000]

    def begin(self, job: str, how: str) -> str:
        """A run in a process of its own, whose first op does `how`; its id."""
        config = {"ops": {"build": {"config": {"fails": how}}}}
        run = self.instance.create_run_for_job(self.repository.get_job(job), run_config=config)
        self.processes[run.run_id] = subprocess.Popen([sys.executable, __file__, "run", job, run.run_id])
        return run.run_id

    def killed(self, run: str) -> None:
        """What Dagster's code server does when it finds that the process of a run is no more."""
        assert self.processes[run].wait() == -signal.SIGKILL
        found = self.instance.get_run_by_id(run)
        assert found.status is dg.DagsterRunStatus.STARTED, found.status
        said = f"Run execution process for {run} unexpectedly exited with exit code -9."
        self.instance.report_engine_event(said, found)
        self.instance.report_run_failed(found)

    def cancel(self, run: str) -> None:
        """Cancel a run while its op waits, as Dagster does."""
        waiting = Path(os.environ["WAITING"])
        while not (waiting.exists() and waiting.read_text()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.processes[run].wait(0.05)
        self.instance.report_run_canceling(self.instance.get_run_by_id(run))
        self.processes[run].terminate()
        self.processes[run].wait()
        assert self.instance.get_run_by_id(run).status is dg.DagsterRunStatus.CANCELED

    def project(self, path: str, job: str) -> list[str]:
        """Load another project, and execute a job of it; the names of its sensors."""
        found: dict[str, Any] = {}
        exec(compile(Path(path).read_text(), path, "exec"), found)
        repository = found["defs"].get_repository_def()
        repository.get_job(job).execute_in_process(instance=self.instance, raise_on_error=False)
        return [sensor.name for sensor in repository.sensor_defs]

    def flush(self) -> bool:
        """Wait until all is sent, or known that it cannot be."""
        return sensord.submit.flush(60)

    def tick(self) -> list[str]:
        """Have every sensor look once, as Dagster's daemon does; the names of those that said why they could not."""
        troubled = []
        for sensor in self.repository.sensor_defs:
            context = dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursors.get(sensor.name),
                repository_def=self.repository,
                sensor_name=sensor.name,
            )
            data = sensor.evaluate_tick(context)
            self.cursors[sensor.name] = data.cursor
            reactions = data.dagster_run_reactions or []
            troubled += [f"{sensor.name}: {one.error.message}" for one in reactions if one.error]
        return troubled


def run(job: str, run_id: str) -> None:
    """Execute a run that is there already, in this process."""
    from dagster._core.definitions.reconstruct import ReconstructableRepository
    from dagster._core.execution.api import execute_run

    instance = dg.DagsterInstance.get()
    found = ReconstructableRepository.for_file(project.__file__, "defs").get_reconstructable_job(job)
    execute_run(found, instance.get_run_by_id(run_id), instance)


def main() -> None:
    """Answer until the input ends."""
    requests = Requests()
    for line in sys.stdin:
        asked = json.loads(line)
        answer = getattr(requests, asked.pop("do"))(**asked)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    run(*sys.argv[2:]) if sys.argv[1:2] == ["run"] else main()
