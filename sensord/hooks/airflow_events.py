"""What Airflow's contexts say, as events. Imports nothing of Airflow: a context is read by its keys and attributes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rules.topics import check_topic
from sensord.failures import facts_of, in_words
from sensord.submit import flush, submit_event

log = logging.getLogger("sensord.hooks.airflow")

SOURCE = "airflow"
_PATIENCE = (
    0.5  # Airflow ends a task's process without Python's exit. Nobody waits for a daemon that is known to be away.
)
_SEVERITIES = {"succeeded": "info", "skipped": "info", "is tried again": "warning", "failed": "error"}
_STATES = {"success": "succeeded", "failed": "failed", "up_for_retry": "is tried again", "skipped": "skipped"}


def success_callback(topic: str) -> Callable[[Mapping[str, Any]], None]:
    """For `on_success_callback` of a task, of `default_args` or of a DAG: publishes there that it succeeded."""
    return _callback(topic, "succeeded")


def failure_callback(topic: str) -> Callable[[Mapping[str, Any]], None]:
    """For `on_failure_callback` of a task, of `default_args` or of a DAG: publishes there why it failed."""
    return _callback(topic, "failed")


def _callback(topic: str, said: str) -> Callable[[Mapping[str, Any]], None]:
    check_topic(topic)

    def tell(context: Mapping[str, Any]) -> None:
        publish(topic, context, said=said)

    return tell


def publish(
    topic: str,
    context: Mapping[str, Any],
    *,
    said: str | None = None,
    message: str | None = None,
    severity: str | None = None,
) -> None:
    """Publish what the context says; `said` else comes from the state of its task. Never raises."""
    try:
        facts, key = _facts(context)
        said = said or _STATES.get(str(facts.get("state") or ""), "")
        outcome = said.split()[-1] if said else "message"
        submit_event(
            topic,
            message or _message(facts, said),
            severity=severity or _SEVERITIES.get(said, "warning"),
            data=facts,
            event_type=f"airflow.{'task' if 'task' in facts else 'dag'}.{outcome}",
            event_id=None if key is None else f"{key}/{outcome}/{topic}",
            source=SOURCE,
        )
        flush(_PATIENCE)
    except Exception:  # The task matters more than what is told of it.
        log.warning("sensord: the event on %s could not be made", topic, exc_info=True)


def _message(facts: dict[str, Any], said: str) -> str:
    name = f"task {facts.get('dag')}.{facts['task']}" if "task" in facts else f"DAG {facts.get('dag')}"
    if facts.get("deadline") is not None:
        return f"Airflow {name} missed its deadline"
    words = in_words(facts) or (f": {facts['reason']}" if said == "failed" and facts.get("reason") else "")
    return f"Airflow {name} {said or 'has a word to say'}{words if said != 'succeeded' else ''}"


def _facts(context: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """What is known, and what names this attempt of a task alone, in whatever Airflow."""
    instance, run = context.get("task_instance") or context.get("ti"), context.get("dag_run")
    facts = {
        "dag": _of(instance, "dag_id") or _of(run, "dag_id") or _of(context.get("dag"), "dag_id"),
        "run_id": context.get("run_id") or _of(instance, "run_id") or _of(run, "run_id"),
        "logical_date": _text(_of(run, "logical_date")),
        "tags": sorted(map(str, _of(context.get("dag"), "tags") or ()))[:50],
        "reason": context.get("reason"),
        "deadline": _text(context.get("deadline")),
    }
    if instance is not None:
        facts |= {
            "task": _of(instance, "task_id"),
            "state": _text(_of(instance, "state")),
            "attempt": _of(instance, "try_number"),
            "map_index": _of(instance, "map_index"),
            "duration": _seconds(instance),
            "url": _of(instance, "log_url"),
        }
    error = context.get("exception")
    facts |= facts_of(error if isinstance(error, BaseException | str) else None)
    key = _of(instance, "id")
    return {name: value for name, value in facts.items() if value is not None}, None if key is None else str(key)


def _of(thing: Any, name: str) -> Any:
    if isinstance(thing, Mapping):
        return thing.get(name)
    with contextlib.suppress(Exception):  # Some attributes ask Airflow's server, which may be away.
        return getattr(thing, name, None)
    return None


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(getattr(value, "value", value))


def _seconds(instance: Any) -> float | None:
    start, end = _of(instance, "start_date"), _of(instance, "end_date")
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return None
    return round((end - start).total_seconds(), 3)
