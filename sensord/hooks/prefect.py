"""Prefect's flows and tasks on the bus: one hook for every state.

`@flow(on_completion=[state_hook("bp.prefect.oks")], on_failure=[state_hook("bp.prefect.fails")])`, and the same for
`on_crashed`, `on_cancellation` (which Prefect runs in its workers) and for tasks. Imports nothing of Prefect. Where
sensord is: `$SENSORD_URL` and `$SENSORD_TOKEN`; with `$PREFECT_UI_URL` an event has a link. A hook never fails its run,
and waits only where a process is about to end: half a second at most, where sensord takes the connection and does not
answer.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from rules.topics import check_topic
from sensord.failures import facts_of, in_words
from sensord.submit import flush, submit_event

__all__ = ["state_hook"]

log = logging.getLogger(__name__)

SOURCE = "prefect"
_PATIENCE = 0.5
_SEVERITIES = {"FAILED": "error", "CRASHED": "error", "CANCELLED": "warning", "CANCELLING": "warning"}
_ENDING = frozenset({"CRASHED", "CANCELLED", "CANCELLING"})


def state_hook(topic: str) -> Callable[[Any, Any, Any], None]:
    """A hook of Prefect's shape, `(flow, flow_run, state)` or `(task, task_run, state)`, that publishes the state."""
    check_topic(topic)

    def sensord_state_hook(what: Any, run: Any, state: Any) -> None:
        try:
            _publish(topic, what, run, state)
        except Exception:  # The run matters more than what is told of it.
            log.warning("sensord: the event on %s could not be made", topic, exc_info=True)

    return sensord_state_hook


def _publish(topic: str, what: Any, run: Any, state: Any) -> None:
    kind = "task" if hasattr(run, "task_key") else "flow"
    status = state.type.name
    facts: dict[str, Any] = {
        kind: what.name,
        "run_id": str(run.id),
        "run": run.name,
        "state": state.name,
        "tags": sorted(map(str, run.tags or ()))[:50],
        "attempt": run.run_count,
        "duration": _seconds(run, state),
    }
    if kind == "task" and run.flow_run_id is not None:
        facts["flow_run_id"] = str(run.flow_run_id)
    if status in {"FAILED", "CRASHED"}:
        facts |= facts_of(_raised(state) or state.message)
    if base := os.environ.get("PREFECT_UI_URL"):
        facts["url"] = f"{base.rstrip('/')}/runs/{kind}-run/{run.id}"
    submit_event(
        topic,
        f"Prefect {kind} {what.name} ({run.name}) {state.name.lower()}{in_words(facts)}",
        severity=_SEVERITIES.get(status, "info"),
        data=facts,
        event_type=f"prefect.{kind}.{status.lower()}",
        event_id=f"{run.id}/{state.id}/{topic}",
        source=SOURCE,
    )
    if status in _ENDING:
        flush(_PATIENCE)


def _raised(state: Any) -> BaseException | None:
    """The exception itself, where the state still has it in memory."""
    held = getattr(state.data, "result", state.data)
    return held if isinstance(held, BaseException) else None


def _seconds(run: Any, state: Any) -> float | None:
    """Until this state; Prefect itself counts the run's time up to the one before."""
    if run.start_time is None:
        return None
    seconds: float = (state.timestamp - run.start_time).total_seconds()
    return round(seconds, 3)
