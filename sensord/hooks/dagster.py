"""Dagster's runs on the bus: hooks, sensors of runs and a resource, in Dagster's own shapes.

Needs `dagster` and the standard library alone. A hook tells at once, from the process of the run; a sensor of runs
tells of runs whose process was killed as well, within seconds. Both together tell once: what they say of a run on a
topic has the same id, and sensord keeps the first. Where sensord is: `$SENSORD_URL` and `$SENSORD_TOKEN`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import dagster
from dagster import (
    ConfigurableResource,
    DagsterEventType,
    DagsterRunStatus,
    DefaultSensorStatus,
    HookDefinition,
    HookExecutionResult,
)

from rules.topics import check_topic
from sensord.submit import submit_event

__all__ = ["SensordResource", "failure_hook", "run_failure_sensor", "run_sensors", "success_hook"]

log = logging.getLogger(__name__)

SOURCE = "dagster"
INTERVAL_SECONDS = 5
"""How often a sensor looks. Dagster's loop does not look more often; its own default is 30."""
_TEXT, _TAGS, _TAG = 2000, 50, 200
# Dagster wraps what an op raises in errors of its own.
_WRAPPERS = ("Dagster", "RetryRequestedFromPolicy")
_SAID = {
    DagsterRunStatus.SUCCESS: ("succeeded", "info"),
    DagsterRunStatus.FAILURE: ("failed", "error"),
    DagsterRunStatus.CANCELED: ("was cancelled", "warning"),
}


def success_hook(
    what: str | Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    required_resource_keys: set[str] | None = None,
    webserver_url: str | None = None,
) -> Any:
    """A hook on ops that succeed: Dagster's own decorator, or with a topic a hook that is ready.

    `success_hook("bp.houses.oks")` publishes `dagster.step.succeeded` for each op that it is put on (on a job: for
    all of its ops; `run_sensors(success=…)` tells once a run). `@success_hook` and `@success_hook(name=…)` on a
    function of a HookContext are `dagster.success_hook`. `webserver_url` (else `$SENSORD_DAGSTER_URL`) is where
    people open Dagster's pages, for the link. Never fails the op, and costs it less than a millisecond.
    """
    if isinstance(what, str):
        return _ready_hook(what, name or _name("success", what), DagsterRunStatus.SUCCESS, webserver_url)
    return _dagsters(dagster.success_hook, what, name=name, required_resource_keys=required_resource_keys)


def failure_hook(
    what: str | Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    required_resource_keys: set[str] | None = None,
    webserver_url: str | None = None,
) -> Any:
    """A hook on ops that fail for good: Dagster's own decorator, or with a topic a hook that is ready.

    `failure_hook("bp.houses.fails")` publishes `dagster.run.failed` at the first op of a run that fails, after its
    last retry, with the cause. An op that was interrupted is left to the sensors, which know whether its run was
    cancelled. The rest as in `success_hook`.
    """
    if isinstance(what, str):
        return _ready_hook(what, name or _name("failure", what), DagsterRunStatus.FAILURE, webserver_url)
    return _dagsters(dagster.failure_hook, what, name=name, required_resource_keys=required_resource_keys)


def run_failure_sensor(what: str | Callable[..., Any] | None = None, **options: Any) -> Any:
    """A sensor of runs that fail, crash or are killed: Dagster's own decorator, or with a topic one that is ready.

    `run_failure_sensor("bp.dagster.fails")` watches all jobs of the code location, or `monitored_jobs`, and runs
    from the start (`default_status`), every 5 seconds (`minimum_interval_seconds`). `options` are those of
    `dagster.run_failure_sensor`, and `webserver_url`.
    """
    if isinstance(what, str):
        return _ready_sensor(what, DagsterRunStatus.FAILURE, **options)
    return _dagsters(dagster.run_failure_sensor, what, **options)


def run_sensors(
    *, success: str | None = None, failure: str | None = None, cancelled: str | None = None, **options: Any
) -> list[Any]:
    """A sensor for each outcome that is given a topic, with one event a run; `options` as in `run_failure_sensor`."""
    wanted = {
        DagsterRunStatus.SUCCESS: success,
        DagsterRunStatus.FAILURE: failure,
        DagsterRunStatus.CANCELED: cancelled,
    }
    return [_ready_sensor(topic, status, **options) for status, topic in wanted.items() if topic is not None]


class SensordResource(ConfigurableResource):  # type: ignore[misc]
    """sensord for ops and assets: `sensord.submit_event("bp.houses.loaded", "12 rows", data={"rows": 12})`.

    `url` and `token` (`dagster.EnvVar("SENSORD_TOKEN")`, so that it is not shown) else come from the environment.
    """

    url: str | None = None
    token: str | None = None

    def submit_event(
        self, topic: str, message: str = "", *, severity: str = "info", data: Any = None, event_type: str = "message"
    ) -> None:
        """`sensord.submit_event` to this sensord: never raises, and never waits for the network."""
        submit_event(
            topic, message, severity=severity, data=data, event_type=event_type, url=self.url, token=self.token
        )


def _dagsters(decorator: Callable[..., Any], function: Callable[..., Any] | None, **options: Any) -> Any:
    if function is not None:
        return decorator(function)
    return decorator(**{name: value for name, value in options.items() if value is not None})


def _name(what: str, topic: str) -> str:
    check_topic(topic)
    return f"sensord_{what}_{re.sub(r'[^A-Za-z0-9]', '_', topic)}"


def _ready_hook(topic: str, name: str, status: DagsterRunStatus, webserver_url: str | None) -> HookDefinition:
    check_topic(topic)

    def tell(context: Any, events: Sequence[Any]) -> HookExecutionResult:
        for event in events:
            if not (event.is_step_success if status is DagsterRunStatus.SUCCESS else event.is_step_failure):
                continue
            facts = _attempted(_facts_of_step, context, event)
            if facts.pop("interrupted", False):
                break
            _publish(topic, status, {"job": context.job_name, "run_id": context.run_id, **facts}, webserver_url)
            return HookExecutionResult(hook_name=name, is_skipped=False)
        return HookExecutionResult(hook_name=name, is_skipped=True)

    return HookDefinition(name=name, hook_fn=tell)


def _ready_sensor(
    topic: str,
    status: DagsterRunStatus,
    *,
    name: str | None = None,
    webserver_url: str | None = None,
    minimum_interval_seconds: int = INTERVAL_SECONDS,
    default_status: DefaultSensorStatus = DefaultSensorStatus.RUNNING,
    **options: Any,
) -> Any:
    def tell(context: Any) -> None:
        run = context.dagster_run
        facts = {"job": run.job_name, "run_id": run.run_id, **_facts_of_tags(run.tags)}
        facts |= _attempted(_facts_of_times, context)
        if status is DagsterRunStatus.FAILURE:
            facts |= _attempted(_facts_of_failure, context)
        _publish(topic, status, facts, webserver_url, whole=True)

    decorator = dagster.run_status_sensor(
        run_status=status,
        name=name or _name(status.value.lower(), topic),
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description=f"Publishes on sensord's topic {topic}",
        **options,
    )
    return decorator(tell)


def _attempted(gather: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What else can be said. A release of Dagster that lacks something must not cost the event itself."""
    try:
        return gather(*arguments)
    except Exception:
        log.warning("sensord: not all that is known of the run could be read", exc_info=True)
        return {}


def _publish(
    topic: str, status: DagsterRunStatus, facts: dict[str, Any], webserver_url: str | None, *, whole: bool = False
) -> None:
    said, severity = _SAID[status]
    # A step that succeeded is news of its own; one that failed is how its run fails.
    step = facts.get("step") if status is DagsterRunStatus.SUCCESS and not whole else None
    if base := webserver_url or os.environ.get("SENSORD_DAGSTER_URL"):
        facts["url"] = f"{base.rstrip('/')}/runs/{facts['run_id']}"
    outcome = said.split()[-1]
    kind = "run" if step is None else "step"
    submit_event(
        topic,
        _message(said, step, facts),
        severity=severity,
        data={**facts, "status": outcome},
        event_type=f"dagster.{kind}.{outcome}",
        event_id="/".join((facts["run_id"], *([] if step is None else [step]), outcome, topic)),
        source=SOURCE,
    )


def _message(said: str, step: str | None, facts: Mapping[str, Any]) -> str:
    text = f"Dagster job {facts['job']}{'' if step is None else f': {step}'} {said}"
    if facts.get("partition"):
        text += f" ({facts['partition']})"
    if facts.get("error") is None:
        return text
    if facts.get("step"):
        text += f" at {facts['step']}"
    text += f": {_in_words(facts['error'])}"
    return text if facts.get("cause") is None else f"{text} (from {_in_words(facts['cause'])})"


def _in_words(error: Mapping[str, Any]) -> str:
    return ": ".join(part for part in (error["class"], error["message"]) if part)


def _facts_of_step(context: Any, event: Any) -> dict[str, Any]:
    step = getattr(context, "_step_execution_context", None)  # HookContext has no public way to tags and attempts.
    run, outcome = getattr(step, "dagster_run", None), event.event_specific_data
    facts: dict[str, Any] = {"step": event.step_key, **_facts_of_tags(run.tags if run is not None else {})}
    facts["attempt"] = getattr(step, "previous_attempt_count", 0) + 1
    if event.is_step_success:
        return facts | {"duration": round(outcome.duration_ms / 1000, 3)}
    interrupted = outcome.error_source is not None and outcome.error_source.name == "INTERRUPT"
    return facts | _facts_of_error(outcome) | {"interrupted": interrupted}


def _facts_of_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    shown = {name: value[:_TAG] for name, value in list(tags.items())[:_TAGS] if not name.startswith(".")}
    return {"tags": shown, "partition": tags.get("dagster/partition")}


def _facts_of_times(context: Any) -> dict[str, Any]:
    record = context.instance.get_run_record_by_id(context.dagster_run.run_id)
    if record is None or record.start_time is None or record.end_time is None:
        return {}
    return {"duration": round(record.end_time - record.start_time, 3)}


def _facts_of_failure(context: Any) -> dict[str, Any]:
    """The first step that failed; where none did, as the run's process was killed, what Dagster says of it."""
    failed = context.dagster_event
    outcome = failed.event_specific_data
    reason = getattr(outcome, "failure_reason", None)
    facts: dict[str, Any] = {"reason": reason.name} if reason is not None else {}
    step = getattr(outcome, "first_step_failure_event", None) or next(iter(_failed_steps(context)), None)
    if step is not None:
        return facts | {"step": step.step_key} | _facts_of_error(step.event_specific_data)
    if getattr(outcome, "error", None) is not None:
        return facts | _facts_of_error(outcome)
    said = _attempted(_last_words, context).get("said") or failed.message or ""
    return facts | {"error": {"class": None, "message": said[:_TEXT]}}


def _last_words(context: Any) -> dict[str, Any]:
    """What watched the run's process said last: the event of its end does not tell that it was killed."""
    asked = {"run_id": context.dagster_run.run_id, "of_type": DagsterEventType.ENGINE_EVENT}
    found = context.instance.get_records_for_run(**asked, limit=1, ascending=False).records
    return {"said": found[0].event_log_entry.dagster_event.message} if found else {}


def _failed_steps(context: Any) -> Iterable[Any]:
    found: Iterable[Any] = context.for_run_failure().get_step_failure_events()
    return found


def _facts_of_error(outcome: Any) -> dict[str, Any]:
    """`error` as it was raised, and `cause`, the first of its chain, where that is another."""
    error = outcome.error
    if error is None:
        return {}
    while error.cause is not None and (error.cls_name or "").startswith(_WRAPPERS):
        error = error.cause
    root = error
    while root.cause is not None:
        root = root.cause
    facts: dict[str, Any] = {"error": _said_of(error)}
    return facts if root is error else facts | {"cause": _said_of(root)}


def _said_of(error: Any) -> dict[str, Any]:
    text = re.sub(rf"^[\w.<>]*{re.escape(error.cls_name or '')}: ", "", error.message.strip())
    return {"class": error.cls_name, "message": text[:_TEXT]}
