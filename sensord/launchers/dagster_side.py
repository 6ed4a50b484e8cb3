"""How Dagster is asked for a run: launched, found by its tag, looked at, terminated."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from notifiers.clock import Clock
from rules.templates import TemplateError, compile_tree
from sensord.elsewhere_reach import reach
from sensord.elsewhere_side import (
    AwayError,
    Begun,
    Look,
    RefusedError,
    UnansweredError,
    UnknownAttemptError,
    words_of,
)
from sensord.launchers import Ending, Run
from sensord.launchers.dagster import DagsterTarget
from sensord.launchers.dagster_parameters import nested

TOKEN_TAG = "sensord/token"  # noqa: S105 - the name of a tag
STUCK = 300.0
"""Seconds after which a run that Dagster created and did not start is one that it never will."""

_LAUNCH = """mutation Launch($asked: ExecutionParams!) { launchRun(executionParams: $asked) { __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on PipelineNotFoundError { message } ... on InvalidSubsetError { message } ... on UnauthorizedError { message }
  ... on PythonError { message } } }"""
_FIND = """query Find($tags: [ExecutionTag!]) { runsOrError(filter: {tags: $tags}, limit: 2) { __typename
  ... on Runs { results { runId } } ... on PythonError { message } } }"""
_LOOK = """query Look($run: ID!) { runOrError(runId: $run) { __typename
  ... on Run { status creationTime startTime endTime } ... on PythonError { message } } }"""
_WHY = """query Why($run: ID!) { logsForRun(runId: $run, limit: 1000) { __typename ... on EventConnection { events {
  __typename ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } }
  ... on RunFailureEvent { message error { message } } } } } }"""
_STOP = """mutation Stop($run: String!, $how: TerminateRunPolicy) { terminateRun(runId: $run, terminatePolicy: $how) {
  __typename ... on TerminateRunFailure { message } ... on PythonError { message }
  ... on UnauthorizedError { message } } }"""
_WHERE = """query Where { repositoriesOrError { __typename ... on RepositoryConnection { nodes { name
  location { name } pipelines { name } } } ... on PythonError { message } } }"""
_PARTITION = """query Partition($job: PipelineSelector!, $partition: String!) { pipelineOrError(params: $job) {
  __typename ... on Pipeline { partition(partitionName: $partition) { runConfigOrError { __typename
    ... on PartitionRunConfig { yaml } ... on PythonError { message } }
    tagsOrError { __typename ... on PartitionTags { results { key value } } } } } } }"""
_ENDINGS: Mapping[str, Ending] = {"SUCCESS": "succeeded", "FAILURE": "failed", "CANCELED": "cancelled"}


class Asked(Protocol):
    """A web server that can be asked."""

    name: str

    async def ask(self, query: str, variables: Mapping[str, Any]) -> Any:
        """What GraphQL calls the data."""
        ...


class DagsterSide:
    """The other side of one job; see `Side`."""

    repeatable, finds, looks = False, True, True
    unknown_for = 0.0  # It is Dagster itself that says so.

    def __init__(self, target: DagsterTarget, server: Asked, clock: Clock) -> None:
        self._target = target
        self.server = server
        self._clock = clock
        self.name = server.name
        self.every = target.every
        self.within = target.within
        self.absent: Literal["lost", "start"] = target.absent

    async def reach(self) -> None:
        """Connect."""
        await reach(self._target.url, self.name, self._target.timeout)

    async def start(self, run: Run) -> Begun:
        """Launch it. What is asked before the launch itself starts nothing, so no answer of that is uncertain."""
        try:
            selector = await self.selector()
            config, tags = await self._config(run, selector)
        except UnansweredError as error:
            raise AwayError(str(error)) from error
        tags |= dict(run.tags) | {TOKEN_TAG: run.token, "sensord/job": run.job}
        if run.partition_key is not None:
            tags["dagster/partition"] = run.partition_key
        if run.run_key is not None:
            tags["sensord/run_key"] = run.run_key
        asked = {
            "selector": selector,
            "mode": "default",
            "runConfigData": config,
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        said = (await self.server.ask(_LAUNCH, {"asked": asked}))["launchRun"]
        match said["__typename"]:
            case "LaunchRunSuccess":
                return self._begun(said["run"]["runId"])
            case "RunConfigValidationInvalid":
                reasons = "; ".join(_line(error["message"]) for error in said["errors"][:3])
                raise RefusedError(f"run_config: {reasons}")
            case "PythonError":  # It may have been created before that.
                raise UnansweredError(f"{self.name} failed: {_line(said['message'])}")
            case kind:
                raise RefusedError(f"{self.name} does not launch it: {_line(said.get('message') or kind)}")

    async def find(self, run: Run, _asked_at: datetime) -> Begun | None:
        """The run that has the tag."""
        tags = [{"key": TOKEN_TAG, "value": run.token}]
        said = (await self._safely(_FIND, {"tags": tags}))["runsOrError"]
        if said["__typename"] != "Runs":
            raise AwayError(f"{self.name} cannot answer: {_line(said.get('message', ''))}")
        return self._begun(said["results"][-1]["runId"]) if said["results"] else None

    async def look(self, _run: Run, said: Any) -> Look:
        """Its status, and where it failed why."""
        run = said["run"]
        found = (await self._safely(_LOOK, {"run": run}))["runOrError"]
        if found["__typename"] == "RunNotFoundError":
            raise UnknownAttemptError(f"{self.name} knows the run {run} no more")
        if found["__typename"] != "Run":
            raise AwayError(f"{self.name} cannot answer: {_line(found.get('message', ''))}")
        status = found["status"]
        if status == "NOT_STARTED" and self._is_stuck(found["creationTime"]):
            await self._terminate(run, "MARK_AS_CANCELED_IMMEDIATELY")
            return Look(status="failed", error="Dagster created the run and did not start it")
        if status not in _ENDINGS:
            return Look(status="running" if found["startTime"] else "queued")
        return Look(
            status=_ENDINGS[status],
            error=await self._why(run) if status == "FAILURE" else "",
            metadata={"dagster_run_id": run},
            started_at=_time(found["startTime"]),
            ended_at=_time(found["endTime"]),
        )

    async def stop(self, _run: Run, said: Any) -> bool:
        """Terminate it."""
        await self._terminate(said["run"], "SAFE_TERMINATE")
        return True

    async def _terminate(self, run: str, how: str) -> None:
        said = (await self._safely(_STOP, {"run": run, "how": how}))["terminateRun"]
        if said["__typename"] in ("TerminateRunSuccess", "RunNotFoundError"):
            return
        found = (await self._safely(_LOOK, {"run": run}))["runOrError"]
        if found.get("status") not in _ENDINGS:
            raise AwayError(f"{self.name} does not end it: {_line(said.get('message') or said['__typename'])}")

    async def _safely(self, query: str, variables: Mapping[str, Any]) -> Any:
        """Ask what starts nothing: whatever goes wrong, it is asked again."""
        try:
            return await self.server.ask(query, variables)
        except (UnansweredError, RefusedError) as error:
            raise AwayError(str(error)) from error

    async def selector(self) -> dict[str, Any]:
        """Where the job is: as configured, else where there is one of its name."""
        target = self._target
        selector = {"jobName": target.job}
        if target.repository is not None and target.location is not None:
            return selector | {"repositoryName": target.repository, "repositoryLocationName": target.location}
        said = (await self.server.ask(_WHERE, {}))["repositoriesOrError"]
        if said["__typename"] != "RepositoryConnection":
            raise AwayError(f"{self.name} cannot answer: {_line(said.get('message', ''))}")
        places = [
            (one["name"], one["location"]["name"])
            for one in said["nodes"]
            if any(job["name"] == target.job for job in one["pipelines"])
            and target.repository in (None, one["name"])
            and target.location in (None, one["location"]["name"])
        ]
        if len(places) != 1:
            there = ", ".join(f"{repository} in {location}" for repository, location in places) or "none"
            advice = "give repository and location" if places else "check job"
            raise RefusedError(f"{self.name} has the job {target.job} in {there}; {advice}")
        repository, location = places[0]
        return selector | {"repositoryName": repository, "repositoryLocationName": location}

    async def _config(self, run: Run, selector: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
        """The run config, and the tags that Dagster has for the partition."""
        try:
            config = nested(compile_tree(self._target.run_config).render({"run": words_of(run)}))
        except TemplateError as error:
            raise RefusedError(f"run_config: {error}") from error
        if config or run.partition_key is None:
            return config, {}
        names = {"pipelineName": selector["jobName"], **{k: v for k, v in selector.items() if k != "jobName"}}
        said = (await self.server.ask(_PARTITION, {"job": names, "partition": run.partition_key}))["pipelineOrError"]
        partition = said.get("partition")
        if partition is None:
            return config, {}
        found = partition["runConfigOrError"]
        if found["__typename"] != "PartitionRunConfig":
            raise RefusedError(f"{self.name} has no config of partition {run.partition_key}: {_line(found['message'])}")
        tags = {tag["key"]: tag["value"] for tag in partition["tagsOrError"].get("results") or ()}
        return found["yaml"], tags

    async def _why(self, run: str) -> str:
        """The first step that failed, as far as Dagster says so."""
        try:
            said = (await self.server.ask(_WHY, {"run": run}))["logsForRun"]
        except (AwayError, UnansweredError, RefusedError):  # That it failed is known, and enough.
            return ""
        for event in said.get("events") or ():
            if event["__typename"] == "ExecutionStepFailureEvent" and event["error"]:
                causes = event["error"].get("causes") or ()
                return f"{event['stepKey']}: {_line((causes[-1] if causes else event['error'])['message'])}"
        messages = [one["message"] for one in said.get("events") or () if one["__typename"] == "RunFailureEvent"]
        return _line(messages[0]) if messages else ""

    def _begun(self, run: str) -> Begun:
        return Begun(said={"run": run}, link=f"{self._target.url}/runs/{run}")

    def _is_stuck(self, created: float) -> bool:
        return self._clock.now().timestamp() - created > STUCK


def _line(text: str) -> str:
    return text.strip().partition("\n")[0][:500]


def _time(seconds: float | None) -> datetime | None:
    return None if not seconds else datetime.fromtimestamp(seconds, UTC)
